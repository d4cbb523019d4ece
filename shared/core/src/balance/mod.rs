//! Choosing one endpoint of a pool.
//!
//! **Problem.** Per request, one of the routable endpoints must be chosen: in constant time,
//! without lock or allocation, below 200 ns at 10,000 endpoints.
//!
//! **Choice.** A [`Balancer`] is an immutable table built anew whenever the set of routable
//! endpoints or a weight changes; it is swapped in as a whole. What must survive that (requests in
//! flight, latencies, failures) lives in [`Load`], which belongs to the endpoint's identity. So a
//! pick reads two tables and writes nothing (round robin: one cursor). The policies are told apart
//! by an enum, one file each, so that the compiler sees through the call.
//!
//! **Who is a candidate** is decided elsewhere: drained, ejected and weight-0 endpoints never get
//! here, and [`Weight`] cannot be zero. The one exclusion made here is by request: endpoints
//! already tried.
//!
//! **Rejected.** Updating tables in place on each change of health: it would need a lock or an
//! epoch scheme on the path of every request, to save a few milliseconds on rare changes.

use std::num::NonZeroU32;
use std::sync::Arc;

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Instant;

mod apportion;
mod bounded;
mod draw;
mod ewma;
pub mod hash;
mod latency;
mod least_request;
mod load;
mod maglev;
mod p2c;
mod penalty;
mod random;
mod rendezvous;
mod ring_hash;
mod round_robin;
#[cfg(test)]
mod tests;

pub use load::{InFlight, Load, PoolLoad};

use least_request::LeastRequest;
use maglev::Maglev;
use p2c::P2c;
use random::Random;
use rendezvous::Rendezvous;
use ring_hash::RingHash;
use round_robin::RoundRobin;

/// An endpoint's number, unique in the process and never given to another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

/// A share of traffic in relation to the other candidates' weights; never zero.
///
/// Drained is a state, not a weight: it never gets here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Weight(NonZeroU32);

/// A routable endpoint.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who it is.
    pub id: EndpointId,
    /// What it carries, shared with all generations.
    pub load: Arc<Load>,
    /// Its share.
    pub weight: Weight,
    /// [`hash::stable_hash`] of its name: equal on all replicas.
    pub key_hash: u64,
}

/// How a pool chooses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The less loaded of two random servers, by requests in flight and latency.
    #[default]
    P2c,
    /// In turn, smoothly interleaved by weight.
    RoundRobin,
    /// The server with the fewest requests in flight, of two random ones (of all in small pools).
    LeastRequest,
    /// At random by weight.
    Random,
    /// By the request's key on a ring of hashes, with bounded load.
    RingHash,
    /// By the request's key in a Maglev table, with bounded load.
    Maglev,
    /// By the request's key, highest random weight, with bounded load. For up to some hundred
    /// servers.
    Rendezvous,
}

/// A choice table for one set of candidates.
#[derive(Debug)]
pub struct Balancer {
    candidates: Vec<Candidate>,
    chooser: Chooser,
}

#[derive(Debug)]
enum Chooser {
    P2c(P2c),
    RoundRobin(RoundRobin),
    LeastRequest(LeastRequest),
    Random(Random),
    RingHash(RingHash),
    Maglev(Maglev),
    Rendezvous(Rendezvous),
}

// === impl Weight ===

impl Weight {
    /// The weight 1.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// A weight from 1; `None` for 0.
    #[must_use]
    pub const fn new(weight: u32) -> Option<Self> {
        match NonZeroU32::new(weight) {
            Some(weight) => Some(Self(weight)),
            None => None,
        }
    }

    /// The number, at least 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

// === impl Candidate ===

impl Candidate {
    /// Requests in flight in relation to the weight, plus the one to come, times the penalty for
    /// failures.
    fn occupancy(&self, in_flight: u32, penalty: f32, mean_weight: f64) -> f64 {
        let share = mean_weight / f64::from(self.weight.get());
        (f64::from(in_flight) * share + 1.0) * f64::from(penalty)
    }
}

// === impl Policy ===

impl Policy {
    /// Every policy, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::P2c,
        Self::RoundRobin,
        Self::LeastRequest,
        Self::Random,
        Self::RingHash,
        Self::Maglev,
        Self::Rendezvous,
    ];

    /// Whether requests should bring the hash of an affinity key.
    #[must_use]
    pub fn needs_key(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev | Self::Rendezvous)
    }

    /// The name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P2c => "p2c",
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "least_request",
            Self::Random => "random",
            Self::RingHash => "ring_hash",
            Self::Maglev => "maglev",
            Self::Rendezvous => "rendezvous",
        }
    }
}

// === impl Balancer ===

impl Balancer {
    /// Builds the tables of `policy` for `candidates`, whose ids must be distinct.
    #[must_use]
    pub fn new(policy: Policy, candidates: Vec<Candidate>) -> Self {
        let all = candidates.as_slice();
        let chooser = match policy {
            Policy::P2c => Chooser::P2c(P2c::new(all)),
            Policy::RoundRobin => Chooser::RoundRobin(RoundRobin::new(all)),
            Policy::LeastRequest => Chooser::LeastRequest(LeastRequest::new(all)),
            Policy::Random => Chooser::Random(Random::new(all)),
            Policy::RingHash => Chooser::RingHash(RingHash::new(all)),
            Policy::Maglev => Chooser::Maglev(Maglev::new(all)),
            Policy::Rendezvous => Chooser::Rendezvous(Rendezvous::new(all)),
        };
        Self {
            candidates,
            chooser,
        }
    }

    /// The candidates, in the order given.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Chooses a candidate and gives its index; `None` when there is none that was not tried.
    ///
    /// `key` is the hash of the request's affinity key, used by hash policies only; without one
    /// they take a random point. `tried` names endpoints that this request has used already; they
    /// are not chosen again.
    pub fn pick(
        &self,
        key: Option<u64>,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let all = self.candidates.as_slice();
        match &self.chooser {
            Chooser::P2c(policy) => policy.pick(all, tried, now, rng),
            Chooser::RoundRobin(policy) => policy.pick(all, tried, rng),
            Chooser::LeastRequest(policy) => policy.pick(all, tried, now, rng),
            Chooser::Random(policy) => policy.pick(all, tried, rng),
            Chooser::RingHash(policy) => policy.pick(all, point(key, rng), tried),
            Chooser::Maglev(policy) => policy.pick(all, point(key, rng), tried),
            Chooser::Rendezvous(policy) => policy.pick(all, point(key, rng), tried),
        }
    }
}

/// The key's hash, or a random point.
fn point(key: Option<u64>, rng: &mut impl Rng) -> u64 {
    key.unwrap_or_else(|| rng.next_u64())
}

/// The mean weight of the candidates; 1 when there are none.
fn mean_weight(candidates: &[Candidate]) -> f64 {
    let sum: f64 = candidates.iter().map(|c| f64::from(c.weight.get())).sum();
    if candidates.is_empty() {
        1.0
    } else {
        sum / candidates.len() as f64
    }
}
