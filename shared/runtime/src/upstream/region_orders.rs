//! Operators' orders on the regions, as this replica carries them out.
//!
//! The control thread steps the board of `lb_core::drain` with what this replica sees; candidates, status and the admin API read the
//! standings that came of it. All of it outlives reloads and belongs to the region's name.

use super::RegionEntry;
use arc_swap::ArcSwap;
use lb_core::drain::{Board, Book, Demand, Facts, Scope, Standing};
use lb_core::time::Instant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often demand is noted.
const SECOND: Duration = Duration::from_secs(1);

/// What orders make of the regions.
#[derive(Debug, Default)]
pub struct RegionOrders {
    book: ArcSwap<Book>,
    standings: ArcSwap<HashMap<String, Standing>>,
    stepped: Mutex<Stepped>,
}

/// What is remembered between two steps.
#[derive(Debug, Default)]
struct Stepped {
    board: Board,
    demands: HashMap<String, Demand>,
    noted: Instant,
}

// === impl RegionOrders ===

impl RegionOrders {
    /// Takes over the orders; the next step obeys them.
    pub fn obey(&self, book: Arc<Book>) {
        self.book.store(book);
    }

    /// The standing of a region.
    #[must_use]
    pub fn standing(&self, region: &str) -> Standing {
        self.standings
            .load()
            .get(region)
            .cloned()
            .unwrap_or_default()
    }

    /// The region's requests a second, to plan for.
    #[must_use]
    pub fn demand(&self, region: &str) -> Option<f64> {
        self.stepped().demands.get(region)?.plan_for()
    }

    /// Judges all regions again. Control thread only.
    pub(super) fn step(&self, regions: &[RegionEntry], now: Instant, unix_ms: u64) {
        let mut guard = self.stepped();
        let stepped = &mut *guard;
        if now.since(stepped.noted) >= SECOND {
            stepped.noted = now;
            for region in regions {
                if let Some(summary) = region.summary(now) {
                    let demand = stepped.demands.entry(region.name.to_string()).or_default();
                    demand.note(summary.rps.get());
                }
            }
            stepped
                .demands
                .retain(|name, _| regions.iter().any(|r| r.name.as_str() == name));
        }
        let book = self.book.load();
        if book.iter().next().is_none() && self.standings.load().is_empty() {
            return;
        }
        let facts: Vec<Facts> = regions.iter().map(|region| region.facts(now)).collect();
        let judged = stepped.board.judge(&book, &facts, unix_ms);
        let names = facts.into_iter().map(|fact| fact.name.to_string());
        let next: HashMap<String, Standing> = names.zip(judged).collect();
        {
            let (before, unknown) = (self.standings.load(), Standing::default());
            for (name, standing) in &next {
                announce(name, before.get(name).unwrap_or(&unknown), standing);
            }
        }
        self.standings.store(Arc::new(next));
    }

    fn stepped(&self) -> std::sync::MutexGuard<'_, Stepped> {
        self.stepped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says once what has changed.
fn announce(region: &str, before: &Standing, now: &Standing) {
    let because = || match &now.record {
        Some(record) => format!(" (by {}: {})", record.actor, record.reason),
        None => String::new(),
    };
    if before.stage != now.stage {
        log::info!(
            "region {region}: order: {}{}",
            now.stage.as_str(),
            because()
        );
    }
    if let Some(holder) = now.held_by.as_ref().filter(|_| before.held_by.is_none()) {
        log::warn!(
            "region {region}: its ramp waits: region {holder} is above 90 % or fails more than before"
        );
    }
}

// === impl RegionEntry ===

impl RegionEntry {
    /// What the board has to know of it.
    fn facts(&self, now: Instant) -> Facts {
        let summary = self.summary(now);
        let view = self.pool.view();
        let judged = self.memory.judged();
        let (usable, leaving) = (
            judged.evidence.condition().is_usable(),
            judged.evidence.is_leaving(),
        );
        drop(judged);
        let in_flight = view
            .endpoints()
            .iter()
            .map(|e| u64::from(e.load.in_flight()));
        Facts {
            name: self.name.clone(),
            in_service: self.weight > 0,
            is_usable: usable && !leaving,
            utilization: summary.and_then(|s| s.utilization.map(|load| load.get())),
            failures: summary.map_or(0.0, |s| s.err_rate.get()),
            in_flight: in_flight.sum(),
        }
    }

    /// The scope of orders on it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::Region(self.name.clone())
    }
}
