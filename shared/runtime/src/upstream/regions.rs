//! The regions at work (global tier): a pool of replicas each, and what is known of the region.

use super::{Pool, PoolView};
use arc_swap::ArcSwap;
use lb_core::config::model::{Location, RegionOrder};
use lb_core::name::{RegionName, ReplicaName};
use lb_core::region::report::{Received, RegionReport, RegionSummary, merge};
use lb_core::region::{Candidate, Condition, Factors, Picked, Ranking};
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use rand::Rng;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A report older than this no longer speaks for its region: probes and traffic decide alone.
const REPORT_FRESH: Duration = Duration::from_secs(15);

/// The last report of each replica of a region.
pub type Reports = Arc<Mutex<HashMap<ReplicaName, Received>>>;

/// What the configuration says of a region, and what its replicas report.
#[derive(Debug)]
pub struct RegionEntry {
    /// The region's name.
    pub name: RegionName,
    /// Order of the priority policy.
    pub priority: u32,
    /// Share among equals; 0 is drained.
    pub weight: u32,
    /// Requests per second that it is able to serve, when that is configured.
    pub capacity_rps: Option<u32>,
    /// Where it is.
    pub location: Option<Location>,
    /// Its replicas.
    pub pool: Arc<Pool>,
    /// The last report of each replica, and when it came. They outlive a reload.
    pub reports: Reports,
}

/// What the data path sees of the regions.
#[derive(Debug, Default)]
pub struct RegionView {
    generation: u64,
    /// One for each region, in the order of the configuration.
    pub candidates: Vec<Candidate>,
    /// Since when each region's condition is of its kind.
    pub since: Vec<Instant>,
}

/// All regions of one configuration generation.
#[derive(Debug)]
pub struct RegionSet {
    /// The regions, in the order of the configuration.
    pub regions: Vec<RegionEntry>,
    view: ArcSwap<RegionView>,
    generation: AtomicU64,
    failovers: IntCounterVec,
}

/// How a route uses the regions.
#[derive(Debug)]
pub struct RegionRoute {
    /// All regions.
    pub set: Arc<RegionSet>,
    /// The order in which they are tried.
    pub order: RegionOrder,
    allowed: Vec<bool>,
    ranking: ArcSwap<(u64, Ranking)>,
}

// === impl RegionEntry ===

impl RegionEntry {
    /// Takes in a replica's report; an older one than known is dropped.
    pub fn record(&self, report: RegionReport, at: Instant) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let older = reports.get(&report.replica).is_some_and(|known| {
            known.report.boot_id == report.boot_id && known.report.seq >= report.seq
        });
        if !older {
            reports.insert(report.replica.clone(), Received { report, at });
        }
    }

    /// The fresh reports as one; `None` when there is none.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Option<RegionSummary> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        merge(reports.values(), now, REPORT_FRESH)
    }

    /// Share of the region that can take requests: that of its replicas as this process sees them, times
    /// that of its servers as the replicas report it. A missing report is not zero: it says nothing.
    #[must_use]
    pub fn healthy_share(&self, view: &PoolView, now: Instant) -> f64 {
        let servers = self
            .summary(now)
            .map_or(1.0, |summary| summary.healthy_weight_fraction.get());
        let replicas = if view.panic { 0.0 } else { view.healthy_share };
        // One healthy replica of two is enough to carry a region; none is not.
        let reachable = if replicas > 0.0 { 1.0 } else { 0.0 };
        reachable * servers
    }

    fn candidate(&self, now: Instant) -> Candidate {
        let view = self.pool.view();
        let condition = if self.weight == 0 {
            Condition::Drained
        } else {
            Condition::from_healthy_share(self.healthy_share(&view, now))
        };
        let measured = view
            .endpoints()
            .iter()
            .filter_map(|e| e.measured_latency(now));
        let latency = measured.min();
        Candidate {
            priority: self.priority,
            weight: self.weight,
            condition,
            latency,
            location: self.location,
            factors: Factors::default(),
        }
    }
}

// === impl RegionSet ===

impl RegionSet {
    /// A set of regions. `failovers` counts requests that move from one to another.
    #[must_use]
    pub fn new(regions: Vec<RegionEntry>, failovers: IntCounterVec, now: Instant) -> Self {
        let set = Self {
            regions,
            view: ArcSwap::default(),
            generation: AtomicU64::new(0),
            failovers,
        };
        set.refresh(now);
        set
    }

    /// What requests see now.
    #[must_use]
    pub fn view(&self) -> arc_swap::Guard<Arc<RegionView>> {
        self.view.load()
    }

    /// Counts a request that left one region and is tried in another.
    pub fn count_failover(&self, from: usize, to: usize) {
        if let (Some(from), Some(to)) = (self.regions.get(from), self.regions.get(to)) {
            self.failovers
                .with_label_values(&[from.name.as_str(), to.name.as_str()])
                .inc();
        }
    }

    /// Judges all regions again. Control thread only.
    pub fn refresh(&self, now: Instant) {
        let candidates: Vec<Candidate> = self
            .regions
            .iter()
            .map(|region| region.candidate(now))
            .collect();
        let before = self.view.load();
        let kind = |candidate: &Candidate| std::mem::discriminant(&candidate.condition);
        let since = candidates.iter().enumerate().map(|(index, candidate)| {
            let same = before
                .candidates
                .get(index)
                .is_some_and(|old| kind(old) == kind(candidate));
            before
                .since
                .get(index)
                .copied()
                .filter(|_| same)
                .unwrap_or(now)
        });
        let since = since.collect();
        let generation = self.generation.fetch_add(1, Relaxed) + 1;
        self.view.store(Arc::new(RegionView {
            generation,
            candidates,
            since,
        }));
    }
}

// === impl RegionRoute ===

impl RegionRoute {
    /// A route over `set`; an empty `allowed` means all of it.
    #[must_use]
    pub fn new(set: Arc<RegionSet>, order: RegionOrder, allowed: &[RegionName]) -> Self {
        let allowed = set
            .regions
            .iter()
            .map(|r| allowed.is_empty() || allowed.contains(&r.name))
            .collect();
        Self {
            set,
            order,
            allowed,
            ranking: ArcSwap::from_pointee((0, Ranking::default())),
        }
    }

    /// Chooses a region that is not `tried`.
    pub fn pick(
        &self,
        client: Option<Location>,
        tried: impl Fn(usize) -> bool,
        rng: &mut impl Rng,
    ) -> Option<Picked> {
        let view = self.set.view();
        if self.order == RegionOrder::Geo {
            return self.rank(&view, client).pick(&view.candidates, tried, rng);
        }
        let cached = self.ranking.load();
        if cached.0 == view.generation {
            return cached.1.pick(&view.candidates, tried, rng);
        }
        let ranking = self.rank(&view, None);
        let picked = ranking.pick(&view.candidates, tried, rng);
        self.ranking.store(Arc::new((view.generation, ranking)));
        picked
    }

    /// The regions in order for a client.
    #[must_use]
    pub fn rank(&self, view: &RegionView, client: Option<Location>) -> Ranking {
        let allowed = |index: usize| self.allowed.get(index).copied().unwrap_or(false);
        Ranking::new(self.order, &view.candidates, allowed, client)
    }
}
