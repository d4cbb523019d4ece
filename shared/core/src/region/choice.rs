//! The order in which regions are tried, and the pick among them.
//!
//! Regions of one rank share by weight; the next rank is used when no region of the better ranks is
//! left. A degraded region (25 to 70 % of its weight healthy) keeps 1.4 × that share of what it would
//! get, and the rest moves on: a cliff at one threshold would move all of its traffic at once. When
//! no region is usable, the last resort is in this order: degraded, drained but healthy, unhealthy;
//! when every detector says that everything is down, the detectors are the likelier fault.
//!
//! Envoy reaches the same with priority levels and its overprovisioning factor of 1.4, which is
//! where the number comes from; it has no rank by latency or distance.

use super::distance::kilometres;
use crate::config::model::{Location, RegionOrder};
use rand::{Rng, RngExt};
use std::time::Duration;

/// Share of healthy weight from which a region is healthy.
const HEALTHY: f64 = 0.70;
/// Share of healthy weight below which a region is unhealthy.
const UNHEALTHY: f64 = 0.25;
/// A degraded region keeps this multiple of its healthy share.
const OVERPROVISIONING: f64 = 1.4;
/// Regions within this of the best count as equally near.
const LATENCY_BAND: Duration = Duration::from_millis(20);

/// A region's fitness for new requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Takes its full share.
    Healthy,
    /// Takes this share (0.0 to 1.0) of what it would get.
    Degraded(f64),
    /// Takes nothing while another region is usable.
    Unhealthy,
    /// The operator wants no new requests there.
    Drained,
}

/// A region as the choice sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Lower is preferred (policy `priority`).
    pub priority: u32,
    /// Share among equals.
    pub weight: u32,
    /// Fitness for new requests.
    pub condition: Condition,
    /// Round-trip time from here, when it is known.
    pub latency: Option<Duration>,
    /// Where the region is, when it is known.
    pub location: Option<Location>,
}

/// The regions of one route in order: ranks, best first, each with its members' positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking {
    ranks: Vec<Vec<usize>>,
}

/// The region that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picked {
    /// Position in the candidates.
    pub index: usize,
    /// No usable region was left; this is the last resort.
    pub last_resort: bool,
}

/// Why a region was passed over, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The route does not allow it.
    NotAllowed,
    /// Drained by the operator (weight 0).
    Drained,
    /// Too little of it is healthy.
    Unhealthy,
    /// A better rank is usable.
    WorseRank,
}

// === impl Condition ===

impl Condition {
    /// The condition of a region of which `share` (0.0 to 1.0) of the weight is healthy.
    #[must_use]
    pub fn from_healthy_share(share: f64) -> Self {
        if share >= HEALTHY {
            Self::Healthy
        } else if share >= UNHEALTHY {
            Self::Degraded((OVERPROVISIONING * share).min(1.0))
        } else {
            Self::Unhealthy
        }
    }

    fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded(_))
    }

    /// The order of last resort, lower first.
    fn resort(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Degraded(_) => 1,
            Self::Drained => 2,
            Self::Unhealthy => 3,
        }
    }
}

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

    /// Picks a region that is not `tried`. `None` when every allowed region was tried.
    pub fn pick(
        &self,
        candidates: &[Candidate],
        tried: impl Fn(usize) -> bool,
        rng: &mut impl Rng,
    ) -> Option<Picked> {
        for rank in &self.ranks {
            let open = |index: &usize| {
                !tried(*index)
                    && candidates
                        .get(*index)
                        .is_some_and(|c| c.condition.is_usable())
            };
            if let Some(index) = draw(candidates, rank.iter().copied().filter(open), rng)
                && keeps(candidates.get(index)?.condition, rng)
            {
                return Some(Picked {
                    index,
                    last_resort: false,
                });
            }
        }
        let left = self
            .ranks
            .iter()
            .flatten()
            .copied()
            .filter(|index| !tried(*index));
        let condition = |index: &usize| candidates.get(*index).map(|c| c.condition);
        let index = left.min_by_key(|index| condition(index).map_or(u8::MAX, Condition::resort))?;
        let last_resort = !condition(&index)?.is_usable();
        Some(Picked { index, last_resort })
    }

    /// For each candidate, why it would not be picked first; `None` for those of the best usable rank.
    #[must_use]
    pub fn explain(&self, candidates: &[Candidate]) -> Vec<Option<Removal>> {
        let usable = |index: &usize| {
            candidates
                .get(*index)
                .is_some_and(|c| c.condition.is_usable())
        };
        let best = self.ranks.iter().position(|rank| rank.iter().any(usable));
        let why = |(index, candidate): (usize, &Candidate)| {
            let Some(rank) = self.ranks.iter().position(|rank| rank.contains(&index)) else {
                return Some(Removal::NotAllowed);
            };
            match candidate.condition {
                Condition::Drained => Some(Removal::Drained),
                Condition::Unhealthy => Some(Removal::Unhealthy),
                _ if Some(rank) != best => Some(Removal::WorseRank),
                _ => None,
            }
        };
        candidates.iter().enumerate().map(why).collect()
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

/// Draws one of `open` by weight. Members of weight 0 never come up: they are [`Condition::Drained`].
fn draw(
    candidates: &[Candidate],
    open: impl Iterator<Item = usize> + Clone,
    rng: &mut impl Rng,
) -> Option<usize> {
    let weight = |index: usize| candidates.get(index).map_or(0, |c| u64::from(c.weight));
    let total: u64 = open.clone().map(weight).sum();
    if total == 0 {
        return None;
    }
    let mut point = rng.random_range(0..total);
    for index in open {
        let share = weight(index);
        if point < share {
            return Some(index);
        }
        point -= share;
    }
    None
}

/// Whether a region of this condition keeps the request that was drawn for it.
fn keeps(condition: Condition, rng: &mut impl Rng) -> bool {
    match condition {
        Condition::Degraded(share) => rng.random::<f64>() < share,
        _ => true,
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
