//! What is known of a region. It belongs to the region's name and outlives reloads.

use lb_core::config::model::Failover;
use lb_core::name::ReplicaName;
use lb_core::region::evidence::{Evidence, ProbeTally, Rules, Signals, Transition};
use lb_core::region::latency_shift::LatencyShift;
use lb_core::region::report::{Received, RegionReport, RegionSummary, merge};
use lb_core::region::tally::{Drained, Tally};
use lb_core::region::waterfall::{Basin, Gauge};
use lb_core::time::Instant;
use rand::Rng;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A report older than this no longer speaks for its region: what it said last is frozen, and probes and traffic
/// decide.
const REPORT_FRESH: Duration = Duration::from_secs(5);

/// What is known of a region.
#[derive(Debug)]
pub struct RegionMemory {
    /// What requests tell of it.
    pub tally: Tally,
    reports: Mutex<HashMap<ReplicaName, Received>>,
    /// Probes that passed since the last step.
    passes: AtomicU32,
    judged: Mutex<Judged>,
}

/// The state machines, stepped by the control thread.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) evidence: Evidence,
    pub(super) basin: Basin,
    pub(super) shift: LatencyShift,
    /// What the verdict was given on.
    traffic: Drained,
    summary: Option<RegionSummary>,
}

// === impl RegionMemory ===

impl RegionMemory {
    /// A region of which nothing is known.
    #[must_use]
    pub fn new(failover: &Failover, now: Instant) -> Self {
        Self {
            tally: Tally::new(failover.consecutive_errors),
            reports: Mutex::default(),
            passes: AtomicU32::new(0),
            judged: Mutex::new(Judged {
                evidence: Evidence::new(Rules::new(failover), now),
                basin: Basin::new(now),
                shift: LatencyShift::new(now),
                traffic: Drained::default(),
                summary: None,
            }),
        }
    }

    /// Takes over a changed configuration; what is known stays.
    pub fn reconfigure(&self, failover: &Failover) {
        self.tally.set_threshold(failover.consecutive_errors);
        self.judged().evidence.reconfigure(Rules::new(failover));
    }

    /// Takes in a replica's report; an older one than known is dropped.
    pub fn record(&self, report: RegionReport, at: Instant) {
        let mut reports = self.reports();
        let older = reports.get(&report.replica).is_some_and(|known| {
            known.report.boot_id == report.boot_id && known.report.seq >= report.seq
        });
        if !older {
            reports.insert(report.replica.clone(), Received { report, at });
        }
    }

    /// Whether a replica has ever reported.
    #[must_use]
    pub fn has_reported(&self) -> bool {
        !self.reports().is_empty()
    }

    /// Notes that a probe of one of its replicas passed.
    pub fn probe_passed(&self) {
        self.passes.fetch_add(1, Relaxed);
    }

    /// The fresh reports as one; `None` when there is none.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Option<RegionSummary> {
        merge(self.reports().values(), now, REPORT_FRESH)
    }

    /// Steps the verdict. Control thread only.
    pub(super) fn judge(
        &self,
        probes: ProbeTally,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Transition> {
        let summary = self.summary(now);
        let traffic = self.tally.drain();
        let signals = self.signals(probes, summary.as_ref(), traffic);
        let mut judged = self.judged();
        judged.traffic = traffic;
        judged.summary = summary;
        judged.shift.observe(traffic.latency(), now);
        judged.evidence.observe(&signals, now, rng)
    }

    /// Steps the measurement of its load, once it is known whether it takes requests: a region that is kept against the
    /// evidence has limited room, too. Control thread only.
    pub(super) fn measure(&self, usable: bool, capacity_rps: Option<u32>, now: Instant) {
        let mut judged = self.judged();
        let reported = judged.summary;
        let gauge = Gauge {
            usable,
            capacity_rps: reported
                .and_then(|s| s.capacity_rps.map(|rate| rate.get()))
                .or(capacity_rps.map(f64::from)),
            rps: reported.map(|s| s.rps.get()),
            utilization: reported.and_then(|s| s.utilization.map(|load| load.get())),
            shed: reported.map_or(0.0, |s| s.shed_rate.get()),
            traffic: judged.traffic,
        };
        judged.basin.observe(&gauge, now);
    }

    fn signals(
        &self,
        probes: ProbeTally,
        summary: Option<&RegionSummary>,
        traffic: Drained,
    ) -> Signals {
        Signals {
            leaving: summary.is_some_and(|summary| summary.is_leaving(probes.healthy)),
            report: summary.map(|summary| lb_core::region::evidence::ReportView {
                healthy: summary.healthy_weight_fraction.get(),
                shed: summary.shed_rate.get(),
            }),
            probes: ProbeTally {
                passes: self.passes.swap(0, Relaxed),
                ..probes
            },
            traffic,
        }
    }

    /// The state machines.
    pub(super) fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reports(&self) -> MutexGuard<'_, HashMap<ReplicaName, Received>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
