//! Google's Maglev table.
//!
//! **Problem.** As for the ring: the same key to the same endpoint everywhere, few keys moved. But
//! with shares that are even.
//!
//! **Choice.** Each endpoint walks its own permutation of the slots of a table whose size is prime,
//! and the endpoints take turns claiming their next free slot. A key's slot gives its endpoint: one
//! read. Shares are exact to a slot. Weights: each endpoint has a quota of slots by weight, and
//! takes its turns evenly over the rounds (Envoy skips turns by weight to the same end, but with
//! weights far apart its number of rounds grows with their ratio; here it is bounded).
//!
//! When the slot's endpoint was tried or is full, the key goes on to further slots by double
//! hashing; these are shared out by weight again, and all replicas agree on them.
//!
//! **Size.** 65,537 slots (256 KB, the paper's small table) up to 1,000 endpoints, above that
//! 655,373 (2.5 MB, its large one): at least 65 slots per endpoint up to 10,000.
//!
//! **Limits.** A change also moves some keys between endpoints that stayed: measured 0.1 % of all
//! keys at 5 endpoints, 0.6 % at 100, 2 % at 10,000, where the ring moves none. Crossing 1,000
//! endpoints moves most keys once. Of more than 655,373 endpoints the rest gets no traffic.
//!
//! Source: D. Eisenbud et al., "Maglev: a fast and reliable software network load balancer", 2016,
//! section 3.4.

use super::apportion::apportion;
use super::bounded::{Bounded, canonical, walk};
use super::hash::{combine, mix};
use super::{Candidate, EndpointId};

/// Slots for pools of up to [`SMALL_POOL`] endpoints; prime.
const SMALL_TABLE: u32 = 65_537;
/// Slots for larger pools; prime.
const LARGE_TABLE: u32 = 655_373;
/// See [`SMALL_TABLE`].
const SMALL_POOL: usize = 1_000;
/// Turns that a build may spend on each slot.
const TURNS_PER_SLOT: usize = 4;

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
    bounded: Bounded,
}

/// An endpoint while the table is filled.
#[derive(Debug)]
struct Claimant {
    index: u32,
    next: u32,
    skip: u32,
    quota: u32,
}

// === impl Maglev ===

impl Maglev {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let size = if candidates.len() <= SMALL_POOL {
            SMALL_TABLE
        } else {
            LARGE_TABLE
        };
        let slots = if candidates.is_empty() {
            Box::default()
        } else {
            fill(candidates, size)
        };
        Self {
            slots,
            bounded: Bounded::new(candidates),
        }
    }

    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        key: u64,
        tried: &[EndpointId],
    ) -> Option<usize> {
        let size = self.slots.len() as u64;
        let hash = mix(key);
        let start = below(hash, size);
        let step = 1 + below(mix(hash), size.saturating_sub(1));
        let probes = (0..).map_while(|probe: u64| {
            let slot = (start + probe * step).checked_rem(size)?;
            self.slots.get(slot as usize).map(|at| *at as usize)
        });
        walk(
            probes,
            candidates,
            tried,
            self.bounded.room(candidates),
            hash,
        )
    }
}

// === impl Claimant ===

impl Claimant {
    /// Takes the next free slot of this endpoint's permutation. There must be one.
    fn claim(&mut self, slots: &mut [u32], size: u32) {
        loop {
            let at = self.next;
            self.next = if at >= size - self.skip {
                at - (size - self.skip)
            } else {
                at + self.skip
            };
            match slots.get_mut(at as usize) {
                Some(slot) if *slot == u32::MAX => {
                    *slot = self.index;
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

fn fill(candidates: &[Candidate], size: u32) -> Box<[u32]> {
    let mut claimants = claimants(candidates, size);
    let largest = claimants
        .iter()
        .map(|c| c.quota as usize)
        .max()
        .unwrap_or(1);
    let rounds = largest
        .min(TURNS_PER_SLOT * size as usize / claimants.len())
        .max(1) as u64;
    let mut slots = vec![u32::MAX; size as usize];
    for round in 0..rounds {
        for claimant in &mut claimants {
            let quota = u64::from(claimant.quota);
            for _ in quota * round / rounds..quota * (round + 1) / rounds {
                claimant.claim(&mut slots, size);
            }
        }
    }
    slots.into_boxed_slice()
}

fn claimants(candidates: &[Candidate], size: u32) -> Vec<Claimant> {
    let mut order = canonical(candidates);
    // Each claims a slot at least; with more claimants than slots the last would search forever.
    order.truncate(size as usize);
    let ordered = || {
        order
            .iter()
            .filter_map(|at| Some((*at, candidates.get(*at as usize)?)))
    };
    let weights: Vec<u32> = ordered().map(|(_, c)| c.weight.get()).collect();
    let quotas = apportion(&weights, size);
    ordered()
        .zip(quotas)
        .map(|((index, candidate), quota)| Claimant {
            index,
            next: below(combine(1, candidate.key_hash), u64::from(size)) as u32,
            skip: 1 + below(combine(2, candidate.key_hash), u64::from(size) - 1) as u32,
            quota,
        })
        .collect()
}

/// A number below `limit` from a hash.
fn below(hash: u64, limit: u64) -> u64 {
    ((hash >> 32) * limit) >> 32
}
