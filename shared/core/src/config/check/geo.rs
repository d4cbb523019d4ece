//! The `geo` order: it needs to know where clients are and where regions are.

use super::report::Report;
use crate::config::model::{Global, Region, RegionOrder};
use crate::config::read::{Code, Path};

pub(super) fn check(report: &mut Report<'_>, config: &Global) {
    let root = Path::root();
    let header = root.key("geo").key("header");
    if config.geo.header.is_some() && config.trusted_proxies.is_empty() {
        report.key(
            &header,
            Code::Unreachable,
            "the header is believed from trusted proxies only, and there are none",
            "list the addresses that set it in trusted_proxies",
        );
    }
    for (at, route) in config.routes.iter().enumerate() {
        let Some(choice) = &route.regions else {
            continue;
        };
        if choice.policy != RegionOrder::Geo {
            continue;
        }
        let policy = root.key("routes").index(at).key("regions").key("policy");
        if config.geo.header.is_none() && config.geo.networks.is_empty() {
            report.value(
                &policy,
                Code::Conflict,
                format!(
                    "the route \"{}\" goes by distance, but nothing tells where clients are",
                    route.name
                ),
                "set geo.header or geo.networks, or choose another policy",
            );
        }
        let takes_part =
            |region: &&Region| choice.allowed.is_empty() || choice.allowed.contains(&region.name);
        let mut regions = config.regions.iter().filter(takes_part).peekable();
        if regions.peek().is_some() && regions.all(|region| region.location.is_none()) {
            report.value(
                &policy,
                Code::Conflict,
                format!(
                    "the route \"{}\" goes by distance, but none of its regions has a location",
                    route.name
                ),
                "give the regions a location, or choose another policy",
            );
        }
    }
}
