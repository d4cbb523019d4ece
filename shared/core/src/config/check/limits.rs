//! Limits that would limit everything away, and the access log.

use super::report::Report;
use crate::config::model::{AccessLog, Limits};
use crate::config::read::{Code, Path};
use crate::config::scalar::{ByteSize, DurationText};

/// Smallest room for a request head: browsers send some 600 bytes.
const LEAST_HEAD: ByteSize = ByteSize(1 << 10);
/// Smallest room for a request target.
const LEAST_TARGET: ByteSize = ByteSize(64);
const LEAST: DurationText = DurationText::millis(1);

pub(super) fn check(report: &mut Report<'_>, limits: &Limits, path: &Path) {
    let durations = [
        ("header_timeout", limits.header_timeout),
        ("keepalive_timeout", limits.keepalive_timeout),
        ("tls_handshake_timeout", limits.tls_handshake_timeout),
        ("body_timeout", limits.body_timeout),
        ("write_timeout", limits.write_timeout),
        ("tunnel_idle_timeout", limits.tunnel_idle_timeout),
    ];
    for (key, value) in durations {
        report.duration(&path.key(key), value, LEAST);
    }
    let h2 = path.key("h2");
    report.duration(&h2.key("idle_timeout"), limits.h2.idle_timeout, LEAST);
    super::protect::overload(report, &limits.overload, &path.key("overload"));
    let what = "every request would be refused";
    let head = path.key("max_header_size");
    at_least(report, &head, limits.max_header_size, LEAST_HEAD, what);
    let target = path.key("max_target");
    at_least(report, &target, limits.max_target, LEAST_TARGET, what);
    let list = h2.key("max_header_list");
    at_least(report, &list, limits.h2.max_header_list, LEAST_HEAD, what);
    let written = report.is_written(&target) && report.is_written(&head);
    if written && limits.max_target > limits.max_header_size {
        report.value(
            &target,
            Code::Unreachable,
            format!(
                "a target of {} never fits into a head of {}",
                limits.max_target, limits.max_header_size
            ),
            "raise max_header_size or lower max_target",
        );
    }
}

pub(super) fn access_log(report: &mut Report<'_>, log: &AccessLog, path: &Path) {
    if log.slow > DurationText::secs(366 * 24 * 3600) {
        let hint = "write 366d or less";
        report.value(
            &path.key("slow"),
            Code::OutOfRange,
            "longer than a year",
            hint,
        );
    }
}

fn at_least(report: &mut Report<'_>, path: &Path, value: ByteSize, least: ByteSize, why: &str) {
    if value < least {
        report.value(
            path,
            Code::OutOfRange,
            format!("{value} is too small: {why}"),
            format!("write {least} or more"),
        );
    }
}
