//! How a route uses the regions.

use super::{RegionSet, RegionView, Sticky};
use arc_swap::ArcSwap;
use lb_core::config::model::{Location, RegionChoice, RegionOrder};
use lb_core::region::tally::Tally;
use lb_core::region::{Ask, Choice, Ranking};
use rand::Rng;
use std::sync::Arc;

/// A route over regions.
#[derive(Debug)]
pub struct RegionRoute {
    /// All regions.
    pub set: Arc<RegionSet>,
    /// The order in which they are tried.
    pub order: RegionOrder,
    /// The largest share of a region's requests that may go elsewhere for want of capacity, 0 to 1.
    pub spill: f64,
    /// The cookie that keeps users in a region.
    pub sticky: Option<Sticky>,
    allowed: Vec<bool>,
    ranking: ArcSwap<(u64, Ranking)>,
}

// === impl RegionRoute ===

impl RegionRoute {
    /// A route over `set`; an empty list of allowed regions means all of it.
    #[must_use]
    pub fn new(set: Arc<RegionSet>, choice: &RegionChoice, sticky: Option<Sticky>) -> Self {
        let allowed = set
            .regions
            .iter()
            .map(|r| choice.allowed.is_empty() || choice.allowed.contains(&r.name))
            .collect();
        Self {
            set,
            order: choice.policy,
            spill: choice.spill.ratio(),
            sticky,
            allowed,
            ranking: ArcSwap::from_pointee((0, Ranking::default())),
        }
    }

    /// The position of the region `name`, allowed or not.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        let mut regions = self.set.regions.iter();
        regions.position(|region| region.name.as_str() == name)
    }

    /// Chooses a region that is not `tried`.
    pub fn choose(
        &self,
        ask: &Ask,
        client: Option<Location>,
        tried: impl Fn(usize) -> bool,
        rng: &mut impl Rng,
    ) -> Choice {
        let view = self.set.view();
        if self.order == RegionOrder::Geo {
            let ranking = self.rank(&view, client);
            return ranking.choose(&view.candidates, ask, tried, rng);
        }
        let cached = self.ranking.load();
        if cached.0 == view.generation {
            return cached.1.choose(&view.candidates, ask, tried, rng);
        }
        let ranking = self.rank(&view, None);
        let choice = ranking.choose(&view.candidates, ask, tried, rng);
        self.ranking.store(Arc::new((view.generation, ranking)));
        choice
    }

    /// Counts where a request goes first, or that it is refused: the plan of who takes whose load goes by it.
    pub fn count(&self, choice: &Choice) {
        let tally = |index: usize| Some(&self.set.regions.get(index)?.memory.tally);
        match choice {
            Choice::Region(picked) => Tally::count_pick(tally, picked),
            Choice::Full(home) => {
                if let Some(tally) = tally(*home) {
                    tally.count_refused();
                }
            }
            Choice::Exhausted => {}
        }
    }

    /// The regions in order for a client.
    #[must_use]
    pub fn rank(&self, view: &RegionView, client: Option<Location>) -> Ranking {
        let allowed = |index: usize| self.allowed.get(index).copied().unwrap_or(false);
        Ranking::new(self.order, &view.candidates, allowed, client)
    }
}
