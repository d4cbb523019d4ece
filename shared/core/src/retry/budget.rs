//! The retry budget: retries as a share of recent requests.
//!
//! A fixed number of retries per request multiplies load just when it hurts: three tries in five
//! layers are 243 (Google SRE book, "Handling overload"). A budget bounds the factor for the pool as a
//! whole. Finagle keeps a token bucket; we count requests and retries in ten one-second slots, because
//! slots need no refill and forget a burst after exactly ten seconds, where a bucket's cap decides
//! how long it is remembered.
//!
//! Each slot is one atomic word that holds its second and its count, so that recording is one
//! read-modify-write, and a slot of an earlier round is recognised and restarted. Two threads that
//! restart a slot at once can lose a few counts; the budget is then a little tighter, never wider.

use super::benefit::{Benefit, Kind};
use crate::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Of a second's requests that may be retried while retries don't help, and one on top.
const LOOK_AGAIN: f64 = 0.01;

const SLOTS: usize = 10;

/// Counts of the last ten seconds.
#[derive(Debug, Default)]
struct Window {
    slots: [AtomicU64; SLOTS],
}

/// A pool's or a route's budget. Shared by threads; all calls are lock-free.
#[derive(Debug)]
pub struct Budget {
    ratio: f64,
    floor: u32,
    requests: Window,
    retries: Window,
    /// None: retries go on whether they help or not.
    benefit: Option<Benefit>,
}

// === impl Budget ===

impl Budget {
    /// Allows `ratio` (0.0 to 1.0) of the last ten seconds' requests plus `floor` a second.
    #[must_use]
    pub fn new(ratio: f64, floor: u32) -> Self {
        let ratio = if ratio.is_finite() {
            ratio.clamp(0.0, 1.0)
        } else {
            0.0
        };
        Self {
            ratio,
            floor,
            requests: Window::default(),
            retries: Window::default(),
            benefit: Some(Benefit::default()),
        }
    }

    /// The same, but retries go on whether they help or not.
    #[must_use]
    pub fn undaunted(ratio: f64, floor: u32) -> Self {
        Self {
            benefit: None,
            ..Self::new(ratio, floor)
        }
    }

    /// Counts a request (not a retry).
    pub fn deposit(&self, now: Instant) {
        self.requests.add(now);
    }

    /// Takes one retry out of the budget; `false` when it is exhausted.
    #[must_use]
    pub fn withdraw(&self, now: Instant) -> bool {
        let allowed =
            self.ratio * self.requests.sum(now) as f64 + f64::from(self.floor) * SLOTS as f64;
        if (self.retries.sum(now) + 1) as f64 > allowed {
            return false;
        }
        self.retries.add(now);
        true
    }

    /// Whether retries after failures of this kind have saved too few requests of late, and enough of them were made in
    /// this second to notice when they help again.
    #[must_use]
    pub fn is_futile(&self, kind: Kind, now: Instant) -> bool {
        let is_low = self.benefit.as_ref().is_some_and(|b| b.is_low(kind, now));
        is_low && {
            let allowed = 1.0 + LOOK_AGAIN * self.requests.latest(now) as f64;
            (self.retries.latest(now) + 1) as f64 > allowed
        }
    }

    /// Takes in how a request ended whose last retry followed a failure of this kind.
    pub fn settle(&self, kind: Kind, saved: bool, now: Instant) {
        if let Some(benefit) = &self.benefit {
            benefit.record(kind, saved, now);
        }
    }

    /// Requests and retries of the last ten seconds.
    #[must_use]
    pub fn counts(&self, now: Instant) -> (u64, u64) {
        (self.requests.sum(now), self.retries.sum(now))
    }
}

// === impl Window ===

impl Window {
    fn add(&self, now: Instant) {
        let second = second(now);
        let Some(slot) = self.slots.get((second % SLOTS as u64) as usize) else {
            return;
        };
        let word = slot.load(Relaxed);
        let restarted = word >> 32 != second
            && slot
                .compare_exchange(word, second << 32 | 1, Relaxed, Relaxed)
                .is_ok();
        if !restarted {
            slot.fetch_add(1, Relaxed);
        }
    }

    /// Of the second that has begun.
    fn latest(&self, now: Instant) -> u64 {
        let second = second(now);
        self.slots
            .get((second % SLOTS as u64) as usize)
            .map(|slot| slot.load(Relaxed))
            .filter(|word| word >> 32 == second)
            .map_or(0, |word| word & u64::from(u32::MAX))
    }

    fn sum(&self, now: Instant) -> u64 {
        let second = second(now);
        self.slots
            .iter()
            .map(|slot| slot.load(Relaxed))
            .filter(|word| (word >> 32) + SLOTS as u64 > second)
            .map(|word| word & u64::from(u32::MAX))
            .sum()
    }
}

/// The second of `now`, from 1, so that an empty slot is never taken for a fresh one.
fn second(now: Instant) -> u64 {
    (now.as_nanos() / 1_000_000_000 + SLOTS as u64) & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let budget = Budget::new(0.2, 0);
        (0..1000).for_each(|i| budget.deposit(at(i)));
        let granted = (0..1000).filter(|_| budget.withdraw(at(1000))).count();
        assert_eq!(granted, 200);
    }

    #[test]
    fn small_pools_can_retry_at_all() {
        let budget = Budget::new(0.2, 10);
        assert!(
            budget.withdraw(at(0)),
            "without any request, the floor allows it"
        );
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let budget = Budget::new(0.2, 0);
        (0..100).for_each(|_| budget.deposit(at(500)));
        assert!(budget.withdraw(at(9_000)));
        assert!(!budget.withdraw(at(11_000)));
        assert_eq!(budget.counts(at(30_000)), (0, 0));
    }

    #[test]
    fn an_outage_is_not_retried_beyond_a_few() {
        let retried = |budget: Budget| {
            let mut retries = 0;
            for i in 0..4000 {
                let now = at(i * 3);
                budget.deposit(now);
                if i >= 2000 && !budget.is_futile(Kind::Status, now) && budget.withdraw(now) {
                    retries += 1;
                    budget.settle(Kind::Status, false, now);
                }
            }
            retries
        };
        let kept = retried(Budget::new(0.2, 10));
        assert!(kept <= 80, "{kept} of 2000");
        let control = retried(Budget::undaunted(0.2, 10));
        assert!(control >= 500, "without it: {control} of 2000");
    }

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded(
            steps in proptest::collection::vec((0u64..300, any::<bool>()), 1..300)
        ) {
            let budget = Budget::new(0.2, 1);
            let mut now = 0;
            let mut log: Vec<(u64, bool)> = Vec::new();
            for (pause, retry) in steps {
                now += pause;
                if !retry {
                    budget.deposit(at(now));
                    log.push((now, false));
                } else if budget.withdraw(at(now)) {
                    log.push((now, true));
                }
                let recent = |retries| log.iter().filter(|(t, r)| *r == retries && *t + 11_000 > now).count();
                prop_assert!(recent(true) as f64 <= 0.2 * recent(false) as f64 + 2.0 * 10.0 + 1.0);
            }
        }
    }
}
