//! The pick: home, then whoever has room.

use super::{Ask, Candidate, Choice, Picked, Ranking};
use crate::balance::hash::mix;
use rand::{Rng, RngExt};

/// Tells apart the questions that are answered by a hash of the client.
const LEAVE: u64 = 0x6c65_6176_6500_0001;
const PLACE: u64 = 0x706c_6163_6500_0002;
const AMONG: u64 = 0x616d_6f6e_6700_0003;

/// A part of what a region has, as a share.
type Part = fn(&Candidate) -> f64;

// === impl Ranking ===

impl Ranking {
    /// Picks a region that is not `tried` for a request that brings nothing. `None` when every allowed region was tried,
    /// or none has room.
    pub fn pick(
        &self,
        candidates: &[Candidate],
        tried: impl Fn(usize) -> bool,
        rng: &mut impl Rng,
    ) -> Option<Picked> {
        match self.choose(candidates, &Ask::default(), tried, rng) {
            Choice::Region(picked) => Some(picked),
            Choice::Full(_) | Choice::Exhausted => None,
        }
    }

    /// Chooses a region that is not `tried`. Neither allocates nor locks; linear in the number of regions.
    pub fn choose(
        &self,
        candidates: &[Candidate],
        ask: &Ask,
        tried: impl Fn(usize) -> bool,
        rng: &mut impl Rng,
    ) -> Choice {
        let at = |index: usize| candidates.get(index).filter(|_| !tried(index));
        let region = |index, home, bound| {
            Choice::Region(Picked {
                index,
                home,
                bound,
                last_resort: false,
            })
        };
        if let Some(index) = ask.demanded.filter(|index| self.may_demand(*index, &at)) {
            return region(index, Some(index), false);
        }
        let Some(home) = self.home(ask, &at, rng) else {
            return self.last_resort(&at);
        };
        let bound = ask.sticky == Some(home);
        let region = |index, home| region(index, home, bound);
        if bound && at(home).is_some_and(|home| home.factors.honors) {
            return region(home, Some(home));
        }
        let alive = at(home).filter(|home| home.is_usable());
        let keeps = alive.is_some_and(|candidate| {
            let keep = candidate.keeps(ask.spill, bound);
            keep >= 1.0 || point(ask, LEAVE, home, rng) < keep
        });
        if keeps {
            return region(home, Some(home));
        }
        let room: Part = match alive {
            Some(_) => |candidate| candidate.factors.spare,
            None => |candidate| candidate.factors.room,
        };
        if let Some(index) = self.receiver(home, ask, &at, (room, Candidate::share), rng) {
            return region(index, Some(home));
        }
        if alive.is_some() {
            return region(home, Some(home));
        }
        // Before a request is refused, a region that ramps up or is slow takes what its room allows.
        if let Some(index) = self.receiver(home, ask, &at, (room, |_| 1.0), rng) {
            return region(index, Some(home));
        }
        let usable = |index: usize| at(index).is_some_and(Candidate::is_usable);
        if self.ranks.iter().flatten().any(|index| usable(*index)) {
            return Choice::Full(home);
        }
        self.last_resort(&at)
    }

    /// The share of new users whose home each region is, by position: by weight within the best rank that an operator left in service.
    #[must_use]
    pub fn homes(&self, candidates: &[Candidate]) -> Vec<f64> {
        let weight = |index: usize| {
            let candidate = candidates.get(index).filter(|c| c.is_in_service());
            candidate.map_or(0.0, |candidate| f64::from(candidate.weight))
        };
        let mut homes = vec![0.0; candidates.len()];
        for rank in &self.ranks {
            let total: f64 = rank.iter().map(|index| weight(*index)).sum();
            if total > 0.0 {
                for index in rank {
                    if let Some(home) = homes.get_mut(*index) {
                        *home = weight(*index) / total;
                    }
                }
                return homes;
            }
        }
        homes
    }

    fn may_demand<'a>(&self, index: usize, at: &impl Fn(usize) -> Option<&'a Candidate>) -> bool {
        at(index).is_some_and(|c| c.condition != super::Condition::Offline)
            && self.rank_of(index).is_some()
    }

    /// The region that the request belongs to: the one of its cookie while that is usable, else one of the best rank that
    /// an operator left in service, by weight. A region that is out still has its home requests; they are displaced.
    fn home<'a>(
        &self,
        ask: &Ask,
        at: &impl Fn(usize) -> Option<&'a Candidate>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let sticky = |index: &usize| {
            at(*index).is_some_and(Candidate::may_be_home) && self.rank_of(*index).is_some()
        };
        if let Some(index) = ask.sticky.filter(sticky) {
            return Some(index);
        }
        let weight = |index: usize| {
            let candidate = at(index).filter(|candidate| candidate.is_in_service());
            candidate.map_or(0.0, |candidate| f64::from(candidate.weight))
        };
        self.ranks.iter().find_map(|rank| {
            let total: f64 = rank.iter().map(|index| weight(*index)).sum();
            (total > 0.0).then(|| draw(rank, weight, rng.random::<f64>() * total))?
        })
    }

    /// Where a displaced request finds room. What is `offered` to its kind lies, rank after rank, on a line as long as the
    /// displaced load; the client's hash is a point on it, and beyond the last room there is none. A region offers `share`
    /// of its room.
    fn receiver<'a>(
        &self,
        home: usize,
        ask: &Ask,
        at: &impl Fn(usize) -> Option<&'a Candidate>,
        (offered, share): (Part, Part),
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let open = |index: usize| {
            let candidate = at(index).filter(|candidate| candidate.is_usable())?;
            (index != home).then_some(candidate)
        };
        let room = |index: usize| open(index).map_or(0.0, |c| offered(c) * share(c));
        let mut place = point(ask, PLACE, home, rng);
        for rank in &self.ranks {
            let total: f64 = rank.iter().map(|index| room(*index)).sum();
            if place >= total {
                place -= total;
                continue;
            }
            let among = point(ask, AMONG, home, rng);
            let ample = |index: &usize| open(*index).is_none_or(|c| offered(c) >= 1.0);
            if rank.iter().all(ample) {
                // Any of them could take everything: the weights decide.
                let weight =
                    |index: usize| open(index).map_or(0.0, |c| f64::from(c.weight) * share(c));
                let sum: f64 = rank.iter().map(|index| weight(*index)).sum();
                return draw(rank, weight, among * sum);
            }
            return draw(rank, room, among * total);
        }
        None
    }

    /// Nobody is usable: degraded, then drained, then unhealthy. Never a region that is offline.
    fn last_resort<'a>(&self, at: &impl Fn(usize) -> Option<&'a Candidate>) -> Choice {
        let left = self.ranks.iter().flatten().copied().filter_map(|index| {
            let condition = at(index)?.condition;
            (condition != super::Condition::Offline).then_some((condition.resort(), index))
        });
        match left.min_by_key(|(resort, _)| *resort) {
            Some((_, index)) => Choice::Region(Picked {
                index,
                home: None,
                bound: false,
                last_resort: true,
            }),
            None => Choice::Exhausted,
        }
    }
}

/// The member of `rank` at `point` on the line of its weights. Members of weight 0 never come up.
fn draw(rank: &[usize], weight: impl Fn(usize) -> f64, mut point: f64) -> Option<usize> {
    let mut last = None;
    for index in rank {
        let width = weight(*index);
        if width <= 0.0 {
            continue;
        }
        if point < width {
            return Some(*index);
        }
        point -= width;
        // The sum may be a rounding below the parts.
        last = Some(*index);
    }
    last
}

/// A number in 0 to 1 that is the client's own for this question and home, or random without a client.
fn point(ask: &Ask, question: u64, home: usize, rng: &mut impl Rng) -> f64 {
    let Some(client) = ask.client else {
        return rng.random();
    };
    let hash = mix(mix(client ^ question) ^ home as u64);
    (hash >> 11) as f64 / (1u64 << 53) as f64
}
