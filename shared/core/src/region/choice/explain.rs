//! Why a region was or was not chosen, step by step.

use super::{Ask, Candidate, Condition, Ranking};

/// Why a region was passed over, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The route does not allow it.
    NotAllowed,
    /// Turned off by the operator.
    Offline,
    /// Drained by the operator (weight 0 or dial 0).
    Drained,
    /// Too little of it is healthy.
    Unhealthy,
    /// A better rank is usable.
    WorseRank,
    /// It has no room for requests of other regions.
    NoRoom,
}

/// The steps of the choice, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The regions that the route allows.
    Allowed,
    /// What an operator turned off.
    Offline,
    /// The sticky cookie.
    Sticky,
    /// The trusted override header.
    Override,
    /// Rank by the route's policy.
    Order,
    /// The operator's dial, or a drain.
    Dial,
    /// Spill and room.
    Capacity,
    /// Health, ramp and latency.
    Health,
}

/// What a step did to a region. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Remark {
    /// Removed, for this reason.
    Removed(Removal),
    /// Chosen by cookie or header.
    Preferred,
    /// Named by cookie or header, but not to be had.
    NotAvailable,
    /// Its rank, best first from 0.
    Rank(usize),
    /// It keeps this share of its requests.
    Keeps(f64),
    /// It gives a share of its requests away, and takes shares of those of others.
    Flow {
        /// Given away.
        spill: f64,
        /// Taken of regions that are out.
        room: f64,
        /// Taken of what others give away.
        spare: f64,
    },
}

/// One line of an explanation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Note {
    /// The step.
    pub step: Step,
    /// The region's position in the candidates.
    pub index: usize,
    /// What the step did to it.
    pub remark: Remark,
}

// === impl Step ===

impl Step {
    /// A short name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Offline => "offline",
            Self::Sticky => "sticky",
            Self::Override => "override",
            Self::Order => "order",
            Self::Dial => "dial",
            Self::Capacity => "capacity",
            Self::Health => "health",
        }
    }
}

// === impl Ranking ===

impl Ranking {
    /// For each candidate, why it would not be picked first; `None` for those of the best usable rank.
    #[must_use]
    pub fn explain(&self, candidates: &[Candidate]) -> Vec<Option<Removal>> {
        let usable = |index: &usize| candidates.get(*index).is_some_and(Candidate::is_usable);
        let best = self.ranks.iter().position(|rank| rank.iter().any(usable));
        let why = |(index, candidate): (usize, &Candidate)| {
            let Some(rank) = self.rank_of(index) else {
                return Some(Removal::NotAllowed);
            };
            match candidate.condition {
                Condition::Offline => Some(Removal::Offline),
                _ if !candidate.is_in_service() => Some(Removal::Drained),
                Condition::Unhealthy => Some(Removal::Unhealthy),
                _ if Some(rank) != best => Some(Removal::WorseRank),
                _ => None,
            }
        };
        candidates.iter().enumerate().map(why).collect()
    }

    /// What each step of the choice does to each region it concerns, in the order of the steps.
    #[must_use]
    pub fn trace(&self, candidates: &[Candidate], ask: &Ask) -> Vec<Note> {
        let mut notes = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let mut note = |step, remark| {
                notes.push(Note {
                    step,
                    index,
                    remark,
                });
            };
            let Some(rank) = self.rank_of(index) else {
                note(Step::Allowed, Remark::Removed(Removal::NotAllowed));
                continue;
            };
            if candidate.condition == Condition::Offline {
                note(Step::Offline, Remark::Removed(Removal::Offline));
                continue;
            }
            if ask.sticky == Some(index) {
                note(Step::Sticky, preferred(candidate.may_be_home()));
                let keeps = candidate.keeps(ask.spill, true);
                if candidate.is_usable() && keeps < 1.0 {
                    note(Step::Sticky, Remark::Keeps(keeps));
                }
            }
            if ask.demanded == Some(index) {
                note(Step::Override, Remark::Preferred);
            }
            note(Step::Order, Remark::Rank(rank));
            candidate.trace(ask, note);
        }
        notes.sort_by_key(|note| (note.step, note.index));
        notes
    }
}

const fn preferred(available: bool) -> Remark {
    if available {
        Remark::Preferred
    } else {
        Remark::NotAvailable
    }
}

// === impl Candidate ===

impl Candidate {
    /// Dial, capacity and health.
    fn trace(&self, ask: &Ask, mut note: impl FnMut(Step, Remark)) {
        if !self.is_in_service() {
            note(Step::Dial, Remark::Removed(Removal::Drained));
            return;
        }
        let factors = &self.factors;
        if factors.dial < 1.0 {
            note(Step::Dial, Remark::Keeps(factors.dial));
        }
        let spill = factors.spill.min(ask.spill);
        let (room, spare) = (factors.room, factors.spare);
        if room <= 0.0 && spare <= 0.0 {
            note(Step::Capacity, Remark::Removed(Removal::NoRoom));
        }
        let most = room.max(spare);
        if spill > 0.0 || (0.0 < most && room.min(spare) < 1.0) {
            note(Step::Capacity, Remark::Flow { spill, room, spare });
        }
        if !self.condition.is_usable() {
            note(Step::Health, Remark::Removed(Removal::Unhealthy));
        } else {
            let healthy = self.share() / factors.dial;
            if healthy < 1.0 {
                note(Step::Health, Remark::Keeps(healthy));
            }
        }
    }
}
