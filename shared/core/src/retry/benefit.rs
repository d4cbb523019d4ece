//! Whether retries help at all.
//!
//! # Problem
//! A budget bounds retries as a share of the requests, whatever becomes of them. When every server answers 503, each of
//! those retries is load without use: with 20 % and a floor in both tiers, a short outage still doubles what servers see.
//!
//! # Choice
//! An average of how retried requests ended, over about 16 of them, apart for each kind of failure. When fewer than one in ten
//! was saved, retries of that kind are held back to one a second and 1 % of the requests: enough to notice within a
//! second that they help again, and then one or two saved requests are enough. What nobody has worked on (no connection, refused) is always worth
//! another try and is not held back, so a route whose application answers 503 loses nothing when a server dies. But a tier below that found nobody
//! has made tries of its own for it: when no other region has servers either, asking there as well is held back like the rest.
//!
//! # Rejected
//! - Counting failures of all requests (gRPC's retry throttling): it stops retries when one server of three fails, just
//!   when they save a third of the requests.
//! - A smaller budget: a dead region needs a retry for each request until its loss is noticed.
//!
//! # Sources
//! gRFC A6 (retry throttling); AWS SDK, "standard" retry mode (a retry quota that successes refill); Google SRE book, ch. 21.

use super::Failure;
use crate::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The average, in parts of this.
const ONE: u64 = 1 << 16;
/// Requests over which it is taken.
const SPAN: u64 = 16;
/// Fewer saved than this are too few.
const LEAST: u64 = ONE / 10;
/// What was seen so long ago says nothing.
const FORGET: Duration = Duration::from_secs(10);

/// What kind of failure a retry answers: each has its own average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A status that says "not now".
    Status,
    /// No response's head in time.
    Timeout,
    /// The connection broke, or the answer was not HTTP.
    Broken,
    /// A tier below has nobody who would take the request.
    Unserved,
}

/// The share of retried requests that a retry saved. Shared by threads, lock-free; racing threads may lose an
/// outcome.
#[derive(Debug)]
pub(super) struct Benefit {
    /// By kind: share saved, and when it was last seen.
    kinds: [(AtomicU64, AtomicU64); 4],
}

// === impl Kind ===

impl Kind {
    /// The kind of a failure; none when nobody has worked on the request.
    #[must_use]
    pub const fn of(failure: Failure) -> Option<Self> {
        match failure {
            Failure::Status(_) => Some(Self::Status),
            Failure::FirstByteTimeout => Some(Self::Timeout),
            Failure::Reset | Failure::Malformed => Some(Self::Broken),
            Failure::Unserved => Some(Self::Unserved),
            Failure::Connect | Failure::NotProcessed | Failure::Stale | Failure::Overloaded => None,
        }
    }
}

// === impl Benefit ===

impl Default for Benefit {
    fn default() -> Self {
        Self {
            kinds: [(); 4].map(|()| (AtomicU64::new(ONE), AtomicU64::new(0))),
        }
    }
}

impl Benefit {
    /// Takes in how a retried request ended.
    pub(super) fn record(&self, kind: Kind, saved: bool, now: Instant) {
        let Some((share, seen)) = self.kinds.get(kind as usize) else {
            return;
        };
        let old = if self.is_forgotten(kind, now) {
            ONE
        } else {
            share.load(Relaxed)
        };
        let outcome = if saved { ONE } else { 0 };
        share.store(old - old / SPAN + outcome / SPAN, Relaxed);
        seen.store(now.as_nanos(), Relaxed);
    }

    /// Whether retries of this kind save too few requests.
    pub(super) fn is_low(&self, kind: Kind, now: Instant) -> bool {
        self.kinds
            .get(kind as usize)
            .is_some_and(|(share, _)| share.load(Relaxed) < LEAST)
            && !self.is_forgotten(kind, now)
    }

    fn is_forgotten(&self, kind: Kind, now: Instant) -> bool {
        self.kinds.get(kind as usize).is_none_or(|(_, seen)| {
            let seen = Instant::from_nanos(seen.load(Relaxed));
            now.since(seen) > FORGET
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn after(outcomes: impl IntoIterator<Item = bool>) -> Benefit {
        let benefit = Benefit::default();
        for saved in outcomes {
            benefit.record(Kind::Status, saved, at(1000));
        }
        benefit
    }

    #[test]
    fn retries_that_all_fail_are_held_back_after_some_forty() {
        let few = after([false; 20]);
        assert!(!few.is_low(Kind::Status, at(1000)));
        let many = after([false; 45]);
        assert!(many.is_low(Kind::Status, at(1000)));
        assert!(
            !many.is_low(Kind::Timeout, at(1000)),
            "other kinds are judged apart"
        );
    }

    #[test]
    fn two_successes_are_enough_to_go_on() {
        let benefit = after([false; 40]);
        assert!(benefit.is_low(Kind::Status, at(1000)));
        benefit.record(Kind::Status, true, at(1500));
        benefit.record(Kind::Status, true, at(1500));
        assert!(!benefit.is_low(Kind::Status, at(1500)));
    }

    #[test]
    fn half_of_them_saved_is_plenty() {
        let benefit = after((0..500).map(|i| i % 2 == 0));
        assert!(!benefit.is_low(Kind::Status, at(1000)));
    }

    #[test]
    fn an_outage_of_long_ago_is_forgotten() {
        let benefit = after([false; 100]);
        assert!(benefit.is_low(Kind::Status, at(2000)));
        assert!(!benefit.is_low(Kind::Status, at(12_000)));
        benefit.record(Kind::Status, false, at(12_000));
        assert!(!benefit.is_low(Kind::Status, at(12_000)));
    }

    #[test]
    fn what_nobody_worked_on_has_no_kind() {
        for failure in [Failure::Connect, Failure::NotProcessed, Failure::Stale] {
            assert_eq!(Kind::of(failure), None);
        }
        assert_eq!(Kind::of(Failure::Status(503)), Some(Kind::Status));
        assert_eq!(Kind::of(Failure::Unserved), Some(Kind::Unserved));
    }
}
