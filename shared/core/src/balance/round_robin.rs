//! Smooth weighted round robin.
//!
//! **Problem.** Serve candidates in turn, by weight, without bursts: weights 5, 1, 1 must not give
//! `aaaaabc`. nginx's smooth algorithm does that, but each of its steps adds to and compares the
//! counters of all candidates, under a lock.
//!
//! **Choice.** The sequence is laid out when the table is built, and a pick only moves a cursor:
//! one atomic addition. Each candidate with `s` slots stands at `s` equally spaced moments of a
//! round; its first moment is shifted by a multiple of the golden ratio, so that candidates of the
//! same weight spread over the round instead of standing side by side. Sorted by moment, that is
//! the sequence. Between two turns of a candidate with `t` slots, one with `s` gets at most `s ÷ t
//! + 1`; with equal weights each comes once per round.
//!
//! **Bounded.** Weights are divided by their greatest common divisor. If they still add up to more
//! than [`MIN_LIMIT`] or [`PER_CANDIDATE`] slots per candidate on average, they are apportioned to
//! so many slots: a share is then off by at most 1 slot, 6 % for a candidate of mean weight in a
//! large pool, and a candidate lighter than a slot gets one.
//!
//! **Start.** The first pick sets the cursor to a random place; otherwise all replicas would send
//! their first requests after a reload to the same server.
//!
//! **Limits.** The cursor is shared by all threads, and retries move it as well. Load is ignored:
//! prefer p2c.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

use super::apportion::apportion;
use super::draw::first_from;
use super::{Candidate, EndpointId};

/// A sequence may always be this long.
const MIN_LIMIT: u64 = 16_384;
/// In larger pools a sequence may have this many slots per candidate.
const PER_CANDIDATE: u64 = 16;
/// A tried endpoint is passed over this often before any other is taken.
const PASSES: usize = 8;
/// The cursor before the first pick.
const UNSET: u64 = u64::MAX;
/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 0x9E37_79B9;

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct RoundRobin {
    sequence: Box<[u32]>,
    cursor: AtomicU64,
}

// === impl RoundRobin ===

impl RoundRobin {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let weights: Vec<u32> = candidates.iter().map(|c| c.weight.get()).collect();
        Self {
            sequence: sequence(&slots(&weights)),
            cursor: AtomicU64::new(UNSET),
        }
    }

    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        tried: &[EndpointId],
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let fits = |at: usize| candidates.get(at).is_some_and(|c| !tried.contains(&c.id));
        for _ in 0..PASSES {
            let at = self.next(rng)?;
            if fits(at) {
                return Some(at);
            }
        }
        first_from(rng.next_u64(), candidates.len(), fits)
    }

    fn next(&self, rng: &mut impl Rng) -> Option<usize> {
        let length = self.sequence.len() as u64;
        if self.cursor.load(Ordering::Relaxed) == UNSET {
            let start = u64::from(rng.next_u32());
            // Another thread may have started first; its place is as good.
            let _ =
                self.cursor
                    .compare_exchange(UNSET, start, Ordering::Relaxed, Ordering::Relaxed);
        }
        let turn = self
            .cursor
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(length)?;
        self.sequence.get(turn as usize).map(|at| *at as usize)
    }
}

/// Turns per round for each weight: in lowest terms, and bounded in sum.
fn slots(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let reduced: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
    let limit = MIN_LIMIT.max(PER_CANDIDATE * weights.len() as u64);
    let sum: u64 = reduced.iter().map(|weight| u64::from(*weight)).sum();
    if sum <= limit {
        reduced
    } else {
        apportion(&reduced, u32::try_from(limit).unwrap_or(u32::MAX))
    }
}

/// Indices in the order of their turns.
fn sequence(slots: &[u32]) -> Box<[u32]> {
    let mut turns: Vec<u64> = Vec::with_capacity(slots.iter().map(|count| *count as usize).sum());
    for (at, count) in slots.iter().enumerate() {
        let shift = u64::from((at as u32).wrapping_mul(GOLDEN));
        for turn in 0..u64::from(*count) {
            // The moment, as a fraction of the round in 32 bits, above the index.
            let moment = (turn << 32 | shift) / u64::from(*count);
            turns.push(moment << 32 | at as u64);
        }
    }
    turns.sort_unstable();
    turns.into_iter().map(|turn| turn as u32).collect()
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
