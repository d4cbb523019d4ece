//! Choosing one endpoint of a pool.

use crate::time::Instant;
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    #[default]
    P2c,
    RoundRobin, LeastRequest, Random, RingHash, Maglev, Rendezvous,
}
impl Policy { pub fn needs_key(self) -> bool { matches!(self, Self::RingHash|Self::Maglev|Self::Rendezvous) } }
#[derive(Debug)]
pub struct Load { n: AtomicU32 }
#[derive(Debug)]
pub struct InFlight(Arc<Load>);
impl Drop for InFlight { fn drop(&mut self) { self.0.n.fetch_sub(1, Ordering::Relaxed); } }
impl Load {
    pub fn new(_: Instant) -> Self { Self { n: AtomicU32::new(0) } }
    pub fn in_flight(&self) -> u32 { self.n.load(Ordering::Relaxed) }
    pub fn begin(self: &Arc<Self>) -> InFlight { self.n.fetch_add(1, Ordering::Relaxed); InFlight(self.clone()) }
    pub fn observe(&self, _: Duration, _: Instant) {}
    pub fn penalize(&self, _: Instant) {}
    pub fn latency(&self, _: Instant) -> Duration { Duration::ZERO }
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)] pub struct EndpointId(pub u32);
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)] pub struct Weight(NonZeroU32);
impl Weight { pub fn new(n: u32) -> Option<Self> { NonZeroU32::new(n).map(Self) } pub fn get(self) -> u32 { self.0.get() } }
#[derive(Debug, Clone)] pub struct Candidate { pub id: EndpointId, pub load: Arc<Load>, pub weight: Weight, pub key_hash: u64 }
#[derive(Debug)] pub struct Balancer { c: Vec<Candidate> }
impl Balancer {
    pub fn new(_: Policy, c: Vec<Candidate>) -> Self { Self { c } }
    pub fn candidates(&self) -> &[Candidate] { &self.c }
    pub fn pick(&self, _: Option<u64>, tried: &[EndpointId], _: Instant, rng: &mut impl Rng) -> Option<usize> {
        let n = self.c.len(); if n == 0 { return None; }
        let s = rng.random_range(0..n);
        (0..n).map(|i| (i + s) % n).find(|i| !tried.contains(&self.c[*i].id))
    }
}
pub fn stable_hash(b: &[u8]) -> u64 { b.iter().fold(14695981039346656037, |h, x| (h ^ u64::from(*x)).wrapping_mul(1099511628211)) }
