//! Where routes lead: pools on the regional tier, regions on the global one.

use super::duplicates::Seen;
use super::report::Report;
use crate::config::model::{Pool, Region, Route};
use crate::config::read::{Code, Path};
use std::collections::HashSet;

pub(super) fn regional(report: &mut Report<'_>, routes: &[Route], pools: &[Pool]) {
    let known: HashSet<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    for (at, route) in routes.iter().enumerate() {
        let path = || Path::root().key("routes").index(at);
        let name = &route.name;
        match (&route.pool, &route.redirect) {
            (None, None) => report.value(
                &path().key("name"),
                Code::MissingKey,
                format!("the route \"{name}\" leads nowhere"),
                "add `pool:` with a pool's name, or `redirect:`",
            ),
            (Some(_), Some(_)) => report.key(
                &path().key("redirect"),
                Code::Conflict,
                format!("the route \"{name}\" has a pool and a redirect"),
                "keep one of pool and redirect",
            ),
            _ => {}
        }
        if let Some(pool) = route
            .pool
            .as_ref()
            .filter(|pool| !known.contains(pool.as_str()))
        {
            let names = pools.iter().map(|pool| pool.name.as_str());
            report.unknown_name(&path().key("pool"), "pool", pool.as_str(), names);
        }
        mirror(report, route, pools, &known, &path());
        if route.regions.is_some() {
            report.key(
                &path().key("regions"),
                Code::Unsupported,
                format!("the route \"{name}\" chooses regions, which is the global tier's task"),
                "remove regions; a regional tier chooses a pool",
            );
        }
    }
}

fn mirror(
    report: &mut Report<'_>,
    route: &Route,
    pools: &[Pool],
    known: &HashSet<&str>,
    path: &Path,
) {
    super::protect::mirror_of_itself(report, route, path);
    let unknown = route.mirror.as_ref().map(|mirror| mirror.pool.as_str());
    if let Some(pool) = unknown.filter(|pool| !known.contains(pool)) {
        let names = pools.iter().map(|pool| pool.name.as_str());
        report.unknown_name(&path.key("mirror").key("pool"), "pool", pool, names);
    }
}

pub(super) fn global(report: &mut Report<'_>, routes: &[Route], regions: &[Region]) {
    let known: HashSet<&str> = regions.iter().map(|region| region.name.as_str()).collect();
    for (at, route) in routes.iter().enumerate() {
        let path = || Path::root().key("routes").index(at);
        let name = &route.name;
        if route.pool.is_some() {
            report.key(
                &path().key("pool"),
                Code::Unsupported,
                format!("the route \"{name}\" names a pool, which is the regional tier's task"),
                "remove pool; the global tier chooses among regions",
            );
        }
        if route.mirror.is_some() {
            report.key(
                &path().key("mirror"),
                Code::Unsupported,
                format!("the route \"{name}\" copies to a pool, which is the regional tier's task"),
                "remove mirror, and set it in the regional tier",
            );
        }
        let Some(choice) = &route.regions else {
            continue;
        };
        if route.redirect.is_some() {
            report.key(
                &path().key("regions"),
                Code::Conflict,
                format!("the route \"{name}\" redirects, so it chooses no region"),
                "keep one of regions and redirect",
            );
        }
        let cookie = path().key("regions").key("affinity");
        super::protect::region_cookie(report, name.as_str(), choice, &cookie);
        let mut seen = Seen::new();
        let place = |at: usize| path().key("regions").key("allowed").index(at);
        for (entry, region) in choice.allowed.iter().enumerate() {
            if let Some(first) = seen.again(region, entry) {
                let reason = format!("the route \"{name}\" allows the region \"{region}\" twice");
                report.repeated(&place(entry), &place(first), reason, "keep one of them");
            } else if !known.contains(region.as_str()) {
                let names = regions.iter().map(|region| region.name.as_str());
                report.unknown_name(&place(entry), "region", region.as_str(), names);
            }
        }
    }
}
