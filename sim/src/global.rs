//! A global replica: what it knows of the regions, and its choice among them.

use crate::regional::{Pool, Retries};
use crate::setup::{Mechanisms, Setup};
use lb_core::balance::Policy;
use lb_core::config::model::{Failover, RegionOrder};
use lb_core::health::Verdict as Probed;
use lb_core::region::evidence::{self, Evidence, ProbeTally, ReportView, Signals, Why};
use lb_core::region::latency_shift::{self, LatencyShift};
use lb_core::region::removal::{self, Claim, Isolation, Reach, Verdict, Want};
use lb_core::region::tally::{Drained, Tally};
use lb_core::region::waterfall::{self, Basin, Gauge};
use lb_core::region::{Candidate, Condition, Factors, Ranking};
use lb_core::time::Instant;
use rand::Rng;
use std::time::Duration;

/// What a region reports.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Routable share of the servers.
    pub healthy: f64,
    /// Requests per second.
    pub rps: f64,
    /// Requests per second that its servers can serve.
    pub capacity: f64,
    /// Share refused for overload.
    pub shed: f64,
    /// When it came in.
    pub at: Instant,
}

/// A region in the eyes of a global replica.
#[derive(Debug)]
pub struct Region {
    /// Its replicas.
    pub pool: Pool,
    /// The verdict.
    pub evidence: Evidence,
    /// Requests since the last step.
    pub tally: Tally,
    /// The last report.
    pub report: Option<Report>,
    /// Times that it went out.
    pub flips: u64,
    /// Weight 0.
    pub drained: bool,
    traffic: Drained,
    basin: Basin,
    shift: LatencyShift,
}

/// A global replica.
#[derive(Debug)]
pub struct Global {
    /// The regions.
    pub regions: Vec<Region>,
    /// What may be retried, over all regions.
    pub retries: Retries,
    /// What requests see.
    pub candidates: Vec<Candidate>,
    /// In which order.
    pub ranking: Ranking,
    /// Whether it takes itself to be cut off.
    pub isolation: Isolation,
    /// What the cap decided.
    pub verdicts: Vec<Verdict>,
    order: RegionOrder,
    on: Mechanisms,
    stepped: Instant,
}

/// A region that is not fuller has room beyond doubt.
const PLAIN: f64 = 0.7;
const FRESH: Duration = Duration::from_secs(5);

// === impl Global ===

impl Global {
    /// A replica that knows nothing.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let mut rules = evidence::Rules::default();
        if !setup.on.ramp {
            rules.ramp = Duration::ZERO;
        }
        let region = |_| Region {
            pool: Pool::new(setup.replicas, Policy::P2c, setup.on),
            evidence: Evidence::new(rules, Instant::ZERO),
            tally: Tally::new(Failover::default().consecutive_errors),
            report: None,
            flips: 0,
            drained: false,
            traffic: Drained::default(),
            basin: Basin::new(Instant::ZERO),
            shift: LatencyShift::new(Instant::ZERO),
        };
        Self {
            regions: (0..setup.regions).map(region).collect(),
            retries: Retries::new(setup.on),
            candidates: Vec::new(),
            ranking: Ranking::default(),
            isolation: Isolation::default(),
            verdicts: Vec::new(),
            order: setup.order,
            on: setup.on,
            stepped: Instant::ZERO,
        }
    }

    /// What the control thread does each 100 ms.
    pub fn control(&mut self, now: Instant, rng: &mut impl Rng) {
        for region in &mut self.regions {
            region.pool.refresh(now);
            region.judge(self.on, now, rng);
        }
        let reach: Vec<Reach> = self.regions.iter().map(Region::reach).collect();
        self.isolation.observe(&reach, now);
        let claims: Vec<Claim> = self.regions.iter().map(Region::claim).collect();
        let most = if self.on.removal { 0.5 } else { 1.0 };
        let open = removal::limit(&claims, most, &mut self.verdicts);
        if open && !self.on.removal {
            self.verdicts.fill(Verdict::AsJudged);
        }
        for (region, verdict) in self.regions.iter_mut().zip(&self.verdicts) {
            region.weigh(*verdict, now);
        }
        self.plan(now);
        let view = |(at, region): (usize, &Region)| {
            let verdict = self.verdicts.get(at).copied();
            region.candidate(at, verdict.unwrap_or(Verdict::AsJudged), self.on, now)
        };
        self.candidates = self.regions.iter().enumerate().map(view).collect();
        self.ranking = Ranking::new(self.order, &self.candidates, |_| true, None);
    }

    /// Whether a region takes requests and is full to 70 % at most: then nothing needs to be refused.
    #[must_use]
    pub fn has_plain_room(&self) -> bool {
        let plain = |(region, candidate): (&Region, &Candidate)| {
            let fullness = region.basin.fullness().unwrap_or(0.0);
            candidate.condition.is_usable() && fullness <= PLAIN
        };
        self.regions.iter().zip(&self.candidates).any(plain)
    }

    fn plan(&mut self, now: Instant) {
        let step = now.since(self.stepped);
        self.stepped = now;
        let mut basins: Vec<&mut Basin> = self.regions.iter_mut().map(|r| &mut r.basin).collect();
        waterfall::plan(&mut basins, &waterfall::Rules::default(), now);
        let mut shifts: Vec<&mut LatencyShift> =
            self.regions.iter_mut().map(|r| &mut r.shift).collect();
        latency_shift::settle(&mut shifts, step);
    }
}

// === impl Region ===

impl Region {
    fn judge(&mut self, on: Mechanisms, now: Instant, rng: &mut impl Rng) {
        let traffic = self.tally.drain();
        self.traffic = traffic;
        let report = self.report.filter(|report| now.since(report.at) < FRESH);
        let signals = Signals {
            leaving: false,
            report: report.map(|report| ReportView {
                healthy: report.healthy,
                shed: report.shed,
            }),
            probes: ProbeTally {
                probing: true,
                replicas: u32::try_from(self.pool.members.len()).unwrap_or(u32::MAX),
                healthy: self.pool.with_verdict(Probed::Healthy),
                unhealthy: self.pool.with_verdict(Probed::Unhealthy),
                passes: std::mem::take(&mut self.pool.passes),
            },
            traffic: if on.traffic {
                traffic
            } else {
                Drained::default()
            },
        };
        let was_out = self.evidence.is_out();
        self.evidence.observe(&signals, now, rng);
        self.flips += u64::from(!was_out && self.evidence.is_out());
        self.shift.observe(traffic.latency(), now);
    }

    /// Load and room, once it is known what the cap retains.
    fn weigh(&mut self, verdict: Verdict, now: Instant) {
        let report = self.report.filter(|report| now.since(report.at) < FRESH);
        let retained = verdict != Verdict::AsJudged;
        let usable = self.evidence.condition().is_usable() || retained;
        let gauge = Gauge {
            usable: usable && !self.drained,
            capacity_rps: report.map(|report| report.capacity),
            rps: report.map(|report| report.rps),
            utilization: report.map(|report| report.rps / report.capacity.max(1.0)),
            shed: report.map_or(0.0, |report| report.shed),
            traffic: self.traffic,
        };
        self.basin.observe(&gauge, now);
    }

    /// Load and room.
    #[must_use]
    pub const fn basin(&self) -> &Basin {
        &self.basin
    }

    fn reach(&self) -> Reach {
        Reach {
            by_operator: self.drained,
            lost: self
                .evidence
                .is_unreachable()
                .then(|| self.evidence.since()),
            reported_well: self.evidence.reported() >= 0.7,
        }
    }

    fn claim(&self) -> Claim {
        let out_by_traffic = self.evidence.why() == Why::Traffic;
        Claim {
            by_operator: self.drained,
            want: if self.evidence.is_out() && out_by_traffic {
                Want::OutByTraffic
            } else if self.evidence.is_out() {
                Want::OutByChecks
            } else if self.evidence.condition().is_usable() {
                Want::In
            } else {
                Want::Undecided
            },
            since: self.evidence.since(),
        }
    }

    fn candidate(&self, at: usize, verdict: Verdict, on: Mechanisms, now: Instant) -> Candidate {
        let (condition, ramp) = match verdict {
            _ if self.drained && on.drain => (Condition::Drained, 1.0),
            Verdict::AsJudged => (self.evidence.condition(), self.evidence.ramp(now)),
            Verdict::Retained(share) => (Condition::Healthy, share),
        };
        Candidate {
            priority: u32::try_from(at).unwrap_or(u32::MAX),
            weight: 1,
            condition,
            latency: None,
            location: None,
            factors: Factors {
                ramp,
                shift: if on.latency_shift {
                    self.shift.share()
                } else {
                    1.0
                },
                spill: if on.waterfall {
                    self.basin.spill()
                } else {
                    0.0
                },
                room: if on.waterfall { self.basin.room() } else { 1.0 },
                spare: if on.waterfall {
                    self.basin.spare()
                } else {
                    1.0
                },
                ..Factors::default()
            },
        }
    }
}
