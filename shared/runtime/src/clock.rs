//! The one place that reads the clock.
//!
//! Decisions take `now` as an argument; what calls them in production takes it from here.

use lb_core::time::Instant;
use std::sync::OnceLock;

/// Monotonic time since the first call in this process.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that the ban points to"
)]
pub fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let nanos = START
        .get_or_init(std::time::Instant::now)
        .elapsed()
        .as_nanos();
    Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
