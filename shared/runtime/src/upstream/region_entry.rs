//! A region: what the configuration says of it, what it comes to, and the verdict in a form that people can read.

use super::region_memory::RegionMemory;
use super::{Health, Pool};
use lb_core::config::model::Location;
use lb_core::drain::{Stage, Standing};
use lb_core::name::RegionName;
use lb_core::region::evidence::{Evidence, ProbeTally, Why};
use lb_core::region::removal::{Claim, Reach, Verdict, Want};
use lb_core::region::report::RegionSummary;
use lb_core::region::{Candidate, Condition, Factors};
use lb_core::status::RegionState;
use lb_core::time::Instant;
use std::sync::Arc;

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

// === impl RegionEntry ===

impl RegionEntry {
    /// The fresh reports as one; `None` when there is none.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Option<RegionSummary> {
        self.memory.summary(now)
    }

    pub(super) const fn is_drained(&self) -> bool {
        self.weight == 0
    }

    /// Whether operators took it out, or all of its replicas that could serve.
    fn is_taken(&self, order: &Standing) -> bool {
        self.is_drained() || order.is_out() || self.pool.view().resorts
    }

    pub(super) fn probes(&self) -> ProbeTally {
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

    pub(super) fn reach(&self, order: &Standing) -> Reach {
        let judged = self.memory.judged();
        let evidence = &judged.evidence;
        Reach {
            by_operator: self.is_taken(order) || evidence.is_leaving(),
            lost: evidence.is_unreachable().then(|| evidence.since()),
            reported_well: evidence.reported() >= WELL,
        }
    }

    pub(super) fn claim(&self, order: &Standing) -> Claim {
        let judged = self.memory.judged();
        let evidence = &judged.evidence;
        let want = match (evidence.is_out(), evidence.why()) {
            (true, Why::Traffic) => Want::OutByTraffic,
            (true, _) => Want::OutByChecks,
            _ if evidence.condition().is_usable() => Want::In,
            _ => Want::Undecided,
        };
        Claim {
            by_operator: self.is_taken(order) || evidence.is_leaving(),
            want,
            since: evidence.since(),
        }
    }

    pub(super) fn measure(&self, verdict: Verdict, order: &Standing, now: Instant) {
        let judged = self.memory.judged();
        let leaves = self.is_taken(order) || judged.evidence.is_leaving();
        let judged_usable = judged.evidence.condition().is_usable();
        drop(judged);
        let usable = (judged_usable || verdict != Verdict::AsJudged) && !leaves;
        self.memory.measure(usable, self.capacity_rps, now);
    }

    pub(super) fn candidate(
        &self,
        verdict: Verdict,
        order: &Standing,
        now: Instant,
        shifts: bool,
    ) -> Candidate {
        let judged = self.memory.judged();
        let is_out = judged.evidence.is_out();
        let leaves = self.pool.view().resorts || order.is_out() || judged.evidence.is_leaving();
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

    pub(super) fn note(&self, verdict: Verdict, order: &Standing, now: Instant) -> RegionNote {
        let judged = self.memory.judged();
        let evidence: &Evidence = &judged.evidence;
        // An operator's word comes first.
        let ordered = self.is_taken(order);
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
