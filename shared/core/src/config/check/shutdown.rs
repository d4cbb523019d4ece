//! Times of leaving that contradict each other.

use super::report::Report;
use crate::config::model::Shutdown;
use crate::config::read::{Code, Path};
use crate::config::scalar::DurationText;

/// A process that takes longer to leave is never waited for.
const MOST: DurationText = DurationText::secs(24 * 3600);

pub(super) fn check(report: &mut Report<'_>, shutdown: &Shutdown, path: &Path) {
    let times = [
        ("lame_duck", shutdown.lame_duck),
        ("drain", shutdown.drain),
        ("stream_drain", shutdown.stream_drain),
    ];
    for (key, time) in times {
        if time > MOST {
            let what = format!("{time} is longer than a day");
            report.value(&path.key(key), Code::OutOfRange, what, "write 24h or less");
        }
    }
    let delay = path.key("readiness_fail_delay");
    if report.is_written(&delay) && shutdown.readiness_fail_delay > shutdown.lame_duck {
        let what = format!(
            "the lame duck is over after {}, and readiness would fail {} after its begin",
            shutdown.lame_duck, shutdown.readiness_fail_delay
        );
        let hint = "write at most the time of lame_duck, or raise that";
        report.value(&delay, Code::Unreachable, what, hint);
    }
    let streams = path.key("stream_drain");
    if report.is_written(&streams) && shutdown.stream_drain < shutdown.drain {
        let what = format!(
            "streams would be cut after {}, sooner than other requests after {}",
            shutdown.stream_drain, shutdown.drain
        );
        let hint = "write at least the time of drain";
        report.value(&streams, Code::Unreachable, what, hint);
    }
}
