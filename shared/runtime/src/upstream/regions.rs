//! The regions at work (global tier): a pool of replicas each, and the verdicts on them.
//!
//! The data path reads one immutable [`RegionView`]. The control thread steps the state machines of
//! `lb_core::region` and stores the next one: each region's evidence, the cap on what goes out at one time,
//! the plan of who takes whose load, and the shift away from what turned slow.

use super::region_memory::RegionMemory;
use super::region_orders::RegionOrders;
use super::region_text;
use super::{Health, Pool};
use crate::clock;
use arc_swap::ArcSwap;
use lb_core::config::model::{Failover, Location};
use lb_core::drain::{Stage, Standing};
use lb_core::name::RegionName;
use lb_core::region::evidence::{Evidence, ProbeTally, Transition, Why};
use lb_core::region::removal::{self, Claim, Isolation, Reach, Verdict, Want};
use lb_core::region::report::RegionSummary;
use lb_core::region::{Candidate, Condition, Factors, latency_shift, waterfall};
use lb_core::status::RegionState;
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Steps closer than this to the one before wait for the next.
const LEAST_STEP: Duration = Duration::from_millis(20);
/// A report of this healthy share or more was a good one.
const WELL: f64 = 0.70;

/// What the configuration says of a region, and what is known of it.
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
    /// What is known of it.
    pub memory: Arc<RegionMemory>,
}

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

/// The verdict on a region, for people.
#[derive(Debug, Clone, Copy)]
pub struct RegionNote {
    /// Its state.
    pub state: RegionState,
    /// Since when.
    pub since: Instant,
    /// The reason.
    pub why: Why,
    /// The evidence is against it, but too much would go out.
    pub retained: bool,
    /// It flaps, and is not back before this.
    pub held_until: Option<Instant>,
    /// How far an operator's order is.
    pub order: Stage,
    /// All of its replicas say that they leave.
    pub leaving: bool,
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

// === impl RegionEntry ===

impl RegionEntry {
    /// The fresh reports as one; `None` when there is none.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Option<RegionSummary> {
        self.memory.summary(now)
    }

    const fn is_drained(&self) -> bool {
        self.weight == 0
    }

    fn probes(&self) -> ProbeTally {
        let view = self.pool.view();
        let with = |health: Health| {
            let members = view.members.iter().filter(|m| m.weight.is_some());
            let count = members.filter(|m| m.endpoint.health() == health).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let (healthy, unhealthy) = (with(Health::Healthy), with(Health::Unhealthy));
        ProbeTally {
            probing: self.pool.spec.check.enabled,
            replicas: healthy + unhealthy + with(Health::Unknown),
            healthy,
            unhealthy,
            passes: 0,
        }
    }

    fn reach(&self, order: &Standing) -> Reach {
        let judged = self.memory.judged();
        let evidence = &judged.evidence;
        Reach {
            by_operator: self.is_drained() || order.is_out() || evidence.is_leaving(),
            lost: evidence.is_unreachable().then(|| evidence.since()),
            reported_well: evidence.reported() >= WELL,
        }
    }

    fn claim(&self, order: &Standing) -> Claim {
        let judged = self.memory.judged();
        let evidence = &judged.evidence;
        let want = match (evidence.is_out(), evidence.why()) {
            (true, Why::Traffic) => Want::OutByTraffic,
            (true, _) => Want::OutByChecks,
            _ if evidence.condition().is_usable() => Want::In,
            _ => Want::Undecided,
        };
        Claim {
            by_operator: self.is_drained() || order.is_out() || evidence.is_leaving(),
            want,
            since: evidence.since(),
        }
    }

    fn measure(&self, verdict: Verdict, order: &Standing, now: Instant) {
        let judged = self.memory.judged();
        let leaves = self.is_drained() || order.is_out() || judged.evidence.is_leaving();
        let judged_usable = judged.evidence.condition().is_usable();
        drop(judged);
        let usable = (judged_usable || verdict != Verdict::AsJudged) && !leaves;
        self.memory.measure(usable, self.capacity_rps, now);
    }

    fn candidate(
        &self,
        verdict: Verdict,
        order: &Standing,
        now: Instant,
        shifts: bool,
    ) -> Candidate {
        let judged = self.memory.judged();
        let is_out = judged.evidence.is_out();
        let leaves = order.is_out() || judged.evidence.is_leaving();
        let (condition, ramp) = match verdict {
            _ if order.stage == Stage::Offline => (Condition::Offline, 1.0),
            // The last resort prefers a drained region that is well to one that isn't.
            _ if leaves && is_out => (Condition::Unhealthy, 1.0),
            _ if self.is_drained() || leaves => (Condition::Drained, 1.0),
            Verdict::AsJudged => (judged.evidence.condition(), judged.evidence.ramp(now)),
            Verdict::Retained(share) => (Condition::Healthy, share),
        };
        let view = self.pool.view();
        let measured = view
            .endpoints()
            .iter()
            .filter_map(|e| e.measured_latency(now));
        Candidate {
            priority: self.priority,
            weight: self.weight,
            condition,
            latency: measured.min(),
            location: self.location,
            factors: Factors {
                dial: order.share,
                honors: order.honors && !is_out,
                ramp,
                shift: if shifts { judged.shift.share() } else { 1.0 },
                spill: judged.basin.spill(),
                room: judged.basin.room(),
                spare: judged.basin.spare(),
                bound: judged.basin.bound(),
            },
        }
    }

    fn note(&self, verdict: Verdict, order: &Standing, now: Instant) -> RegionNote {
        let judged = self.memory.judged();
        let evidence: &Evidence = &judged.evidence;
        // An operator's word comes first.
        let ordered = self.is_drained() || order.is_out();
        let leaving = evidence.is_leaving() && !evidence.is_out() && !ordered;
        let drained = ordered || leaving;
        RegionNote {
            leaving,
            order: order.stage,
            state: match order.stage {
                Stage::Offline => RegionState::Offline,
                _ if drained => RegionState::Drained,
                _ => evidence.state(),
            },
            since: evidence.since(),
            why: evidence.why(),
            retained: !drained && verdict != Verdict::AsJudged,
            held_until: evidence.held_until(now).filter(|_| evidence.is_out()),
        }
    }
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
