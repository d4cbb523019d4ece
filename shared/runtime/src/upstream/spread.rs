//! Spreading requests over endpoints of which some get less than their weight.
//!
//! **Problem.** Slow start and the comparison of latencies scale an endpoint's weight, in steps, twice a second. Weights are
//! whole numbers, usually 1; and hash policies keep a key where it is only as long as the table stays.
//!
//! **Choice.** Where lots are drawn, weights are taken times [`SCALE`] and then scaled. Where keys are hashed, the table
//! stays as it is, and an endpoint with the share `s` gives away those of its keys whose second hash (with the
//! endpoint's name) lies above `s`: each goes to its next endpoint, as if the first were full. As the share grows each key
//! comes home once, and no key of any other endpoint moves.
//!
//! **Rejected.** Weights in hash tables: the ring gives its lightest endpoint 160 points and the others in proportion, so
//! one endpoint at a tenth would change the points of all others, and with them a tenth of all keys.
//!
//! **Together.** Shares count in relation to the largest of them. When all return at once, nobody is held back.
//!
//! **Limits.** Replicas that saw an endpoint return at different moments give away different keys of it meanwhile.

use super::Endpoint;
use super::Member;
use lb_core::balance::{Balancer, Candidate, EndpointId, Policy, Weight, hash::stable_hash};
use lb_core::config::scalar::Percent;
use lb_core::sample;
use lb_core::time::Instant;
use rand::Rng;
use std::sync::Arc;

/// What the weight 1 is when weights are scaled.
const SCALE: f64 = 1000.0;
/// Endpoints that a key may be given away by in one choice.
const PASSED: usize = 4;
/// Room for those, and for what the request tried before.
const OUT: usize = 12;

/// A balancer over some endpoints.
#[derive(Debug)]
pub(super) struct Spread {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    balancer: Balancer,
    /// For hash policies, when an endpoint has less than its weight: the part of its keys that each keeps.
    keeps: Vec<Percent>,
}

/// A member and the part of its weight that it gets.
pub(super) struct Part<'a> {
    pub(super) member: &'a Member,
    pub(super) weight: Weight,
    /// Above 0; for the most favoured endpoints it may be above 1.
    pub(super) share: f64,
}

// === impl Spread ===

impl Spread {
    pub(super) fn new(policy: Policy, parts: &[Part<'_>]) -> Self {
        let largest = parts.iter().map(|part| part.share).fold(0.0, f64::max);
        let even = parts.iter().all(|part| part.share == largest);
        let hashed = policy.needs_key();
        let weigh = |part: &Part<'_>| {
            if even || hashed {
                return part.weight;
            }
            let scaled = f64::from(part.weight.get()) * SCALE * part.share;
            Weight::new(scaled.round() as u32).unwrap_or(Weight::ONE)
        };
        let candidates = parts.iter().map(|part| {
            let endpoint = &part.member.endpoint;
            Candidate {
                id: endpoint.id,
                load: endpoint.load.clone(),
                weight: weigh(part),
                key_hash: stable_hash(endpoint.key.server.as_str().as_bytes()),
            }
        });
        let keep = |part: &Part<'_>| Percent::new(100.0 * part.share / largest);
        Self {
            endpoints: parts.iter().map(|p| p.member.endpoint.clone()).collect(),
            balancer: Balancer::new(policy, candidates.collect()),
            keeps: if hashed && !even {
                parts.iter().map(keep).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// Chooses an endpoint that is not among `tried`.
    pub(super) fn pick(
        &self,
        key: Option<u64>,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<&Arc<Endpoint>> {
        let first = self.balancer.pick(key, tried, now, rng)?;
        let index = match key.filter(|_| !self.keeps.is_empty()) {
            Some(key) if !self.is_kept(first, key) => {
                self.next(first, key, tried, now, rng).unwrap_or(first)
            }
            _ => first,
        };
        self.endpoints.get(index)
    }

    /// The next endpoint that keeps the key, passing over `first`; none when too many give it away.
    fn next(
        &self,
        first: usize,
        key: u64,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let mut out = [EndpointId(u32::MAX); OUT];
        out.get_mut(..tried.len())?.copy_from_slice(tried);
        let mut passed = first;
        for count in (tried.len()..).take(PASSED) {
            *out.get_mut(count)? = self.endpoints.get(passed)?.id;
            let out = out.get(..=count)?;
            passed = self.balancer.pick(Some(key), out, now, rng)?;
            if self.is_kept(passed, key) {
                return Some(passed);
            }
        }
        None
    }

    fn is_kept(&self, index: usize, key: u64) -> bool {
        let candidate = self.balancer.candidates().get(index);
        match (self.keeps.get(index), candidate) {
            (Some(share), Some(candidate)) => sample::by_key(*share, key, candidate.key_hash),
            _ => true,
        }
    }
}
