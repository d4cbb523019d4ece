//! Who is ejected from a pool, who is slow in it, and when that is over.
//!
//! **Problem.** A row of errors is noticed by the request that completes it. What only a comparison shows (an endpoint
//! failing one request in three, or ten times slower than its sisters) has to be looked for.
//!
//! **Choice.** The control thread judges each pool once a second (core's `outlier::statistics` and `outlier::latency`) over
//! what requests have counted. All convictions go through one door, [`Pool::eject`], with one cap.
//!
//! **The last one.** In a pool that fails open, the last routable endpoint is not ejected, and when none is routable any
//! more, all ejections are over: an ejection says that the others are better, which is not so then. A total
//! outage would else leave half of the pool ejected, and what returns first would carry all. In a
//! region's pool of replicas it stays: there, the others are other regions.

use super::{Conviction, Endpoint, Health, Pool};
use lb_core::outlier::statistics::{self, judge};
use lb_core::outlier::window::Counts;
use lb_core::outlier::{latency, may_eject};
use lb_core::time::Instant;
use std::time::Duration;

/// Pools up to this size compare each endpoint with the median of exactly the others; in larger ones, with all: one
/// of a hundred moves no median.
const EXACT: usize = 64;

/// A penalty above this is of the last five seconds.
const BLAMED: f64 = 2.0;
/// How long failures are forgiven after all endpoints had some.
const EVENED: Duration = Duration::from_millis(500);

impl Pool {
    /// Ejects an endpoint whose gateway errors completed a row, unless too much of the pool is out.
    pub fn convict(&self, endpoint: &Endpoint, now: Instant) {
        let row = Conviction::Row(self.spec.outlier.consecutive_errors);
        self.eject(endpoint, row, now);
    }

    /// Judges all endpoints by their traffic. Control thread only, about once a second.
    pub fn judge(&self, now: Instant) {
        self.judge_failures(now);
        self.judge_latency(now);
    }

    fn judge_failures(&self, now: Instant) {
        let view = self.view();
        let rules = statistics::Rules::new(&self.spec.outlier);
        let judged: Vec<(&Endpoint, Counts)> = view
            .members
            .iter()
            .filter(|m| m.weight.is_some() && m.endpoint.ejected_until(now).is_none())
            .map(|m| (&*m.endpoint, m.endpoint.standing.window.counts(now)))
            .collect();
        let counts: Vec<Counts> = judged.iter().map(|(_, counts)| *counts).collect();
        for verdict in judge(&counts, &rules) {
            if let Some((endpoint, _)) = judged.get(verdict.index) {
                self.eject(endpoint, Conviction::Statistics(verdict.reason), now);
            }
        }
    }

    fn judge_latency(&self, now: Instant) {
        let view = self.view();
        let rules = latency::Rules::new(&self.spec.outlier);
        // Who has answered nothing of late has no latency to speak of: its estimate only fades.
        let has_latency = |endpoint: &Endpoint| {
            let counts = endpoint.standing.window.counts(now);
            counts.requests > counts.failures
        };
        let measured = view.endpoints().iter().filter(|e| has_latency(e));
        let known: Vec<(u32, Duration)> = measured.map(|e| (e.id.0, e.load.latency(now))).collect();
        let all: Vec<Duration> = known.iter().map(|(_, latency)| *latency).collect();
        let mut scratch = Vec::with_capacity(all.len());
        let whole = match all.len() {
            0..=EXACT => None,
            _ => latency::peers_median(&all, usize::MAX, &mut scratch),
        };
        let mut own = known.iter().enumerate().peekable();
        let mut changed = false;
        for endpoint in view.endpoints() {
            let latencies =
                own.next_if(|(_, (id, _))| *id == endpoint.id.0)
                    .and_then(|(index, (_, own))| {
                        let median =
                            whole.or_else(|| latency::peers_median(&all, index, &mut scratch))?;
                        Some((*own, median))
                    });
            changed |= self.compare(endpoint, latencies, &rules, now);
        }
        if changed {
            self.mark_stale();
        }
    }

    fn compare(
        &self,
        endpoint: &Endpoint,
        latencies: Option<(Duration, Duration)>,
        rules: &latency::Rules,
        now: Instant,
    ) -> bool {
        let before = endpoint.standing.latency_factor();
        let changed = endpoint.standing.compare(latencies, rules, now);
        let after = endpoint.standing.latency_factor();
        if let (true, true, Some((own, median))) = (before == 1.0, after < 1.0, latencies) {
            log::warn!(
                "pool {} server {}: loses weight: {own:.1?} against its peers' median of {median:.1?}",
                self.spec.name,
                endpoint.key.server,
            );
        } else if before < 1.0 && after == 1.0 {
            let (pool, server) = (&self.spec.name, &endpoint.key.server);
            log::info!("pool {pool} server {server}: as fast as its peers again");
        }
        changed
    }

    /// Ejects, unless the endpoint is out already or too much of the pool is. Who is out by checks is asked in panic only,
    /// where ejection counts as little; it would just come back later than it is well.
    fn eject(&self, endpoint: &Endpoint, conviction: Conviction, now: Instant) {
        if endpoint.health() == Health::Unhealthy {
            return;
        }
        let view = self.view();
        let out = view
            .members
            .iter()
            .filter(|m| m.endpoint.ejected_until(now).is_some());
        if !may_eject(
            out.count(),
            view.members.len(),
            self.spec.outlier.max_ejected,
        ) {
            return;
        }
        let is_other = |id| id != endpoint.id;
        let mut others = view.members.iter().filter(|m| is_other(m.endpoint.id));
        if self.spec.fails_open() && !others.any(|m| m.is_routable(now) || m.stands_in(now)) {
            return;
        }
        if let Some(eject) = endpoint.eject(conviction, now) {
            self.metrics.eject(conviction.label());
            self.mark_stale();
            log::warn!(
                "pool {} server {}: ejected for {:.1?}: {conviction} (ejection {})",
                self.spec.name,
                endpoint.key.server,
                now.until(eject.until),
                eject.nth,
            );
        }
    }

    /// When each of the endpoints has failed lately, their failures tell nothing, and are forgiven. In an outage the
    /// penalties would grow apart by chance; on return, a few successes would make one endpoint look so much better
    /// than the others that it got everything. So it goes on for a moment after the last time: what failed just before
    /// the return is old by then.
    fn even_out(&self, now: Instant) {
        let view = self.view();
        let all = view.endpoints();
        if all.len() > 1 && all.iter().all(|e| e.load.penalty(now) > BLAMED) {
            self.set_evened(now);
        }
        if self.evened_at().is_some_and(|at| now.since(at) <= EVENED) {
            all.iter().for_each(|endpoint| endpoint.load.forgive());
        }
    }

    /// Notes when a new view is due by time: an ejection has ended since the view was built, or began without a note
    /// here (a request that began under an older configuration notes it with that one's pool), or a share has
    /// grown. Control thread only.
    pub fn check_ejections(&self, now: Instant) {
        let view = self.view();
        self.even_out(now);
        let mut due = view.rebuild_at.is_some_and(|at| at <= now);
        for member in &view.members {
            let endpoint = &member.endpoint;
            if endpoint.ejected_until(view.built).is_some() && endpoint.ejected_until(now).is_none()
            {
                // What was under way when it left ended meanwhile, and says nothing of now.
                endpoint.standing.forget_outcomes();
                due = true;
            }
        }
        let began = |endpoint: &std::sync::Arc<Endpoint>| endpoint.ejected_until(now).is_some();
        if due || (!view.panic && view.endpoints().iter().any(began)) {
            self.mark_due();
        }
    }
}
