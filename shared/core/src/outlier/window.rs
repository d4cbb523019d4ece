//! An endpoint's requests and gateway failures of the last ten seconds.
//!
//! # Problem
//! Statistics against the peers need counts of the recent past, from all threads, at a cost that no request feels.
//!
//! # Choice
//! Ten slots of a second. One word holds a slot's second, its requests and its failures, so that an outcome is one
//! load and one addition, and a slot of an earlier round is recognised by its second and restarted.
//!
//! # Rejected
//! Averages with exponential decay: they can't say how many requests they rest on, and a test of significance
//! asks just that.
//!
//! # Limits
//! Two threads that restart a slot at once lose a count now and then. A slot holds 16 million requests; beyond, the
//! second's further requests are left out.

use crate::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SLOTS: usize = 10;
/// The lowest bits count requests, the next ones failures, the highest name the second.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const SECOND: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// Counts of the last ten seconds. Shared by threads; all calls are lock-free.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Window {
    slots: [AtomicU64; SLOTS],
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that ended.
    pub requests: u32,
    /// Those that failed: gateway errors, time-outs, broken answers.
    pub failures: u32,
}

// === impl Window ===

impl Window {
    /// Counts an outcome.
    pub fn record(&self, failed: bool, now: Instant) {
        let second = second(now);
        let Some(slot) = self.slots.get((seconds(now) % SLOTS as u64) as usize) else {
            return;
        };
        let one = 1 | u64::from(failed) << COUNT_BITS;
        let word = slot.load(Relaxed);
        let fresh = second << (2 * COUNT_BITS) | one;
        if word >> (2 * COUNT_BITS) != second {
            if slot.compare_exchange(word, fresh, Relaxed, Relaxed).is_ok() {
                return;
            }
        } else if word & COUNT >= COUNT - 1024 {
            return;
        }
        slot.fetch_add(one, Relaxed);
    }

    /// The counts of the last ten seconds, the running one included.
    #[must_use]
    pub fn counts(&self, now: Instant) -> Counts {
        let second = second(now);
        let mut sum = Counts::default();
        for slot in &self.slots {
            let word = slot.load(Relaxed);
            let age = second.wrapping_sub(word >> (2 * COUNT_BITS)) & SECOND;
            if word != 0 && age < SLOTS as u64 {
                sum.requests = sum.requests.saturating_add((word & COUNT) as u32);
                sum.failures = sum
                    .failures
                    .saturating_add((word >> COUNT_BITS & COUNT) as u32);
            }
        }
        sum
    }

    /// Forgets everything: on an ejection, so that what led to it is not counted again on return.
    pub fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Relaxed);
        }
    }
}

fn seconds(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000_000
}

/// The second, modulo 65,536: 18 hours. A slot that is just that old is taken for a fresh one and at most
/// one window is wrong.
fn second(now: Instant) -> u64 {
    seconds(now) & SECOND
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
