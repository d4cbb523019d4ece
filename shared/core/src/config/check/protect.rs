//! Protection of pools and of the process, and what routes do with parts of their requests.

use super::health::nearest;
use super::report::Report;
use crate::config::model::{Overload, Pool, RegionChoice, Route};
use crate::config::read::{Code, Path};
use crate::config::scalar::DurationText;

const LEAST: DurationText = DurationText::millis(1);
/// Least life of a cookie: shorter, no second request would bring it.
const LEAST_TTL: DurationText = DurationText::secs(1);

pub(super) fn pool(report: &mut Report<'_>, pool: &Pool, owner: &str, path: &Path) {
    if !pool.slow_start.window.get().is_zero() {
        let window = path.key("slow_start").key("window");
        report.duration(&window, pool.slow_start.window, LEAST);
    }
    let breaker = path.key("circuit_breaker");
    if pool.circuit_breaker.max_pending > 0 {
        let wait = breaker.key("max_wait");
        report.duration(&wait, pool.circuit_breaker.max_wait, LEAST);
    }
    adaptive(report, pool, owner, &path.key("adaptive_concurrency"));
    let cookie = path.key("affinity");
    let write = "write `affinity: { secret_file: … }`, or remove the key";
    let what = format!("{owner} keeps nobody on a server");
    report.empty_section(&cookie, pool.affinity.is_none(), &what, write);
    if let Some(affinity) = &pool.affinity {
        report.duration(&cookie.key("ttl"), affinity.ttl, LEAST_TTL);
    }
    let latency = path.key("outlier").key("latency");
    report.duration(&latency.key("after"), pool.outlier.latency.after, LEAST);
}

fn adaptive(report: &mut Report<'_>, pool: &Pool, owner: &str, path: &Path) {
    let limits = &pool.adaptive_concurrency;
    if limits.min_limit > limits.max_limit {
        report.value(
            &nearest(report, path.key("min_limit"), path.key("max_limit")),
            Code::Conflict,
            format!(
                "{owner}: the least limit ({}) is above the greatest ({})",
                limits.min_limit, limits.max_limit
            ),
            "raise max_limit or lower min_limit",
        );
    }
}

pub(super) fn route(report: &mut Report<'_>, route: &Route, path: &Path) {
    rate_limit(report, route, &path.key("rate_limit"));
    let fault = path.key("fault");
    let name = &route.name;
    if let Some(delay) = &route.fault.delay {
        report.duration(&fault.key("delay").key("time"), delay.time, LEAST);
    }
    for (key, is_absent) in [
        ("delay", route.fault.delay.is_none()),
        ("abort", route.fault.abort.is_none()),
    ] {
        let what = format!("the route \"{name}\" disturbs nothing by {key}");
        let write = "write its share, or remove the key";
        report.empty_section(&fault.key(key), is_absent, &what, write);
    }
    let what = format!("the route \"{name}\" copies nothing");
    let write = "write `mirror: { pool: … }`, or remove the key";
    report.empty_section(&path.key("mirror"), route.mirror.is_none(), &what, write);
}

/// The cookie of a route over regions.
pub(super) fn region_cookie(
    report: &mut Report<'_>,
    name: &str,
    choice: &RegionChoice,
    path: &Path,
) {
    let write = "write `affinity: { secret_file: … }`, or remove the key";
    let what = format!("the route \"{name}\" keeps nobody in a region");
    report.empty_section(path, choice.affinity.is_none(), &what, write);
    if let Some(affinity) = &choice.affinity {
        report.duration(&path.key("ttl"), affinity.ttl, LEAST_TTL);
    }
}

fn rate_limit(report: &mut Report<'_>, route: &Route, path: &Path) {
    let name = &route.name;
    let what = format!("the route \"{name}\" limits nobody");
    let write = "write `rate_limit: { requests: 100 }`, or remove the key";
    report.empty_section(path, route.rate_limit.is_none(), &what, write);
    let Some(limit) = &route.rate_limit else {
        return;
    };
    report.duration(&path.key("per"), limit.per, LEAST);
    if limit.key.header.is_some() && limit.key.path {
        report.key(
            &path.key("key").key("path"),
            Code::Conflict,
            format!("the route \"{name}\" tells clients apart by a header already"),
            "keep one of header and path",
        );
    }
}

pub(super) fn overload(report: &mut Report<'_>, overload: &Overload, path: &Path) {
    let marks = [
        (
            "memory_refuse",
            "memory_no_keepalive",
            overload.memory_refuse < overload.memory_no_keepalive,
        ),
        (
            "lag_refuse",
            "lag_no_keepalive",
            overload.lag_refuse < overload.lag_no_keepalive,
        ),
    ];
    for (refuse, no_keepalive, is_reversed) in marks {
        if is_reversed {
            report.value(
                &nearest(report, path.key(refuse), path.key(no_keepalive)),
                Code::Conflict,
                format!("{refuse} is below {no_keepalive}: requests would be refused first"),
                format!("raise {refuse} or lower {no_keepalive}"),
            );
        }
    }
    for (key, value) in [
        ("lag_no_keepalive", overload.lag_no_keepalive),
        ("lag_refuse", overload.lag_refuse),
    ] {
        report.duration(&path.key(key), value, LEAST);
    }
}

/// A copy to the same pool would be a second request with effects.
pub(super) fn mirror_of_itself(report: &mut Report<'_>, route: &Route, path: &Path) {
    if let Some(mirror) = &route.mirror
        && route.pool.as_ref() == Some(&mirror.pool)
    {
        report.value(
            &path.key("mirror").key("pool"),
            Code::Conflict,
            format!(
                "the route \"{}\" copies to the pool that serves it",
                route.name
            ),
            "name another pool",
        );
    }
}
