//! What failures add to an endpoint's cost.
//!
//! **Problem.** An endpoint that refuses or fails fast has few requests in flight and answers
//! quickly. A choice by load and latency alone sends it everything: the black hole.
//!
//! **Choice.** A failure is never observed as a latency. It multiplies the cost by 4, at most up to
//! 1024; the factor halves each 5 s, and each success takes back a tenth of a failure. This bounds
//! the *rate* of failures: each one needs 10 s of decay to be forgotten, so an endpoint that fails
//! all requests sees about one in 6 to 10 s from each replica however fast the others work, which
//! is also the trickle that finds its recovery. An endpoint failing less than about one request in
//! eleven pays each failure back within ten successes and keeps its traffic.
//!
//! **Rejected.** Adding a fixed peak (such as the 5 s of a timeout) to the latency average: under a
//! background of 0.1 % failures every busy endpoint would sit at the peak all the time, and the
//! average could no longer tell slow from fast. A separate factor saturates evenly and leaves the
//! latencies to be compared.
//!
//! **Representation.** The factor is `2^(left / 5 s)`, where `left` is the time until the endpoint
//! is clean. So the whole state is that one point in time, as in GCRA: one atomic word, no packing,
//! and an endpoint without failures costs one comparison.
//!
//! **Limit.** This steers; it does not remove. Ejection is the outlier detector's work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;

/// The factor halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(5);
/// One failure: two half-lives, a factor of 4.
const FAILURE: u64 = 10_000_000_000;
/// One success takes back this much.
const SUCCESS: u64 = FAILURE / 10;
/// Ten half-lives: a factor of 1024.
const MAX: u64 = 5 * FAILURE;

/// The time, in nanoseconds, at which the endpoint will be clean.
#[derive(Debug, Default)]
pub(super) struct Penalty(AtomicU64);

// === impl Penalty ===

impl Penalty {
    /// Counts one failure.
    pub(super) fn add(&self, now: Instant) {
        let now = now.as_nanos();
        self.update(|clean_at| {
            clean_at
                .max(now)
                .saturating_add(FAILURE)
                .min(now.saturating_add(MAX))
        });
    }

    /// Counts one success.
    pub(super) fn relieve(&self, now: Instant) {
        let now = now.as_nanos();
        self.update(|clean_at| {
            if clean_at <= now {
                clean_at
            } else {
                clean_at.saturating_sub(SUCCESS)
            }
        });
    }

    /// Forgets all failures: other evidence says that the endpoint is well again.
    pub(super) fn forgive(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// What to multiply the cost with, 1 to 1024.
    pub(super) fn factor(&self, now: Instant) -> f32 {
        let left = self
            .0
            .load(Ordering::Relaxed)
            .saturating_sub(now.as_nanos());
        if left == 0 {
            1.0
        } else {
            (left as f32 / HALF_LIFE.as_nanos() as f32).exp2()
        }
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = change(seen);
            if next == seen {
                return;
            }
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
    }
}
