//! The one place where this program reads the clock.
//!
//! The platform's programs take `now` as an argument and read it in `lb_runtime::clock`. The
//! measuring tool must not depend on what it measures, so it has a clock file of its own.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time now. A `vDSO` call of about 30 ns, so one per answer is affordable.
#[allow(
    clippy::disallowed_methods,
    reason = "the clock file of a tool that must not depend on lb-runtime"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for the date of a report only; 0 when the wall clock stands before that.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
