//! The ranks: which regions are tried before which.

use super::{Candidate, Ranking};
use crate::config::model::{Location, RegionOrder};
use crate::region::distance::kilometres;
use std::time::Duration;

/// Regions within this of the best count as equally near.
const LATENCY_BAND: Duration = Duration::from_millis(20);

// === impl Ranking ===

impl Ranking {
    /// Ranks the `allowed` positions of `candidates`. `client` matters to [`RegionOrder::Geo`] only;
    /// without it, and for regions without a location, `priority` decides.
    #[must_use]
    pub fn new(
        order: RegionOrder,
        candidates: &[Candidate],
        allowed: impl Fn(usize) -> bool,
        client: Option<Location>,
    ) -> Self {
        let mut keyed: Vec<(u64, usize)> = candidates
            .iter()
            .enumerate()
            .filter(|(index, _)| allowed(*index))
            .map(|(index, candidate)| (rank_key(order, candidate, candidates, client), index))
            .collect();
        keyed.sort_unstable();
        let ranks = keyed
            .chunk_by(|a, b| a.0 == b.0)
            .map(|rank| rank.iter().map(|(_, index)| *index).collect())
            .collect();
        Self { ranks }
    }

    /// The rank of a region, best first from 0; none when it is not allowed.
    #[must_use]
    pub fn rank_of(&self, index: usize) -> Option<usize> {
        self.ranks.iter().position(|rank| rank.contains(&index))
    }
}

/// Smaller keys rank better; equal keys share.
fn rank_key(
    order: RegionOrder,
    candidate: &Candidate,
    all: &[Candidate],
    client: Option<Location>,
) -> u64 {
    let unknown = 1u64 << 40;
    match order {
        RegionOrder::Weighted => 0,
        RegionOrder::Priority => u64::from(candidate.priority),
        RegionOrder::Latency => {
            let best = all
                .iter()
                .filter(|c| c.condition.is_usable())
                .filter_map(|c| c.latency)
                .min()
                .unwrap_or_default();
            candidate
                .latency
                .map_or(unknown + u64::from(candidate.priority), |latency| {
                    let beyond = latency.saturating_sub(best);
                    if beyond <= LATENCY_BAND {
                        0
                    } else {
                        1 + beyond.as_millis() as u64
                    }
                })
        }
        RegionOrder::Geo => match (client, candidate.location) {
            (Some(from), Some(to)) => kilometres(from, to) as u64,
            _ => unknown + u64::from(candidate.priority),
        },
    }
}
