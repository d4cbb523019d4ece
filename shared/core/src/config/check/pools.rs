//! Pools and their servers (regional tier).

use super::duplicates::{self, Seen};
use super::report::Report;
use super::{balance, discover, health, protect, upstream};
use crate::config::address::ServerAddress;
use crate::config::model::{Listener, Pool};
use crate::config::read::{Code, Path};
use crate::config::scalar::DurationText;

/// Shortest time between two look-ups of the same names.
const LEAST_RESOLVE: DurationText = DurationText::millis(10);
const LEAST: DurationText = DurationText::millis(1);

pub(super) fn check(report: &mut Report<'_>, pools: &[Pool], listeners: &[Listener]) {
    let list = Path::root().key("pools");
    duplicates::names(
        report,
        &list,
        "pool",
        "",
        pools.iter().map(|pool| pool.name.as_str()),
    );
    for (at, pool) in pools.iter().enumerate() {
        let path = list.index(at);
        let owner = format!("the pool \"{}\"", pool.name);
        servers(report, pool, listeners, &path.key("servers"));
        discover::check(report, pool, &path);
        balance::check(report, pool, &path.key("balance"));
        let tls = path.key("tls");
        upstream::tls(report, pool.tls.as_ref(), &owner, &tls);
        let checks = path.key("health_check");
        health::check(report, &pool.health_check, pool.protocol, &owner, &checks);
        health::outlier(report, &pool.outlier, &owner, &path.key("outlier"));
        protect::pool(report, pool, &owner, &path);
        report.duration(&path.key("idle_timeout"), pool.idle_timeout, LEAST);
        report.duration(
            &path.key("resolve_interval"),
            pool.resolve_interval,
            LEAST_RESOLVE,
        );
    }
}

fn servers(report: &mut Report<'_>, pool: &Pool, listeners: &[Listener], list: &Path) {
    let names = pool.servers.iter().map(|server| server.name.as_str());
    let scope = format!(" in the pool \"{}\"", pool.name);
    duplicates::names(report, list, "server", &scope, names);
    let mut seen = Seen::new();
    for (at, server) in pool.servers.iter().enumerate() {
        let Ok(address) = ServerAddress::parse(&server.address) else {
            continue;
        };
        let owner = format!("the server \"{}\"", server.name);
        let place = || list.index(at).key("address");
        upstream::not_ourselves(report, &address, listeners, &owner, place);
        if let Some(first) = seen.again(address, at) {
            report.repeated(
                &place(),
                &list.index(first).key("address"),
                format!("{} is in the pool \"{}\" twice", server.address, pool.name),
                "keep one of them, and raise its weight for a larger share",
            );
        }
    }
    if !pool.servers.is_empty() && pool.servers.iter().all(|server| server.weight == 0) {
        report.key(
            list,
            Code::Conflict,
            format!(
                "every server of the pool \"{}\" has weight 0: none would get a request",
                pool.name
            ),
            "give at least one server a weight of 1 or more",
        );
    }
}
