//! The regions at work (global tier): a pool of replicas each, and the verdicts on them.
//!
//! The data path reads one immutable [`RegionView`]. The control thread steps the state machines of
//! `lb_core::region` and stores the next one: each region's evidence, the cap on what goes out at one time,
//! the plan of who takes whose load, and the shift away from what turned slow.

use super::region_entry::{RegionEntry, RegionNote};
use super::region_orders::RegionOrders;
use super::region_text;
use crate::clock;
use arc_swap::ArcSwap;
use lb_core::config::model::Failover;
use lb_core::drain::Standing;
use lb_core::region::evidence::Transition;
use lb_core::region::removal::{self, Claim, Isolation, Reach, Verdict};
use lb_core::region::{Candidate, latency_shift, waterfall};
use lb_core::status::RegionState;
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Steps closer than this to the one before wait for the next.
const LEAST_STEP: Duration = Duration::from_millis(20);
/// What the data path sees of the regions.
#[derive(Debug, Default)]
pub struct RegionView {
    pub(super) generation: u64,
    /// One for each region, in the order of the configuration.
    pub candidates: Vec<Candidate>,
    /// The verdict on each.
    pub notes: Vec<RegionNote>,
    /// No region was left, so that all are used.
    pub fails_open: bool,
}

/// What is known of the regions together. It outlives reloads.
#[derive(Debug, Default)]
pub struct RegionsMemory {
    /// What operators ordered.
    pub orders: RegionOrders,
    isolation: Mutex<Isolation>,
    isolated: AtomicBool,
    stepped: AtomicU64,
}

/// All regions of one configuration generation.
#[derive(Debug)]
pub struct RegionSet {
    /// The regions, in the order of the configuration.
    pub regions: Vec<RegionEntry>,
    /// When regions go out and come back.
    pub failover: Failover,
    /// What is known of them together.
    pub together: Arc<RegionsMemory>,
    view: ArcSwap<RegionView>,
    generation: AtomicU64,
    failovers: IntCounterVec,
    transitions: IntCounterVec,
}

/// The counters of a [`RegionSet`].
#[derive(Debug, Clone)]
pub struct RegionCounters {
    /// Requests that moved from one region to another.
    pub failovers: IntCounterVec,
    /// Changes of state.
    pub transitions: IntCounterVec,
}

// === impl RegionsMemory ===

impl RegionsMemory {
    /// Whether this replica is cut off from most regions although they were well.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.isolated.load(Relaxed)
    }

    fn observe(&self, reach: &[Reach], now: Instant) {
        let mut isolation = self
            .isolation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match isolation.observe(reach, now) {
            Some(true) => log::warn!(
                "most regions went out of reach at one time although they reported to be well: this replica is taken to be \
                 cut off, and is not ready when none is left"
            ),
            Some(false) => log::info!("regions are in reach again"),
            None => {}
        }
        self.isolated.store(isolation.is_isolated(), Relaxed);
    }

    /// The time since the last step; none when that is too short for another.
    fn step(&self, now: Instant) -> Option<Duration> {
        let since = now.since(Instant::from_nanos(self.stepped.load(Relaxed)));
        if since < LEAST_STEP {
            return None;
        }
        self.stepped.store(now.as_nanos(), Relaxed);
        Some(since)
    }
}

// === impl RegionSet ===

impl RegionSet {
    /// A set of regions.
    #[must_use]
    pub fn new(
        regions: Vec<RegionEntry>,
        failover: Failover,
        together: Arc<RegionsMemory>,
        counters: RegionCounters,
        now: Instant,
    ) -> Self {
        let set = Self {
            regions,
            failover,
            together,
            view: ArcSwap::default(),
            generation: AtomicU64::new(0),
            failovers: counters.failovers,
            transitions: counters.transitions,
        };
        let orders = set.orders();
        let (verdicts, fails_open) = set.limit(&orders);
        set.publish(&verdicts, &orders, fails_open, now);
        set
    }

    /// What requests see now.
    #[must_use]
    pub fn view(&self) -> arc_swap::Guard<Arc<RegionView>> {
        self.view.load()
    }

    /// Regions with a healthy replica that requests can't see yet: the next step will show them.
    #[must_use]
    pub fn unsettled(&self) -> Vec<String> {
        let view = self.view();
        let known = self.regions.iter().zip(&view.notes);
        let waits = known.filter(|(region, note)| {
            note.state == RegionState::Unknown && region.probes().healthy > 0
        });
        waits.map(|(region, _)| region.name.to_string()).collect()
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
        let Some(step) = self.together.step(now) else {
            return;
        };
        for region in &self.regions {
            let probes = region.probes();
            let left = region.memory.judged().evidence.is_leaving();
            let transition = clock::with_rng(|rng| region.memory.judge(probes, now, rng));
            if region.memory.judged().evidence.is_leaving() != left {
                match left {
                    false => log::info!("region {}: {}", region.name, region_text::LEAVING),
                    true => log::info!("region {}: its replicas no longer leave", region.name),
                }
            }
            if let Some(transition) = transition.filter(|_| !region.is_drained()) {
                self.announce(region, &transition);
            }
        }
        self.together
            .orders
            .step(&self.regions, now, clock::unix_millis());
        let orders = self.orders();
        let pairs = || self.regions.iter().zip(&orders);
        let reach: Vec<Reach> = pairs().map(|(region, order)| region.reach(order)).collect();
        self.together.observe(&reach, now);
        let (verdicts, fails_open) = self.limit(&orders);
        for ((region, order), verdict) in pairs().zip(&verdicts) {
            region.measure(*verdict, order, now);
        }
        self.plan(step, now);
        self.publish(&verdicts, &orders, fails_open, now);
    }

    /// What operators ordered, for each region.
    fn orders(&self) -> Vec<Standing> {
        let standing = |region: &RegionEntry| self.together.orders.standing(region.name.as_str());
        self.regions.iter().map(standing).collect()
    }

    /// What all verdicts together may take out; true when no region is left and all are used.
    fn limit(&self, orders: &[Standing]) -> (Vec<Verdict>, bool) {
        let pairs = self.regions.iter().zip(orders);
        let claims: Vec<Claim> = pairs.map(|(region, order)| region.claim(order)).collect();
        let most = self.failover.max_removed.ratio();
        let mut verdicts = Vec::with_capacity(claims.len());
        let fails_open = removal::limit(&claims, most, &mut verdicts);
        (verdicts, fails_open)
    }

    /// Who takes whose load.
    fn plan(&self, step: Duration, now: Instant) {
        let mut judged: Vec<_> = self.regions.iter().map(|r| r.memory.judged()).collect();
        let mut basins: Vec<_> = judged.iter_mut().map(|j| &mut j.basin).collect();
        waterfall::plan(&mut basins, &waterfall::Rules::new(&self.failover), now);
        let mut shifts: Vec<_> = judged.iter_mut().map(|j| &mut j.shift).collect();
        latency_shift::settle(&mut shifts, step);
    }

    fn publish(&self, verdicts: &[Verdict], orders: &[Standing], fails_open: bool, now: Instant) {
        let judged = || {
            let regions = self.regions.iter().zip(orders);
            regions.zip(verdicts.iter().copied())
        };
        let shifts = self.failover.latency_shift;
        let view = RegionView {
            generation: self.generation.fetch_add(1, Relaxed) + 1,
            candidates: judged()
                .map(|((region, order), verdict)| region.candidate(verdict, order, now, shifts))
                .collect(),
            notes: judged()
                .map(|((region, order), verdict)| region.note(verdict, order, now))
                .collect(),
            fails_open,
        };
        self.view.store(Arc::new(view));
    }

    fn announce(&self, region: &RegionEntry, transition: &Transition) {
        let (to, why) = (transition.to.as_str(), transition.why);
        self.transitions
            .with_label_values(&[region.name.as_str(), to, why.label()])
            .inc();
        let reason = region_text::why(why);
        match transition.to {
            RegionState::Healthy | RegionState::Ramping => {
                log::info!("region {}: {to}: {reason}", region.name);
            }
            _ => log::warn!("region {}: {to}: {reason}", region.name),
        }
    }
}
