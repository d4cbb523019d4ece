//! Consistent hashing with bounded load.
//!
//! **Problem.** A hash sends a popular key, or an unlucky share of the ring, to one endpoint
//! however loaded it is.
//!
//! **Choice.** An endpoint with `in_flight + 1 > ceil(1.25 × (total + 1) × weight ÷ weights)` is
//! passed over, and the key goes on to its next endpoint, the same on all replicas. At least a
//! fifth of the weight always has room, so a probe fails with probability ≤ 0.8 and the expected
//! number of probes is ≤ 5. After [`PROBES`] of them (probability 6e-7) the least loaded of those
//! seen is taken: a pick stays bounded in time.
//!
//! An endpoint may always have [`FLOOR`] requests, whatever its share.
//!
//! **Total.** The exact sum of the pool ([`PoolLoad`]) when all candidates count into the same one.
//! Without it the sum over up to [`SAMPLED`] evenly spaced candidates, scaled up: exact in small
//! pools, an estimate and slower in large ones.
//!
//! **Limits.** Each replica bounds what it sends itself. Threads that pick at the same moment may
//! each overshoot by one.
//!
//! Source: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent hashing with bounded loads", 2018.

use std::sync::Arc;

use super::draw::first_from;
use super::{Candidate, EndpointId, PoolLoad};

/// How far above its fair share an endpoint may go.
const FACTOR: f64 = 1.25;
/// Requests that an endpoint may always have. A fair share of less than a few says nothing of load: in an
/// idle pool of three it is below one, and each second request of a client would lose its endpoint.
const FLOOR: f64 = 4.0;
/// Probes of a walk before it settles for the least loaded seen.
const PROBES: usize = 64;
/// Candidates summed up when the pool is not counted.
const SAMPLED: usize = 64;

/// What is known of a set of candidates beforehand.
#[derive(Debug)]
pub(super) struct Bounded {
    pool: Option<Arc<PoolLoad>>,
    weights: f64,
}

/// The bound at the moment of one pick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    per_weight: f64,
}

// === impl Bounded ===

impl Bounded {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let pool = candidates
            .first()
            .and_then(|c| c.load.pool())
            .filter(|pool| {
                candidates
                    .iter()
                    .all(|c| c.load.pool().is_some_and(|other| Arc::ptr_eq(pool, other)))
            });
        Self {
            pool: pool.cloned(),
            weights: weights(candidates.iter()),
        }
    }

    /// The bound now.
    pub(super) fn room(&self, candidates: &[Candidate]) -> Room {
        let total = match &self.pool {
            Some(pool) => f64::from(pool.in_flight()),
            None => self.sampled(candidates),
        };
        Room {
            per_weight: FACTOR * (total + 1.0) / self.weights,
        }
    }

    fn sampled(&self, candidates: &[Candidate]) -> f64 {
        let sample = || {
            candidates
                .iter()
                .step_by(candidates.len().div_ceil(SAMPLED).max(1))
        };
        let sum: f64 = sample().map(|c| f64::from(c.load.in_flight())).sum();
        sum * self.weights / weights(sample())
    }
}

// === impl Room ===

impl Room {
    /// Whether the candidate may get one more request.
    pub(super) fn admits(self, candidate: &Candidate) -> bool {
        // For whole numbers, n + 1 <= ceil(x) is n < x.
        let limit = self.per_weight * f64::from(candidate.weight.get());
        f64::from(candidate.load.in_flight()) < limit.max(FLOOR)
    }
}

/// The first probe that was not tried and has room, or else the least loaded that was not tried.
///
/// When all probes were tried, which takes a tried endpoint of nearly all the weight, any other
/// from a place given by `hash`.
pub(super) fn walk(
    probes: impl Iterator<Item = usize>,
    candidates: &[Candidate],
    tried: &[EndpointId],
    room: Room,
    hash: u64,
) -> Option<usize> {
    let untried = |at: usize| candidates.get(at).filter(|c| !tried.contains(&c.id));
    let mut least: Option<(f64, usize)> = None;
    for at in probes.take(PROBES) {
        let Some(candidate) = untried(at) else {
            continue;
        };
        if room.admits(candidate) {
            return Some(at);
        }
        let load = f64::from(candidate.load.in_flight()) / f64::from(candidate.weight.get());
        if least.is_none_or(|(other, _)| load < other) {
            least = Some((load, at));
        }
    }
    match least {
        Some((_, at)) => Some(at),
        None => first_from(hash, candidates.len(), |at| untried(at).is_some()),
    }
}

/// The candidates' indices in an order on which all replicas agree, however the pool was listed.
pub(super) fn canonical(candidates: &[Candidate]) -> Vec<u32> {
    let mut order: Vec<(u64, u32)> = candidates
        .iter()
        .enumerate()
        .map(|(at, c)| (c.key_hash, at as u32))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

fn weights<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> f64 {
    candidates.map(|c| f64::from(c.weight.get())).sum()
}
