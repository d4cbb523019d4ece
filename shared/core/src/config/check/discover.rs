//! Servers that are found.

use super::duplicates;
use super::report::Report;
use crate::config::model::{KubernetesServices, Pool};
use crate::config::read::{Code, Path};

/// A pool has a list of servers or a place where they are found, not both: which of two would a weight or a drain mean?
pub(super) fn check(report: &mut Report<'_>, pool: &Pool, path: &Path) {
    let name = &pool.name;
    let place = path.key("discover");
    let Some(discover) = &pool.discover else {
        let what = format!("the servers of the pool \"{name}\" are not found anywhere");
        let write =
            "write `discover: { kubernetes: { services: [{ name: … }] } }`, or remove the key";
        report.empty_section(&place, true, &what, write);
        if pool.servers.is_empty()
            && !report.is_written(&path.key("servers"))
            && !report.is_written(&place)
        {
            report.value(
                &path.key("name"),
                Code::MissingKey,
                format!("the pool \"{name}\" has no servers"),
                "add `servers:` with a list, or `discover:`",
            );
        }
        return;
    };
    if report.is_written(&path.key("servers")) {
        report.key(
            &place,
            Code::Conflict,
            format!("the pool \"{name}\" lists its servers, and has others found"),
            "keep one of servers and discover; two pools can share a route's requests by `mirror` only",
        );
    }
    match &discover.kubernetes {
        Some(services) => kubernetes(report, pool, services, &place.key("kubernetes")),
        None => report.key(
            &place,
            Code::MissingKey,
            format!("the pool \"{name}\" doesn't say where its servers are found"),
            "add `kubernetes: { services: [{ name: … }] }`",
        ),
    }
}

fn kubernetes(report: &mut Report<'_>, pool: &Pool, found: &KubernetesServices, path: &Path) {
    let list = path.key("services");
    let names = found.services.iter().map(|service| service.name.as_str());
    let scope = format!(" in the pool \"{}\"", pool.name);
    duplicates::names(report, &list, "Service", &scope, names);
    if !found.services.is_empty() && found.services.iter().all(|service| service.weight == 0) {
        report.key(
            &list,
            Code::Conflict,
            format!(
                "every Service of the pool \"{}\" has weight 0: no server would get a request",
                pool.name
            ),
            "give at least one Service a weight of 1 or more",
        );
    }
    let unnamed = pool
        .tls
        .as_ref()
        .is_some_and(|tls| tls.verify && tls.server_name.is_none());
    if unnamed {
        report.key(
            path,
            Code::Conflict,
            format!(
                "the servers of the pool \"{}\" are found by their addresses, which no certificate holds",
                pool.name
            ),
            "set `server_name` in the pool's `tls`: the name that their certificates have",
        );
    }
}
