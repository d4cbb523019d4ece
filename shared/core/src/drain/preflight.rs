//! Whether an order can be given: what it would do to those who take the requests.
//!
//! # Choice
//! The same order of things as at work: requests go to the best regions in service by weight; what a region has no room for goes to
//! those with room; and what nobody has room for stays. So the answer is each region's load afterwards, not yes or no, and a refusal
//! names the rule by which it can be overridden.
//!
//! # Limits
//! It looks at this replica's view and at the present demand ([`super::Demand`]). Where a capacity is unknown, nothing can be said about
//! it; that is told, and is no refusal.

use super::Rule;
use crate::name::RegionName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A region is filled by others' requests up to this.
const CAP: f64 = 0.95;
/// From this load on it is tight …
const TIGHT: f64 = 0.80;
/// … and from this on too much.
const FULL: f64 = 1.0;

/// A region before the order.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: RegionName,
    /// It is healthy or degraded, and takes requests by configuration and by the other orders.
    pub takes: bool,
    /// What is asked of it, in requests per second; none when unknown.
    pub demand_rps: Option<f64>,
    /// What it is able to serve; none when unknown.
    pub capacity_rps: Option<f64>,
    /// Its reports are fresh.
    pub is_fresh: bool,
    /// Share of the requests of the region in question that come here when that is out, 0 to 1.
    pub inherits: f64,
}

/// What an order would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// The region in question.
    pub region: RegionName,
    /// Requests per second that have to go elsewhere; none when unknown.
    pub moves_rps: Option<f64>,
    /// Those who take them.
    pub receivers: Vec<Receiver>,
    /// Why it is refused; empty: it isn't.
    pub refusals: Vec<Refusal>,
    /// Whether the others could lose one more region and still serve everything; none when a capacity is unknown.
    pub survives_one_more: Option<bool>,
}

/// A region that takes requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receiver {
    /// Its name.
    pub region: RegionName,
    /// Requests per second that it takes over.
    pub takes_rps: f64,
    /// How full it is before; 1 is full; none when unknown.
    pub before: Option<f64>,
    /// How full it would be.
    pub after: Option<f64>,
    /// What that means.
    pub fit: Fit,
}

/// Whether a receiver has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Up to 80 %.
    Fits,
    /// Above 80 %.
    Tight,
    /// Above 100 %.
    Over,
    /// Its capacity or the demand is unknown.
    Unknown,
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The rule, by whose name it can be overridden.
    pub rule: Rule,
    /// What is the matter, for people.
    pub why: String,
}

/// Forecasts what happens when the region at `index` keeps `keep` (0 to 1) of its requests.
#[must_use]
pub fn preflight(places: &[Place], index: usize, keep: f64) -> Option<Forecast> {
    let subject = places.get(index)?;
    let others = || {
        places
            .iter()
            .enumerate()
            .filter(|(at, place)| *at != index && place.takes)
    };
    let moves_rps = subject.demand_rps.map(|demand| demand * (1.0 - keep));
    let loads = loads(places, index, moves_rps.unwrap_or(0.0));
    let receivers: Vec<Receiver> = others()
        .filter_map(|(at, place)| Some(receiver(place, *loads.get(at)?, moves_rps.is_some())))
        .collect();
    let mut refusals = Vec::new();
    if keep <= 0.0 && subject.takes && others().next().is_none() {
        refusals.push(Refusal {
            rule: Rule::LastRegion,
            why: format!("{} is the last healthy region in service", subject.name),
        });
    }
    let lessens = keep < 1.0;
    for (_, place) in others().filter(|(_, place)| !place.is_fresh && lessens) {
        refusals.push(Refusal {
            rule: Rule::StaleReports,
            why: format!(
                "nothing fresh is known of {}: it has not reported lately",
                place.name
            ),
        });
    }
    for over in receivers
        .iter()
        .filter(|r| r.fit == Fit::Over && r.takes_rps > 0.0)
    {
        refusals.push(Refusal {
            rule: Rule::OverCapacity,
            why: format!(
                "{} would be filled to {:.0} % (now {:.0} %)",
                over.region,
                100.0 * over.after.unwrap_or(0.0),
                100.0 * over.before.unwrap_or(0.0)
            ),
        });
    }
    Some(Forecast {
        region: subject.name.clone(),
        moves_rps,
        survives_one_more: survives(places, index, keep),
        receivers,
        refusals,
    })
}

/// The load of each region afterwards, in requests per second.
fn loads(places: &[Place], index: usize, moved: f64) -> Vec<f64> {
    let own = |place: &Place| place.demand_rps.unwrap_or(0.0);
    let is_receiver = |at: usize, place: &Place| at != index && place.takes;
    let mut loads: Vec<f64> = places.iter().map(own).collect();
    let all: f64 = inherited(places, index).sum();
    let count = places
        .iter()
        .enumerate()
        .filter(|(at, p)| is_receiver(*at, p))
        .count()
        .max(1);
    let mut overflow = 0.0;
    let mut room = vec![0.0; places.len()];
    for (at, place) in places
        .iter()
        .enumerate()
        .filter(|(at, p)| is_receiver(*at, p))
    {
        let part = if all > 0.0 {
            place.inherits / all
        } else {
            1.0 / count as f64
        };
        let (Some(load), Some(room)) = (loads.get_mut(at), room.get_mut(at)) else {
            continue;
        };
        let before = *load;
        *load += moved * part;
        let Some(capacity) = place.capacity_rps else {
            *room = f64::INFINITY;
            continue;
        };
        let most = before.max(CAP * capacity);
        overflow += (*load - most).max(0.0);
        *load = load.min(most);
        *room = most - *load;
    }
    spread(&mut loads, &room, places, index, overflow);
    loads
}

fn inherited(places: &[Place], index: usize) -> impl Iterator<Item = f64> {
    let others = places.iter().enumerate();
    others
        .filter(move |(at, p)| *at != index && p.takes)
        .map(|(_, p)| p.inherits.max(0.0))
}

/// What the best regions have no room for: to those with room in its proportion, the rest to all by capacity.
fn spread(loads: &mut [f64], room: &[f64], places: &[Place], index: usize, overflow: f64) {
    if overflow <= 0.0 {
        return;
    }
    let open = room.iter().filter(|room| room.is_infinite()).count();
    if open > 0 {
        let each = overflow / open as f64;
        let unknown = loads
            .iter_mut()
            .zip(room)
            .filter(|(_, room)| room.is_infinite());
        unknown.for_each(|(load, _)| *load += each);
        return;
    }
    let total: f64 = room.iter().sum();
    let fits = overflow.min(total);
    let takes = |at: usize, place: &Place| at != index && place.takes;
    let all = places.iter().enumerate().filter(|(at, p)| takes(*at, p));
    let capacity: f64 = all.filter_map(|(_, p)| p.capacity_rps).sum();
    for (at, (load, room)) in loads.iter_mut().zip(room).enumerate() {
        let Some(place) = places.get(at).filter(|place| takes(at, place)) else {
            continue;
        };
        if total > 0.0 {
            *load += fits * room / total;
        }
        let part = place.capacity_rps.unwrap_or(0.0) / capacity.max(1e-9);
        *load += (overflow - fits) * part;
    }
}

fn receiver(place: &Place, load: f64, is_known: bool) -> Receiver {
    let own = place.demand_rps.unwrap_or(0.0);
    let full = |load: f64| Some(load / place.capacity_rps.filter(|c| *c > 0.0)?);
    let is_known = is_known && place.demand_rps.is_some();
    let after = full(load).filter(|_| is_known);
    Receiver {
        region: place.name.clone(),
        takes_rps: load - own,
        before: full(own).filter(|_| is_known),
        after,
        fit: match after {
            None => Fit::Unknown,
            Some(after) if after > FULL + 1e-9 => Fit::Over,
            Some(after) if after > TIGHT => Fit::Tight,
            Some(_) => Fit::Fits,
        },
    }
}

/// Whether all is served when the largest of the others goes out, too.
fn survives(places: &[Place], index: usize, keep: f64) -> Option<bool> {
    let mut left = Vec::new();
    let mut demand = 0.0;
    for (at, place) in places
        .iter()
        .enumerate()
        .filter(|(at, p)| p.takes || *at == index)
    {
        demand += place.demand_rps?;
        let share = if at == index { keep } else { 1.0 };
        left.push(place.capacity_rps? * share);
    }
    let largest = left.iter().copied().fold(0.0, f64::max);
    Some(left.iter().sum::<f64>() - largest >= demand)
}

#[cfg(test)]
#[path = "preflight_tests.rs"]
mod tests;
