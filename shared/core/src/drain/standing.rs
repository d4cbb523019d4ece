//! What the orders make of each region at this moment.
//!
//! # Choice
//! All replicas have the same book, and so come to the same standing without asking each other: whether an order is in force, and how
//! far its ramp should be by the wall clock. Two things depend on what a replica sees by itself: a ramp is held while those who take
//! the requests suffer, and it is this replica's requests that are in flight.
//!
//! **Last region.** An order that would leave no region in service is suspended, the same one at every replica (`suspend`). The check before
//! an order is given looks at health, too.
//!
//! **Hold.** A step of the ramp isn't taken while a receiver is above 90 % or its failures rise. The order is never reverted by itself.
//!
//! **End.** Undrained by order, a region comes back by a slow start. By expiry too, but only once it is healthy: nobody looks then.
//!
//! # Limits
//! Ramps follow the wall clock; replicas whose clocks differ by a second are a second apart. A stamp that is further in the future than
//! [`MOST_AHEAD`] was given by a broken clock: its ramp begins where this replica first sees it, and begins anew with a restart.

use super::{Action, Book, MOST_AHEAD, Record, Scope, SessionPolicy, Stamp, suspend};
use crate::name::RegionName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A receiver fuller than this holds the ramps.
const FULL: f64 = 0.90;
/// So does one whose share of failures has risen by this.
const MORE_FAILURES: f64 = 0.02;
/// A region whose order expired comes back within this time, in milliseconds.
const RETURN_MS: u64 = 30_000;
/// Requests that take longer than this no longer keep a region from being drained, in milliseconds.
const IN_FLIGHT_MS: u64 = 300_000;

/// How far an order is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No order is in force.
    #[default]
    Active,
    /// Its share changes.
    Ramping,
    /// It keeps the share that was ordered.
    Dialed,
    /// It gets no new requests, and has some in flight.
    Draining,
    /// It gets no new requests and has none in flight here.
    Drained,
    /// It is turned off.
    Offline,
    /// It comes back.
    Undraining,
    /// The order would leave no region, or server of a pool, in service: it is not obeyed.
    Suspended,
    /// The order has expired, and the region isn't healthy: it stays out until it is.
    ExpiredUnhealthy,
    /// A stage that this reader doesn't know.
    #[serde(other)]
    Unknown,
}

/// What a replica knows of a region, beside orders.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Its name.
    pub name: RegionName,
    /// The configuration gives it requests.
    pub in_service: bool,
    /// It is healthy or degraded.
    pub is_usable: bool,
    /// How full it is; 1 is full.
    pub utilization: Option<f64>,
    /// Share of its requests that fail.
    pub failures: f64,
    /// This replica's requests there.
    pub in_flight: u64,
}

/// What the orders make of a region.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// How far it is.
    pub stage: Stage,
    /// Share of its requests that it keeps, 0 to 1.
    pub share: f64,
    /// Users who are bound to it stay.
    pub honors: bool,
    /// Its ramp waits for this region.
    pub held_by: Option<RegionName>,
    /// The order, in force or just over.
    pub record: Option<Record>,
    /// Milliseconds until the ramp is over, if nothing holds it.
    pub left_ms: u64,
}

/// The standing of all regions, and what has to be remembered for it.
#[derive(Debug, Default)]
pub struct Board {
    ramps: HashMap<Scope, Ramp>,
}

/// How far a ramp has come.
#[derive(Debug)]
struct Ramp {
    of: Stamp,
    is_over: bool,
    begin_ms: u64,
    gone_ms: u64,
    seen_ms: u64,
    /// Each region's failures when it began.
    failures: HashMap<RegionName, f64>,
}

// === impl Stage ===

impl Stage {
    /// The word for it in JSON and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ramping => "ramping",
            Self::Dialed => "dialed",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Offline => "offline",
            Self::Undraining => "undraining",
            Self::Suspended => "suspended",
            Self::ExpiredUnhealthy => "expired_unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

// === impl Standing ===

impl Default for Standing {
    fn default() -> Self {
        Self {
            stage: Stage::Active,
            share: 1.0,
            honors: false,
            held_by: None,
            record: None,
            left_ms: 0,
        }
    }
}

impl Standing {
    fn of(record: &Record, stage: Stage, share: f64) -> Self {
        Self {
            stage,
            share,
            record: Some(record.clone()),
            ..Self::default()
        }
    }

    /// Whether new requests stay away.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.share <= 0.0
    }
}

// === impl Board ===

impl Board {
    /// The standing of each region, in the order of `facts`. To be called a few times a second; `now_ms` is the time since 1970.
    pub fn judge(&mut self, book: &Book, facts: &[Facts], now_ms: u64) -> Vec<Standing> {
        let suspended = suspend::regions(book, facts, now_ms);
        let softened = suspend::softened(book, facts, now_ms);
        self.ramps
            .retain(|scope, ramp| book.get(scope).is_some_and(|r| r.updated == ramp.of));
        let judged = facts.iter().map(|fact| {
            let scope = Scope::Region(fact.name.clone());
            let Some(record) = book.get(&scope) else {
                return Standing::default();
            };
            if suspended.contains(&scope) {
                return Standing::of(record, Stage::Suspended, 1.0);
            }
            match record.ended_ms(now_ms) {
                Some(ended) => self.returning(record, fact, (ended, now_ms)),
                None if record.action == Action::Offline && !softened.contains(&scope) => {
                    Standing::of(record, Stage::Offline, 0.0)
                }
                None => self.leaving(record, fact, facts, now_ms),
            }
        });
        judged.collect()
    }

    fn leaving(&mut self, record: &Record, fact: &Facts, facts: &[Facts], now_ms: u64) -> Standing {
        let since = record.updated.wall_ms;
        let (gone, held_by) = self.advance(record, false, since, facts, now_ms);
        let since = self.begin(record).unwrap_or(since);
        let share = record.share_after(gone);
        let ramp = u64::from(record.ramp_s) * 1000;
        let waits = fact.in_flight > 0 && now_ms.saturating_sub(since) < ramp + IN_FLIGHT_MS;
        let stage = match record.keep_percent {
            _ if gone < ramp => Stage::Ramping,
            0 if waits => Stage::Draining,
            0 => Stage::Drained,
            _ => Stage::Dialed,
        };
        let grace = u64::from(record.session_grace_s) * 1000;
        Standing {
            honors: record.session_policy == SessionPolicy::Honor
                && now_ms.saturating_sub(since) < grace,
            held_by,
            left_ms: ramp.saturating_sub(gone),
            ..Standing::of(record, stage, share)
        }
    }

    fn returning(
        &mut self,
        record: &Record,
        fact: &Facts,
        (ended, now_ms): (u64, u64),
    ) -> Standing {
        let by_order = record.action == Action::Undrain;
        let (from, ramp) = if by_order {
            (
                f64::from(record.from_percent) / 100.0,
                u64::from(record.ramp_s) * 1000,
            )
        } else if record.action == Action::Offline {
            (0.0, RETURN_MS)
        } else {
            let lasted = ended.saturating_sub(record.updated.wall_ms);
            (record.share_after(lasted), RETURN_MS)
        };
        let known = self.ramps.get(&record.scope).map(|ramp| ramp.is_over);
        if !by_order && known != Some(true) && !fact.is_usable {
            return Standing::of(record, Stage::ExpiredUnhealthy, from);
        }
        // Who was there at the end may have waited for its health; a replica that started since goes by the clock.
        let begin = if known == Some(false) && !by_order {
            now_ms
        } else {
            ended
        };
        let (gone, _) = self.advance(record, true, begin, &[], now_ms);
        let left_ms = ramp.saturating_sub(gone);
        if left_ms == 0 {
            return Standing::default();
        }
        let share = from + (1.0 - from) * gone as f64 / ramp as f64;
        Standing {
            left_ms,
            ..Standing::of(record, Stage::Undraining, share)
        }
    }

    /// When the ramp of an order began.
    fn begin(&self, record: &Record) -> Option<u64> {
        self.ramps.get(&record.scope).map(|ramp| ramp.begin_ms)
    }

    /// How long the ramp has gone on, and who holds it.
    fn advance(
        &mut self,
        record: &Record,
        is_over: bool,
        since: u64,
        facts: &[Facts],
        now_ms: u64,
    ) -> (u64, Option<RegionName>) {
        let fresh = || Ramp {
            of: record.updated.clone(),
            is_over,
            begin_ms: if since > now_ms.saturating_add(MOST_AHEAD) {
                now_ms
            } else {
                since
            },
            gone_ms: now_ms.saturating_sub(since),
            seen_ms: now_ms,
            failures: facts.iter().map(|f| (f.name.clone(), f.failures)).collect(),
        };
        let ramp = self.ramps.entry(record.scope.clone()).or_insert_with(fresh);
        if ramp.is_over != is_over {
            *ramp = fresh();
        }
        // Its writer's clock may be somewhat ahead of this one.
        let step = now_ms.saturating_sub(ramp.seen_ms.max(ramp.begin_ms));
        ramp.seen_ms = now_ms;
        let suffers = |fact: &&Facts| {
            let others = record.scope != Scope::Region(fact.name.clone()) && fact.is_usable;
            let before = ramp.failures.get(&fact.name).copied().unwrap_or(0.0);
            let is_full = fact.utilization.is_some_and(|full| full > FULL);
            others && (is_full || fact.failures > before + MORE_FAILURES)
        };
        let is_ramping = ramp.gone_ms < u64::from(record.ramp_s) * 1000;
        let lessens = record.keep_percent < record.from_percent;
        let held_by = facts.iter().filter(|_| is_ramping && lessens).find(suffers);
        let held_by = held_by.map(|fact| fact.name.clone());
        if held_by.is_none() {
            ramp.gone_ms = ramp.gone_ms.saturating_add(step);
        }
        (ramp.gone_ms, held_by)
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
