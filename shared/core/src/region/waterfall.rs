//! Where load goes that a region can't take: spill, and its cap.
//!
//! # Problem
//! Load that leaves a full or dead region must not fill the next one beyond its room, or one failure becomes all of them
//! in turn. And a control loop over utilisation has a second of delay: acting on it with full force swings.
//!
//! # Choice
//! Plan by demand, correct by measurement. Each region ([`Basin`]) knows, from this replica's counters, what *belongs*
//! there (`homed`) and what was *received* for others, and from its report what it carries and how full it is.
//! - **Spill.** A region that is full to `u` by its own requests gives away `(u - 0.80) / 0.15` of them. As giving away
//!   lowers `u`, that is solved for the demand `d` before spilling: `p = (d - 0.80) / (0.15 + d)`. So the loop has no
//!   gain of its own to swing with. Smoothed over 5 s, at most 10 points a second up and 2 down.
//! - **Room.** What a region can take for others is its cap less its own requests. The requests of regions that are out come
//!   first, as they are refused where they find none; what those leave is offered to spilled ones, which else stay at
//!   home. Each of the two kinds is offered room in proportion. Room shrinks at once and grows by 10 points a second, by
//!   100 while the region has plain room. A region that spills takes little, above a tenth nothing, unless it is plainly
//!   not full: so load never cascades.
//! - **All full.** When the requests without a home find less room than they need, some of them are refused whatever is done. A region
//!   knows better than its report how many more it can serve, so up to a fifth more than it can do is sent there, and it refuses
//!   what is too much: its guests first, as the global tier marks them ([`Priority::Displaced`]). Else small regions, whose requests come
//!   unevenly, would idle while others are refused here.
//! - **After a surge** all that was averaged over it is too high, and regions would refuse each other's requests for half a
//!   minute while they are half empty. So each value that closes a region has a fast average beside the slow one, and the
//!   smaller one counts.
//! - **Saturation.** Requests refused by a region say that it is full, whatever it reports as utilisation.
//!
//! Capacity is the reported one, else what rate and utilisation give; with adaptive limits that is the limit found. A
//! region of unknown capacity never spills, and takes everything until it refuses.
//!
//! # Rejected
//! - Spill by utilisation alone: proportional control with a gain of 8 over a delay of one second; it oscillates.
//! - One share of room for all that is displaced: after a surge most of it is spill that lingers and stays at home
//!   anyway, and what little was lost was refused for want of room.
//! - Refusing here all that is above the cap: of two regions with eight places each, a sixth stayed unused.
//! - Counting displaced load as the receiver's own: after a loss all survivors are at their cap and would spill to each
//!   other for ever.
//!
//! # Limits
//! One replica can't count the others' requests. It takes them to be like its own, scaled by the ratio of what a region
//! reports to what this replica sends there.
//!
//! [`Priority::Displaced`]: crate::limit::shed::Priority::Displaced

mod basin;
mod gauge;
mod rate;

pub use basin::Basin;
pub use gauge::Gauge;

use crate::config::model::Failover;
use crate::time::Instant;

/// Displaced load fills a region to this much below the point where spill is complete …
const MARGIN: f64 = 0.03;
/// … unless there is not enough room below: then to this.
const BRIMFUL: f64 = 1.20;
/// Less are sent from this fullness on, and none this much above it.
const REFUSING: f64 = 1.10;
const REFUSING_SPAN: f64 = 0.30;
/// A region that needs to give away this share takes nothing.
const SPILLING: f64 = 0.10;
/// Unless it is this much below the point where spill begins.
const PLAINLY: f64 = 0.10;
/// Less displaced load than this, in requests a second, is taken for this.
const LEAST_DISPLACED: f64 = 1.0;

/// The utilisations between which spill grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Spill begins here.
    pub start: f64,
    /// Everything is spilled from here on; also the receivers' cap. Above `start`.
    pub full: f64,
}

/// Requests per second that have to go elsewhere.
#[derive(Debug, Clone, Copy, Default)]
struct Displaced {
    /// Their home is out: what finds no room is refused.
    lost: f64,
    /// Their home is full: what finds no room stays there.
    spilled: f64,
}

/// Sets spill and room of all regions. Call it after each round of [`Basin::observe`].
pub fn plan(basins: &mut [&mut Basin], rules: &Rules, now: Instant) {
    for basin in basins.iter_mut() {
        let target = basin.demand().map_or(0.0, |demand| rules.spill(demand));
        basin.aim_spill(target, now);
    }
    let displaced: Displaced = basins.iter().map(|basin| basin.displaced()).sum();
    let here: Displaced = basins.iter().map(|basin| basin.displaced_here()).sum();
    let (all, ours) = (displaced.lost + displaced.spilled, here.lost + here.spilled);
    let scale = if ours > 1e-6 { all / ours } else { 1.0 };
    for basin in basins.iter_mut() {
        basin.weigh(scale, basin.planned(now));
    }
    let left = left(basins, displaced.lost, rules);
    let lost = displaced.lost.max(LEAST_DISPLACED);
    let brimful = brimful(basins, displaced.lost, rules);
    let spilled = displaced.spilled.max(LEAST_DISPLACED);
    for basin in basins.iter_mut() {
        if basin.is_new() {
            basin.open_room(now);
            continue;
        }
        match basin.room_for_others(rules) {
            Some(rps) => {
                let more = basin.room_to_the_brim().map_or(0.0, |more| more - rps);
                let room = (rps + more.max(0.0) * brimful) / lost;
                let spare = rps * left / spilled;
                basin.aim_room(room.min(1.0), spare.min(1.0), rules, now);
            }
            // Nothing is known that it could be short of.
            None => basin.open_room(now),
        }
    }
}

/// Share of all room that is left when the requests without a home have found theirs.
fn left(basins: &[&mut Basin], lost: f64, rules: &Rules) -> f64 {
    let mut room = 0.0;
    for basin in basins {
        match basin.room_for_others(rules) {
            Some(rps) => room += rps,
            None => return 1.0,
        }
    }
    if room > lost { 1.0 - lost / room } else { 0.0 }
}

/// The part of what is between the cap and the brim that the requests without a home need.
fn brimful(basins: &[&mut Basin], lost: f64, rules: &Rules) -> f64 {
    let (mut room, mut most) = (0.0, 0.0);
    for basin in basins {
        let (Some(below), Some(brim)) = (basin.room_for_others(rules), basin.room_to_the_brim())
        else {
            return 0.0;
        };
        room += below;
        most += brim.max(below);
    }
    if most > room {
        ((lost - room) / (most - room)).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

// === impl Displaced ===

impl Displaced {
    fn times(self, factor: f64) -> Self {
        Self {
            lost: self.lost * factor,
            spilled: self.spilled * factor,
        }
    }
}

impl std::iter::Sum for Displaced {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            lost: sum.lost + part.lost,
            spilled: sum.spilled + part.spilled,
        })
    }
}

// === impl Rules ===

impl Rules {
    /// The rules of a configuration.
    #[must_use]
    pub fn new(config: &Failover) -> Self {
        let start = config.spill_start.ratio();
        Self {
            start,
            full: config.spill_full.ratio().max(start + 0.01),
        }
    }

    /// The share to give away at `demand` (1 is full): linear in the utilisation that remains after it.
    #[must_use]
    pub fn spill(&self, demand: f64) -> f64 {
        let span = self.full - self.start;
        ((demand - self.start) / (span + demand)).clamp(0.0, 1.0)
    }

    /// How far below the start of spill a region is: 0 there, and 1 from a tenth below on.
    fn ease(&self, utilisation: f64) -> f64 {
        ((self.start - utilisation) / PLAINLY).clamp(0.0, 1.0)
    }

    /// How much of its room a region offers at `utilisation`: all below the cap, nothing from 1 on, so that an estimate
    /// that is wrong can't overfill it.
    fn guard(&self, utilisation: f64) -> f64 {
        let span = (1.0 - self.full).max(0.01);
        ((1.0 - utilisation) / span).clamp(0.0, 1.0)
    }

    /// The same for what may be refused: refusals say `utilisation` above 1.
    fn guard_brim(utilisation: f64) -> f64 {
        (1.0 - (utilisation - REFUSING) / REFUSING_SPAN).clamp(0.0, 1.0)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(&Failover::default())
    }
}

#[cfg(test)]
mod tests;
