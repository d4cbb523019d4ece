//! Monotonic time as a value.
//!
//! Every decision in this crate takes `now` as an argument, so that a test or a simulation can
//! replay it from a seed and so that a step of the wall clock changes nothing. The only clock that
//! makes these values in production lives in `lb-runtime::clock`.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A point on the process's monotonic time line, in nanoseconds since an arbitrary start.
///
/// Covers 584 years; arithmetic saturates instead of wrapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the time line.
    pub const ZERO: Self = Self(0);

    /// A point `nanos` nanoseconds after the start of the time line.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A point `millis` milliseconds after the start of the time line.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start of the time line.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, or zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time left until `deadline`, or zero when it has passed.
    #[must_use]
    pub const fn until(self, deadline: Self) -> Duration {
        deadline.since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_negative() {
        let (a, b) = (Instant::from_millis(5), Instant::from_millis(9));
        assert_eq!(b.since(a), Duration::from_millis(4));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(a.until(b), Duration::from_millis(4));
    }

    #[test]
    fn additions_saturate() {
        assert_eq!(
            Instant::from_nanos(u64::MAX) + Duration::from_secs(1),
            Instant::from_nanos(u64::MAX)
        );
    }
}
