//! Highest random weight.
//!
//! **Choice.** Each pair of key and endpoint has a score; the highest wins. Shares are even, a
//! change moves exactly the keys it must, also with weights, and there is no table. The score of a
//! weighted endpoint is `-weight ÷ ln(hash as a fraction)`, which makes its probability of being
//! highest proportional to the weight, independently of the others. Endpoints that were tried or
//! are full ([`super::bounded`]) are left out, so the next highest takes their place.
//!
//! **Limit.** Each pick looks at every candidate: about 1.5 ns each with equal weights and 7 ns
//! otherwise, so 200 ns hold up to some 80 or 15 candidates. Above a few hundred use maglev or the
//! ring.
//!
//! Sources: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates", 1998;
//! J. Resch, "New hashing algorithms for data storage", 2015 (the logarithm method).

use super::bounded::{Bounded, Room};
use super::hash::mix;
use super::{Candidate, EndpointId};

/// The state of the policy for one set of candidates.
#[derive(Debug)]
pub(super) struct Rendezvous {
    /// Apart from the candidates, so that a scan reads 16 bytes each in a row.
    entries: Box<[Entry]>,
    equal: bool,
    bounded: Bounded,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key_hash: u64,
    weight: f64,
}

// === impl Rendezvous ===

impl Rendezvous {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let entries: Box<[Entry]> = candidates
            .iter()
            .map(|c| Entry {
                key_hash: c.key_hash,
                weight: f64::from(c.weight.get()),
            })
            .collect();
        let equal = candidates
            .windows(2)
            .all(|pair| pair.first().map(|c| c.weight) == pair.last().map(|c| c.weight));
        Self {
            entries,
            equal,
            bounded: Bounded::new(candidates),
        }
    }

    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        key: u64,
        tried: &[EndpointId],
    ) -> Option<usize> {
        let key = mix(key);
        let room = self.bounded.room(candidates);
        if self.equal {
            self.highest(candidates, tried, room, |entry| mix(entry.key_hash ^ key))
        } else {
            self.highest(candidates, tried, room, |entry| {
                weighted(mix(entry.key_hash ^ key), entry.weight)
            })
        }
    }

    /// The untried candidate with room of the highest score, or else the one of the highest score.
    fn highest<S: PartialOrd + Copy>(
        &self,
        candidates: &[Candidate],
        tried: &[EndpointId],
        room: Room,
        score: impl Fn(&Entry) -> S,
    ) -> Option<usize> {
        let mut best: Option<(S, u64, usize)> = None;
        let mut full = best;
        for (at, entry) in self.entries.iter().enumerate() {
            let rank = (score(entry), entry.key_hash, at);
            // Only a new highest is looked up: about ln(n) of n candidates.
            if best.is_some_and(|best| (rank.0, rank.1) <= (best.0, best.1)) {
                continue;
            }
            let Some(candidate) = candidates.get(at).filter(|c| !tried.contains(&c.id)) else {
                continue;
            };
            if room.admits(candidate) {
                best = Some(rank);
            } else if full.is_none_or(|full| (rank.0, rank.1) > (full.0, full.1)) {
                full = Some(rank);
            }
        }
        best.or(full).map(|(_, _, at)| at)
    }
}

/// The score of a weighted endpoint, above 0.
fn weighted(hash: u64, weight: f64) -> f64 {
    // 53 bits, moved by half a step so that neither 0 nor 1 comes out.
    let fraction = ((hash >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0);
    -weight / fraction.ln()
}
