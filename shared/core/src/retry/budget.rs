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

use crate::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
