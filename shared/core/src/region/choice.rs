//! The order in which regions are tried, and the pick among them.
//!
//! Regions of one rank share by weight; the next rank is used when no region of the better ranks is
//! left. A degraded region (25 to 70 % of its weight healthy) keeps 1.4 × that share of what it would
//! get, and the rest moves on: a cliff at one threshold would move all of its traffic at once. When
//! no region is usable, the last resort is in this order: degraded, drained but healthy, unhealthy;
//! when every detector says that everything is down, the detectors are the likelier fault.
//!
//! A request *belongs* to one region, its home: the one it is bound to (a sticky cookie), else one drawn
//! by weight from the best rank that an operator left in service. Homes don't change with health, so
//! that what a region's loss displaces is known, and is offered to others only within their room
//! ([`super::waterfall`]). Which requests leave is decided by a hash of the client: as a share falls,
//! more clients leave, and none of them bounces.
//!
//! Of what a region has to give away, for whatever reason, requests that a cookie binds to it are the last to go: how much leaves is
//! a question of load, who leaves is one of what a move costs. With a share `b` of bound requests and a share `l` to give
//! away, `l / (1 - b)` of the others leave, and bound ones only from `l > 1 - b` on. Rejected: bound requests that never leave
//! (HAProxy's `persist`, Envoy's strict stateful sessions). Where every response sets a cookie all requests are bound, and a full
//! region would have nothing to give away. `b` is measured ([`super::waterfall::Basin::bound`]) and lags by seconds.
//!
//! Envoy reaches the same with priority levels and its overprovisioning factor of 1.4, which is
//! where the number comes from; it has no rank by latency or distance, and fills the next level
//! whatever its room.

mod explain;
mod order;
mod pick;

pub use explain::{Note, Remark, Removal, Step};

use crate::config::model::Location;
use std::time::Duration;

/// Share of healthy weight from which a region is healthy.
const HEALTHY: f64 = 0.70;
/// Share of healthy weight below which a region is unhealthy.
const UNHEALTHY: f64 = 0.25;
/// A degraded region keeps this multiple of its healthy share.
const OVERPROVISIONING: f64 = 1.4;
/// A region's fitness for new requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Takes its full share.
    Healthy,
    /// Takes this share (0.0 to 1.0) of what it would get.
    Degraded(f64),
    /// Takes nothing while another region is usable.
    Unhealthy,
    /// The operator wants no new requests there, or the region itself.
    Drained,
    /// The operator turned it off: it takes nothing, whatever else fails.
    Offline,
}

/// What scales a region's part, beside its condition. All are shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// The operator's dial: the share of its requests that the region keeps. 0 is drained.
    pub dial: f64,
    /// The same while it comes back, or while the cap on removals retains it.
    pub ramp: f64,
    /// The same while it is slow.
    pub shift: f64,
    /// The share of its requests that it has no capacity for.
    pub spill: f64,
    /// The share of the requests of regions that are out which it has room for.
    pub room: f64,
    /// The share of the requests that usable regions give away which it has room for, after those.
    pub spare: f64,
    /// The share of its own requests that a cookie binds to it.
    pub bound: f64,
    /// Those stay, although an operator dials it down or drains it.
    pub honors: bool,
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
    /// What scales its part.
    pub factors: Factors,
}

/// What a request brings to the choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ask {
    /// A stable hash of the client (address or affinity key). Without one, the request is on its own.
    pub client: Option<u64>,
    /// The region that its cookie names.
    pub sticky: Option<usize>,
    /// The region that a trusted header demands: taken whatever its state, unless it is offline.
    pub demanded: Option<usize>,
    /// The largest share of a region's requests that the route lets spill, 0 (forbidden) to 1.
    pub spill: f64,
}

/// What the choice came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Send it there.
    Region(Picked),
    /// Its home (this one) takes no requests and no other region has room: refuse it at once, with `Retry-After`.
    Full(usize),
    /// No region is left to try.
    Exhausted,
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
    /// The region that the request belongs to; none for a last resort.
    pub home: Option<usize>,
    /// Its cookie binds it to that region.
    pub bound: bool,
    /// No usable region was left; this is the last resort.
    pub last_resort: bool,
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

    /// Whether it takes requests while all is in order.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded(_))
    }

    /// Whether an operator took it out of service.
    #[must_use]
    pub const fn is_by_operator(self) -> bool {
        matches!(self, Self::Drained | Self::Offline)
    }

    /// The order of last resort, lower first.
    const fn resort(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Degraded(_) => 1,
            Self::Drained => 2,
            Self::Unhealthy => 3,
            Self::Offline => u8::MAX,
        }
    }
}

// === impl Factors ===

impl Default for Factors {
    fn default() -> Self {
        Self {
            dial: 1.0,
            ramp: 1.0,
            shift: 1.0,
            spill: 0.0,
            room: 1.0,
            spare: 1.0,
            bound: 0.0,
            honors: false,
        }
    }
}

// === impl Ask ===

impl Default for Ask {
    fn default() -> Self {
        Self {
            client: None,
            sticky: None,
            demanded: None,
            spill: 1.0,
        }
    }
}

// === impl Candidate ===

impl Candidate {
    /// Whether new requests belong here, whatever its health.
    fn is_in_service(&self) -> bool {
        !self.condition.is_by_operator() && self.weight > 0 && self.factors.dial > 0.0
    }

    /// Whether it takes new requests while all is in order.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.condition.is_usable() && self.is_in_service()
    }

    /// Whether requests that a cookie binds to it may go there.
    fn may_be_home(&self) -> bool {
        self.is_usable() || self.factors.honors && self.condition != Condition::Offline
    }

    /// Share of its requests that it keeps, spill aside.
    fn share(&self) -> f64 {
        let healthy = match self.condition {
            Condition::Healthy => 1.0,
            Condition::Degraded(share) => share,
            _ => 0.0,
        };
        let factors = &self.factors;
        healthy * factors.dial * factors.ramp * factors.shift
    }

    /// Share that it keeps of its requests of one kind, bound or not, when at most `spill` may leave for want of room.
    fn keeps(&self, spill: f64, bound: bool) -> f64 {
        let leave = 1.0 - self.share() * (1.0 - self.factors.spill.min(spill));
        let others = 1.0 - self.factors.bound;
        let leave = match bound {
            false if leave < others => leave / others,
            true if leave <= others => 0.0,
            true if leave < 1.0 => (leave - others) / self.factors.bound,
            _ => leave.min(1.0).ceil(),
        };
        1.0 - leave
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
