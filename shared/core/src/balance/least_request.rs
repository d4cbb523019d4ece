//! The fewest requests in flight.
//!
//! **Choice.** Up to [`SCANNED`] candidates all are compared; above, two distinct ones drawn by
//! weight (power of two choices, see [`super::p2c`]), so that a pick stays constant in time and
//! replicas do not rush to the same endpoint. In a small pool two choices would miss the idle
//! server too often, and a scan costs no more than the draws.
//!
//! Compared is `in_flight × mean weight ÷ weight + 1`, times the penalty for failures: an endpoint
//! that refuses at once always has the fewest requests in flight. A tie goes to the one drawn by
//! weight, so an idle pool is shared by weight as well; see [`super::p2c`] for why the weight does
//! not divide the request to come.
//!
//! **Limit.** An endpoint that is slow without being busy is noticed only through what piles up on
//! it.

use rand::Rng;

use super::draw::Draw;
use super::{Candidate, EndpointId, mean_weight};
use crate::time::Instant;

/// Up to this many candidates all are compared.
const SCANNED: usize = 8;

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct LeastRequest {
    draw: Draw,
    mean_weight: f64,
}

// === impl LeastRequest ===

impl LeastRequest {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Self {
            draw: Draw::new(candidates),
            mean_weight: mean_weight(candidates),
        }
    }

    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let first = self.draw.another(candidates, tried, None, rng)?;
        let (mut best, mut least) = (first, self.occupancy(candidates.get(first)?, now));
        let mut consider = |at: usize, candidate: &Candidate| {
            let occupancy = self.occupancy(candidate, now);
            if occupancy < least {
                (best, least) = (at, occupancy);
            }
        };
        if candidates.len() <= SCANNED {
            for (at, candidate) in candidates.iter().enumerate() {
                if !tried.contains(&candidate.id) {
                    consider(at, candidate);
                }
            }
        } else if let Some(second) = self.draw.another(candidates, tried, Some(first), rng) {
            consider(second, candidates.get(second)?);
        }
        Some(best)
    }

    fn occupancy(&self, candidate: &Candidate, now: Instant) -> f64 {
        let load = &candidate.load;
        candidate.occupancy(load.in_flight(), load.penalty_factor(now), self.mean_weight)
    }
}
