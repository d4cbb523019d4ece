//! Active checks and outlier ejection.

use super::report::Report;
use crate::config::model::{HealthCheck, HttpCheck, Outlier, UpstreamHttp};
use crate::config::read::{Code, Path};
use crate::config::scalar::DurationText;

/// Shortest time between two probes: below it the probing itself is the load.
const LEAST_INTERVAL: DurationText = DurationText::millis(10);
const LEAST: DurationText = DurationText::millis(1);

pub(super) fn check(
    report: &mut Report<'_>,
    check: &HealthCheck,
    protocol: UpstreamHttp,
    owner: &str,
    path: &Path,
) {
    kinds(report, check, protocol, owner, path);
    times(report, check, owner, path);
    if let Some(http) = &check.http {
        http_check(report, http, &path.key("http"));
    }
}

pub(super) fn outlier(report: &mut Report<'_>, outlier: &Outlier, owner: &str, path: &Path) {
    report.duration(&path.key("base_ejection"), outlier.base_ejection, LEAST);
    let longest = path.key("max_ejection");
    report.duration(&longest, outlier.max_ejection, LEAST);
    if outlier.base_ejection > outlier.max_ejection {
        report.value(
            &nearest(report, longest, path.key("base_ejection")),
            Code::Conflict,
            format!(
                "{owner}: the first ejection ({}) is longer than the longest ({})",
                outlier.base_ejection, outlier.max_ejection
            ),
            "raise max_ejection or lower base_ejection",
        );
    }
}

/// The first of two contradicting settings that the file itself has.
pub(super) fn nearest(report: &Report<'_>, first: Path, second: Path) -> Path {
    if report.is_written(&first) {
        first
    } else {
        second
    }
}

fn kinds(
    report: &mut Report<'_>,
    check: &HealthCheck,
    protocol: UpstreamHttp,
    owner: &str,
    path: &Path,
) {
    let given = [
        ("http", check.http.is_some()),
        ("tcp", check.tcp.is_some()),
        ("grpc", check.grpc.is_some()),
    ];
    let mut given = given.into_iter().filter_map(|(key, is)| is.then_some(key));
    let first = given.next();
    for key in given {
        report.key(
            &path.key(key),
            Code::Conflict,
            format!(
                "{owner} is probed by {} already; it can't be probed by {key} too",
                first.unwrap_or_default()
            ),
            "keep one of http, tcp and grpc",
        );
    }
    for (key, is_absent) in [
        ("http", check.http.is_none()),
        ("tcp", check.tcp.is_none()),
        ("grpc", check.grpc.is_none()),
    ] {
        let what = format!("{owner} is not probed by {key}");
        let write = format!("write `{key}: {{}}` for its defaults, or remove the key");
        report.empty_section(&path.key(key), is_absent, &what, &write);
    }
    if check.grpc.is_some() && protocol != UpstreamHttp::H2 {
        report.key(
            &path.key("grpc"),
            Code::Conflict,
            format!("{owner} is probed by gRPC, which needs HTTP/2"),
            "set `protocol: h2` beside health_check",
        );
    }
}

fn times(report: &mut Report<'_>, check: &HealthCheck, owner: &str, path: &Path) {
    let (interval, fast) = (path.key("interval"), path.key("fast_interval"));
    let timeout = path.key("timeout");
    report.duration(&interval, check.interval, LEAST_INTERVAL);
    report.duration(&fast, check.fast_interval, LEAST_INTERVAL);
    report.duration(&timeout, check.timeout, LEAST);
    if check.timeout >= check.interval {
        report.value(
            &nearest(report, timeout, interval.clone()),
            Code::Conflict,
            format!(
                "{owner}: a probe may take {}, but the next one starts after {}",
                check.timeout, check.interval
            ),
            "set timeout below interval",
        );
    }
    let written = report.is_written(&fast) && report.is_written(&interval);
    if written && check.fast_interval > check.interval {
        report.value(
            &fast,
            Code::Conflict,
            format!(
                "{owner}: the fast interval ({}) is longer than the interval ({})",
                check.fast_interval, check.interval
            ),
            "set fast_interval to interval or less",
        );
    }
}

fn http_check(report: &mut Report<'_>, check: &HttpCheck, path: &Path) {
    if check.statuses.is_empty() {
        report.value(
            &path.key("statuses"),
            Code::Invalid,
            "no status would count as healthy",
            "write [200-399], or remove the key",
        );
    }
    if check.body.as_deref() == Some("") {
        report.value(
            &path.key("body"),
            Code::Unreachable,
            "every body contains the empty text",
            "write the text that the body must contain, or remove the key",
        );
    }
}
