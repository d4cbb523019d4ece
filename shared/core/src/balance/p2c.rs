//! Power of two choices on in-flight × peak-EWMA latency.
//!
//! **Problem.** Send each request to an endpoint that is free and fast, from many replicas that
//! know nothing of each other, in constant time.
//!
//! **Choice.** Draw two distinct candidates in proportion to their weights and take the one with
//! the lower cost. Two random choices already bring the largest load from O(log n) to O(log log n),
//! and replicas with equal knowledge do not all rush to the same endpoint, as they do when each
//! takes the best of all.
//!
//! The cost of a candidate is
//!
//! ```text
//! (in_flight × mean weight ÷ weight + 1) × latency × penalty for failures
//! ```
//!
//! The weight divides what is in flight, not the one request to come. With `(in_flight + 1) ÷
//! weight` the heavier of an idle pair would always win, so that weights 1 and 3 became shares 0
//! and 1; this way an idle pair ties, a tie goes to the first drawn, and that one was drawn by
//! weight.
//!
//! **When latencies are not compared.** A candidate that has not answered yet is judged as if it
//! were as fast as the other one: it is explored at once, and in-flight counts stop a rush. A single
//! peak counts for 2 s (see [`super::latency`]). Two
//! latencies within 25 % + 1 ms of each other are called equal: below that a difference is noise,
//! and an idle pool would send everything to the candidate that is faster by microseconds, instead
//! of by weight.
//!
//! **Limits.** The floor of 1 ms means that among endpoints which all answer faster only in-flight
//! counts (which do grow with latency) and failures decide. Latencies of different routes in one
//! pool are mixed.
//!
//! Sources: M. Mitzenmacher, "The power of two choices in randomized load balancing", 2001; Finagle
//! `P2CPeakEwma`; linkerd2-proxy `linkerd/pool/p2c`.

use rand::Rng;

use super::draw::Draw;
use super::ewma::Estimate;
use super::latency::is_apart;
use super::load::Reading;
use super::{Candidate, EndpointId, mean_weight};
use crate::time::Instant;

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct P2c {
    draw: Draw,
    mean_weight: f64,
}

// === impl P2c ===

impl P2c {
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
        let Some(second) = self.draw.another(candidates, tried, Some(first), rng) else {
            return Some(first);
        };
        let (a, b) = (candidates.get(first)?, candidates.get(second)?);
        let (of_a, of_b) = (a.load.read(now), b.load.read(now));
        let (slow_a, slow_b) = comparable(of_a.latency, of_b.latency);
        let cost_a = self.occupancy(a, of_a) * slow_a;
        let cost_b = self.occupancy(b, of_b) * slow_b;
        Some(if cost_b < cost_a { second } else { first })
    }

    fn occupancy(&self, candidate: &Candidate, reading: Reading) -> f64 {
        candidate.occupancy(reading.in_flight, reading.penalty, self.mean_weight)
    }
}

/// The two latencies as factors of cost: (1, 1) when they say nothing about which is faster.
fn comparable(a: Estimate, b: Estimate) -> (f64, f64) {
    match (a, b) {
        (Estimate::Measured(a), Estimate::Measured(b)) if is_apart(a.min(b), a.max(b)) => {
            (f64::from(a), f64::from(b))
        }
        _ => (1.0, 1.0),
    }
}
