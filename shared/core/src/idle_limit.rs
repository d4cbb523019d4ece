//! How long an idle connection to an endpoint may be used again, learned from the endpoint's own closes.
//!
//! # Problem
//! A server closes a connection that was idle for its own limit. A request that is written just then is
//! lost, and when it is not idempotent it can't be repeated: with a limit below ours this fails several
//! percent of the POSTs of a quiet service, for ever. Operators know their servers' limits rarely.
//!
//! # Choice
//! The age at which idle connections die is seen anyway. Two closes in a row at about the same age are a
//! limit: connections are retired at nine tenths of it from then on. A restart closes connections at all ages,
//! and so teaches nothing. Without a further close for a minute the limit is raised by a quarter: it
//! may have been changed, and too low a guess costs only connections.
//!
//! Envoy and HAProxy leave the number to the operator (`idle_timeout`, `pool-purge-delay`).
//!
//! # Limits
//! One close is never enough, so the first losses of a new endpoint are not prevented. A limit by number of
//! requests instead of time is not learned.

use crate::time::Instant;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Two ages are about the same within this share of the larger one …
const LIKENESS: f64 = 0.2;
/// … or within this: timers of servers are coarse.
const GRAIN: Duration = Duration::from_millis(20);
/// The share of a limit up to which connections are used.
const MARGIN: f64 = 0.9;
/// How long nothing must die before the limit is raised.
const QUIET: Duration = Duration::from_secs(60);
/// By how much it is raised then.
const RAISE: f64 = 1.25;

/// What has been learned of one endpoint. Shared by threads; all calls are lock-free, and a lost update delays
/// the lesson by one close.
#[derive(Debug, Default)]
pub struct IdleLimit {
    /// Nanoseconds; 0 is none.
    learned: AtomicU64,
    /// The age of the last close, in nanoseconds; 0 is none.
    last: AtomicU64,
    /// When the limit was last confirmed or raised.
    since: AtomicU64,
    /// Closes teach nothing.
    is_fixed: AtomicBool,
}

// === impl IdleLimit ===

impl IdleLimit {
    /// How long a connection may have been idle and still be used: at most `configured`.
    #[must_use]
    pub fn limit(&self, configured: Duration) -> Duration {
        match self.learned.load(Relaxed) {
            0 => configured,
            nanos => Duration::from_nanos(nanos).min(configured),
        }
    }

    /// What was learned, when something was.
    #[must_use]
    pub fn learned(&self) -> Option<Duration> {
        let nanos = self.learned.load(Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Whether closes teach a limit, as they do at first. Without, what was learned is forgotten.
    pub fn set_learning(&self, learns: bool) {
        self.is_fixed.store(!learns, Relaxed);
        if !learns {
            self.learned.store(0, Relaxed);
            self.last.store(0, Relaxed);
        }
    }

    /// Notes that the endpoint closed a connection that had been idle for `age`.
    pub fn on_close(&self, age: Duration, now: Instant) {
        if self.is_fixed.load(Relaxed) {
            return;
        }
        let age = age.max(Duration::from_nanos(1));
        let before = Duration::from_nanos(self.last.swap(nanos(age), Relaxed));
        if before.is_zero() || !is_like(age, before) {
            return;
        }
        let limit = age.min(before).mul_f64(MARGIN);
        self.learned.store(nanos(limit).max(1), Relaxed);
        self.since.store(now.as_nanos(), Relaxed);
    }

    /// Raises the limit when nothing has died for a while; `configured` and above is no limit any more. To be called
    /// about once a second.
    pub fn relax(&self, configured: Duration, now: Instant) {
        let Some(learned) = self.learned() else {
            return;
        };
        if now.since(Instant::from_nanos(self.since.load(Relaxed))) < QUIET {
            return;
        }
        let raised = learned.mul_f64(RAISE);
        let limit = if raised >= configured {
            0
        } else {
            nanos(raised)
        };
        self.learned.store(limit, Relaxed);
        self.last.store(0, Relaxed);
        self.since.store(now.as_nanos(), Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn is_like(a: Duration, b: Duration) -> bool {
    let apart = a.abs_diff(b);
    apart <= GRAIN || apart <= a.max(b).mul_f64(LIKENESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(50);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn without_learning_closes_teach_nothing_and_what_was_learned_is_forgotten() {
        let limit = IdleLimit::default();
        let close = || (0..3).for_each(|_| limit.on_close(ms(5_000), at(10)));
        close();
        assert!(limit.learned().is_some());
        limit.set_learning(false);
        close();
        assert_eq!(limit.limit(CONFIGURED), CONFIGURED);
        limit.set_learning(true);
        close();
        assert!(limit.learned().is_some());
    }

    #[test]
    fn two_closes_at_one_age_are_a_limit() {
        let limit = IdleLimit::default();
        assert_eq!(limit.limit(CONFIGURED), CONFIGURED);
        limit.on_close(ms(5_000), at(10));
        assert_eq!(
            limit.limit(CONFIGURED),
            CONFIGURED,
            "one close may be a restart"
        );
        limit.on_close(ms(5_100), at(20));
        assert_eq!(limit.limit(CONFIGURED), ms(4_500));
        assert_eq!(
            limit.limit(ms(1_000)),
            ms(1_000),
            "never above what is configured"
        );
    }

    #[test]
    fn a_restart_teaches_nothing() {
        let limit = IdleLimit::default();
        for age in [40_000, 3, 900, 12_000, 150, 5_000] {
            limit.on_close(ms(age), at(10));
        }
        assert_eq!(limit.learned(), None);
    }

    #[test]
    fn a_lower_limit_is_learned_anew_and_a_higher_one_by_and_by() {
        let limit = IdleLimit::default();
        limit.on_close(ms(5_000), at(0));
        limit.on_close(ms(5_000), at(0));
        limit.on_close(ms(1_000), at(1));
        limit.on_close(ms(1_000), at(2));
        assert_eq!(limit.learned(), Some(ms(900)));
        limit.relax(CONFIGURED, at(30));
        assert_eq!(limit.learned(), Some(ms(900)), "not before a quiet minute");
        let mut now = 2;
        while limit.learned().is_some() {
            now += 60;
            limit.relax(CONFIGURED, at(now));
            assert!(now < 3_600, "it is forgotten within the hour");
        }
    }

    #[test]
    fn ages_within_the_grain_of_timers_are_alike() {
        let limit = IdleLimit::default();
        limit.on_close(ms(10), at(0));
        limit.on_close(ms(25), at(0));
        assert_eq!(limit.learned(), Some(ms(9)));
    }
}
