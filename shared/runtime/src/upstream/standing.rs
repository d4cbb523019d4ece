//! How an endpoint stands among its peers: what its traffic said of it, since when it is back, how slow it is.
//!
//! **Problem.** Three mechanisms need to remember something of an endpoint across views and reloads: the statistics its
//! recent outcomes, slow start the moment of its return, the comparison of latencies its factor. The data path
//! adds to the first with every request, and must not feel it.
//!
//! **Choice.** One record per endpoint. Requests touch only the window (two relaxed atomics); the rest is
//! written by the control thread. The moment of return is not stored twice: the end of the last ejection is known to
//! the endpoint anyway, and the later of that and the last recovery counts.
//!
//! **Process start.** An endpoint that turns healthy for the first time has not *returned*: all of them do so in the
//! first seconds, and nobody's caches are warmer than anybody's. Only a newcomer to a pool that
//! already had endpoints starts slowly.

use lb_core::config::model::{Outlier, SlowStart};
use lb_core::outlier::latency::{Rules, Tracker};
use lb_core::outlier::statistics::Reason;
use lb_core::outlier::window::Window;
use lb_core::slow_start::factor_with;
use lb_core::time::Instant;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The factor of weight that stands for all of it.
const WHOLE: u32 = 100;

/// What convicted an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Conviction {
    /// So many gateway errors in a row.
    Row(u32),
    /// A comparison with its peers, or its failures alone.
    Statistics(Reason),
}

/// How an endpoint stands among its peers.
#[derive(Debug)]
pub struct Standing {
    /// Its outcomes of the last ten seconds.
    pub window: Window,
    /// When checks found it well again, in nanoseconds; 0 is never.
    recovered_at: AtomicU64,
    /// It joined a pool that was at work already.
    newcomer: AtomicBool,
    /// Hundredths of its weight that its latency leaves it.
    factor: AtomicU32,
    tracker: Mutex<Tracker>,
    conviction: Mutex<Option<Conviction>>,
}

// === impl Conviction ===

impl Conviction {
    /// The metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Row(_) => "consecutive_errors",
            Self::Statistics(reason) => reason.label(),
        }
    }

    /// All labels.
    pub(crate) const LABELS: [&'static str; 4] = [
        "consecutive_errors",
        "failure_percentage",
        "success_rate",
        "peers",
    ];
}

impl fmt::Display for Conviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(errors) => write!(f, "{errors} gateway errors in a row"),
            Self::Statistics(reason) => reason.fmt(f),
        }
    }
}

// === impl Standing ===

impl Default for Standing {
    fn default() -> Self {
        Self {
            window: Window::default(),
            recovered_at: AtomicU64::new(0),
            newcomer: AtomicBool::new(false),
            factor: AtomicU32::new(WHOLE),
            tracker: Mutex::default(),
            conviction: Mutex::default(),
        }
    }
}

impl Standing {
    /// Notes that it joined a pool that was at work already.
    pub fn set_newcomer(&self) {
        self.newcomer.store(true, Relaxed);
    }

    /// Notes that checks find it well. `returned`: they had found it ill before.
    pub(super) fn recovered(&self, returned: bool, now: Instant) {
        let joined = self.newcomer.swap(false, Relaxed);
        if returned || joined {
            self.recovered_at.store(now.as_nanos().max(1), Relaxed);
            self.window.clear();
        }
    }

    /// The last recovery; none when it has always been well.
    pub(super) fn recovered_at(&self) -> Option<Instant> {
        Some(self.recovered_at.load(Relaxed))
            .filter(|at| *at > 0)
            .map(Instant::from_nanos)
    }

    /// Notes what it was ejected for, and forgets what led to it.
    pub(super) fn convicted(&self, conviction: Conviction) {
        *lock(&self.conviction) = Some(conviction);
        self.window.clear();
    }

    /// What it was last ejected for.
    #[must_use]
    pub fn conviction(&self) -> Option<Conviction> {
        *lock(&self.conviction)
    }

    /// The part of its weight that its latency leaves it, 0.1 to 1.0.
    #[must_use]
    pub fn latency_factor(&self) -> f64 {
        f64::from(self.factor.load(Relaxed)) / f64::from(WHOLE)
    }

    /// Compares its latency with its peers'; without `latencies` (its own, their median) nothing speaks against it.
    /// True when the factor changed by a hundredth or more.
    pub(super) fn compare(
        &self,
        latencies: Option<(Duration, Duration)>,
        rules: &Rules,
        now: Instant,
    ) -> bool {
        let (own, median) = latencies.unwrap_or_default();
        let factor = lock(&self.tracker).update(own, median, rules, now);
        let next = (factor * f64::from(WHOLE)).round() as u32;
        self.factor.swap(next, Relaxed) != next
    }

    /// Forgets its outcomes.
    pub(super) fn forget_outcomes(&self) {
        self.window.clear();
    }

    /// Takes over a changed configuration: what was switched off has no effect any more.
    pub(super) fn reconfigure(&self, outlier: &Outlier) {
        if !Rules::new(outlier).enabled {
            *lock(&self.tracker) = Tracker::default();
            self.factor.store(WHOLE, Relaxed);
        }
    }
}

/// The part of its weight that an endpoint has that is back since `returned`: 0.1 to 1.0 in hundredths.
pub(super) fn ramp(returned: Option<Instant>, rules: &SlowStart, now: Instant) -> f64 {
    let Some(returned) = returned else { return 1.0 };
    let factor = factor_with(now.since(returned), rules.window.get(), rules.aggression);
    (factor * 100.0).round() / 100.0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_health_is_no_return_except_for_a_newcomer() {
        let (first, joined) = (Standing::default(), Standing::default());
        joined.set_newcomer();
        let now = Instant::from_millis(5_000);
        for standing in [&first, &joined] {
            standing.recovered(false, now);
        }
        assert_eq!(first.recovered_at(), None);
        assert_eq!(joined.recovered_at(), Some(now));
        first.recovered(true, now + SEC);
        assert_eq!(first.recovered_at(), Some(now + SEC));
    }

    #[test]
    fn a_return_starts_with_a_tenth_and_an_empty_window() {
        let standing = Standing::default();
        let now = Instant::from_millis(5_000);
        standing.window.record(true, now);
        standing.recovered(true, now);
        assert_eq!(standing.window.counts(now).requests, 0);
        let rules = SlowStart::default();
        let at = |seconds| ramp(standing.recovered_at(), &rules, now + SEC * seconds);
        assert_eq!((at(0), at(10), at(30), at(99)), (0.1, 0.4, 1.0, 1.0));
        assert_eq!(ramp(None, &rules, now), 1.0);
    }

    #[test]
    fn weight_goes_only_after_a_while_and_comes_back() {
        let (standing, rules) = (Standing::default(), Rules::default());
        let slow = Some((SEC, SEC / 10));
        let mut now = Instant::from_millis(1_000);
        for _ in 0..=10 {
            standing.compare(slow, &rules, now);
            now += SEC;
        }
        assert!(standing.latency_factor() > 0.75);
        for _ in 0..20 {
            standing.compare(slow, &rules, now);
            now += SEC;
        }
        assert_eq!(standing.latency_factor(), 0.1);
        for _ in 0..10 {
            standing.compare(None, &rules, now);
            now += SEC;
        }
        assert_eq!(standing.latency_factor(), 1.0);
    }
}
