//! A random candidate by weight.
//!
//! For pools whose requests all cost the same and whose servers are alike; it needs no knowledge of
//! load, and replicas cannot fall into step. It does not notice a slow server: prefer p2c.

use rand::Rng;

use super::draw::Draw;
use super::{Candidate, EndpointId};

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct Random {
    draw: Draw,
}

// === impl Random ===

impl Random {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Self {
            draw: Draw::new(candidates),
        }
    }

    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        tried: &[EndpointId],
        rng: &mut impl Rng,
    ) -> Option<usize> {
        self.draw.another(candidates, tried, None, rng)
    }
}
