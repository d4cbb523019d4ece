//! A pool as one process sees it: checks, ejections, loads and the balancer over what is routable. The same for the servers
//! of a regional replica and for the regional replicas of a global one.

use crate::setup::Mechanisms;
use lb_core::balance::{
    Balancer, Candidate, EndpointId, InFlight, Load, Policy, Weight, hash::stable_hash,
};
use lb_core::config::model::{HealthCheck, Outlier, Retry};
use lb_core::config::scalar::Percent;
use lb_core::health::{CheckState, ProbeFailure, ProbeResult, Verdict};
use lb_core::outlier::consecutive::Ejector;
use lb_core::outlier::may_eject;
use lb_core::retry::{self, Budget, Facts, Failure, Kind, Rules};
use lb_core::time::Instant;
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;

/// Below this share of routable members, health is ignored.
const PANIC: f64 = 0.5;

/// A member of a pool.
#[derive(Debug)]
pub struct Member {
    /// What it carries.
    pub load: Arc<Load>,
    /// What its probes say.
    pub check: CheckState,
    /// What its traffic says.
    pub ejector: Ejector,
    /// Weight 0.
    pub drained: bool,
}

/// A pool in one process.
#[derive(Debug)]
pub struct Pool {
    /// Its members; the position is the endpoint's id.
    pub members: Vec<Member>,
    /// What may be retried.
    pub retries: Retries,
    /// Routable share of the weight.
    pub healthy: f64,
    /// Probes of any member that passed since they were last read.
    pub passes: u32,
    /// Ejections so far.
    pub ejections: u64,
    stale: bool,
    policy: Policy,
    on: Mechanisms,
    balancer: Balancer,
    routable: Vec<usize>,
}

/// Retry rules, their budget, and what the ledger checks of both.
#[derive(Debug)]
pub struct Retries {
    /// What may be retried.
    pub rules: Rules,
    /// How much may be retried.
    pub budget: Budget,
    /// Retries so far.
    pub made: u64,
    /// Requests so far.
    pub requests: u64,
}

// === impl Retries ===

impl Retries {
    /// The default rules; without a budget when that is off.
    #[must_use]
    pub fn new(on: Mechanisms) -> Self {
        let retry = Retry::default();
        let budget = if on.budget {
            Budget::new(retry.budget.ratio(), retry.budget_floor)
        } else {
            Budget::undaunted(1.0, 1_000_000)
        };
        Self {
            rules: Rules::new(&retry),
            budget,
            made: 0,
            requests: 0,
        }
    }

    /// Counts a request.
    pub fn deposit(&mut self, now: Instant) {
        self.requests += 1;
        self.budget.deposit(now);
    }

    /// Takes in how a request ended that was tried again after a failure of this kind.
    pub fn settle(&self, retried: Option<Kind>, saved: bool, now: Instant) {
        if let Some(kind) = retried {
            self.budget.settle(kind, saved, now);
        }
    }

    /// The pause before another try; none when there must be none.
    pub fn decide(
        &mut self,
        failure: Failure,
        facts: &Facts,
        extra: u32,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        let decided = self
            .rules
            .decide(failure, facts, extra, &self.budget, now, rng);
        let retry::Verdict::Retry(pause) = decided else {
            return None;
        };
        self.made += 1;
        Some(pause)
    }
}

// === impl Pool ===

impl Pool {
    /// A pool of `count` members of which nothing is known.
    #[must_use]
    pub fn new(count: usize, policy: Policy, on: Mechanisms) -> Self {
        let member = |_| Member {
            load: Arc::new(Load::new(Instant::ZERO)),
            check: CheckState::new(&HealthCheck::default()),
            ejector: Ejector::new(&outlier(on)),
            drained: false,
        };
        Self {
            members: (0..count).map(member).collect(),
            retries: Retries::new(on),
            healthy: 0.0,
            passes: 0,
            ejections: 0,
            stale: true,
            policy,
            on,
            balancer: Balancer::new(policy, Vec::new()),
            routable: Vec::new(),
        }
    }

    /// Builds a new view when one is due.
    pub fn refresh(&mut self, now: Instant) {
        let ended = |m: &Member| {
            m.ejector
                .until()
                .is_some_and(|at| at <= now && at + TICKS > now)
        };
        if !self.stale && !self.members.iter().any(ended) {
            return;
        }
        self.stale = false;
        let weighed = self.members.iter().filter(|m| !m.drained).count();
        let good: Vec<usize> = self.positions(|m| m.is_routable(now));
        self.healthy = good.len() as f64 / weighed.max(1) as f64;
        let panic = self.on.panic && self.healthy < PANIC;
        self.routable = if panic {
            self.positions(|m| !m.drained)
        } else {
            good
        };
        if !self.on.drain {
            self.routable = (0..self.members.len()).collect();
        }
        let candidate = |at: &usize| {
            Some(Candidate {
                id: id(*at),
                load: self.members.get(*at)?.load.clone(),
                weight: Weight::ONE,
                key_hash: stable_hash(&(*at as u64).to_be_bytes()),
            })
        };
        let candidates = self.routable.iter().filter_map(candidate).collect();
        self.balancer = Balancer::new(self.policy, candidates);
    }

    /// Chooses a member that is not `tried`.
    pub fn pick(
        &self,
        client: u64,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<(usize, InFlight)> {
        let at = self.balancer.pick(Some(client), tried, now, rng)?;
        let at = *self.routable.get(at)?;
        Some((at, self.members.get(at)?.load.begin()))
    }

    /// Takes in the end of a try. `counts` when the failure speaks against the member.
    pub fn record(
        &mut self,
        at: usize,
        failed: Option<bool>,
        latency: Duration,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        let (ejected, total) = (self.ejected(now), self.members.len());
        let penalty = self.on.penalty;
        let cap = outlier(self.on).max_ejected;
        let Some(member) = self.members.get_mut(at) else {
            return;
        };
        let Some(counts) = failed else {
            member.load.observe(latency, now);
            let _ = member.ejector.on_outcome(false, now, rng);
            return;
        };
        if penalty {
            member.load.penalize(now);
        } else {
            member.load.observe(latency, now);
        }
        if !counts || (self.on.ejection_cap && !may_eject(ejected, total, cap)) {
            return;
        }
        if member.ejector.on_outcome(true, now, rng).is_some() {
            self.ejections += 1;
            self.stale = true;
        }
    }

    /// Takes in a probe's result.
    pub fn on_probe(&mut self, at: usize, passed: bool, now: Instant) {
        let Some(member) = self.members.get_mut(at) else {
            return;
        };
        self.passes += u32::from(passed);
        let result = if passed {
            let latency = Duration::from_millis(1);
            ProbeResult::Pass { latency }
        } else {
            ProbeResult::fail(ProbeFailure::Timeout)
        };
        if let Some(change) = member.check.on_probe(result, now) {
            self.stale = true;
            if change.to == Verdict::Healthy {
                member.load.forgive();
            }
        }
    }

    /// Sets a member's weight to 0, or back.
    pub fn drain(&mut self, at: usize, drained: bool) {
        if let Some(member) = self.members.get_mut(at) {
            member.drained = drained;
            self.stale = true;
        }
    }

    /// A new configuration that changes nothing: what belongs to identities stays.
    pub fn reload(&mut self) {
        for member in &mut self.members {
            member.check.reconfigure(&HealthCheck::default());
            member.ejector.reconfigure(&outlier(self.on));
        }
        self.stale = true;
    }

    /// Members that are ejected.
    #[must_use]
    pub fn ejected(&self, now: Instant) -> usize {
        let out = |m: &&Member| m.ejector.is_ejected(now);
        self.members.iter().filter(out).count()
    }

    /// Members whose probes give this verdict.
    #[must_use]
    pub fn with_verdict(&self, verdict: Verdict) -> u32 {
        let count = self.positions(|m| m.check.verdict() == verdict).len();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Requests in flight to all members.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.members
            .iter()
            .map(|m| u64::from(m.load.in_flight()))
            .sum()
    }

    fn positions(&self, which: impl Fn(&Member) -> bool) -> Vec<usize> {
        let all = self.members.iter().enumerate();
        all.filter(|(_, m)| which(m)).map(|(at, _)| at).collect()
    }
}

/// An ejection that ended this long ago has been seen by a refresh.
const TICKS: Duration = Duration::from_millis(200);

// === impl Member ===

impl Member {
    fn is_routable(&self, now: Instant) -> bool {
        !self.drained && self.check.verdict().is_healthy() && !self.ejector.is_ejected(now)
    }
}

/// The id of the member at a position.
#[must_use]
pub fn id(at: usize) -> EndpointId {
    EndpointId(u32::try_from(at).unwrap_or(u32::MAX))
}

fn outlier(on: Mechanisms) -> Outlier {
    Outlier {
        enabled: on.ejection,
        max_ejected: Percent::new(50.0),
        ..Outlier::default()
    }
}
