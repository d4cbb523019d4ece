//! The region report: what a regional replica tells the global tier of itself.

use crate::clock;
use crate::plan::{Plan, Tier};
use crate::upstream::Health;
use crate::worker::Shared;
use http::HeaderValue;
use lb_core::name::{RegionName, ReplicaName};
use lb_core::region::report::RegionReport;
use lb_core::region::report::measure::{Fraction, Load, Rate};
use lb_core::time::Instant;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Shortest time between two responses that carry a report.
const CARRY_INTERVAL: Duration = Duration::from_millis(100);

/// Makes reports; keeps what a rate needs.
#[derive(Debug, Default)]
pub struct Reporter {
    seq: AtomicU64,
    /// When a response last carried a report, in nanoseconds.
    carried: AtomicU64,
    /// Counts at the last report, and the rates since the one before.
    last: Mutex<Option<Sample>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: u64,
    requests: u64,
    failed: u64,
    shed: u64,
    rates: Rates,
}

/// Requests per second, and shares of them.
#[derive(Debug, Clone, Copy, Default)]
struct Rates {
    rps: f64,
    errors: f64,
    shed: f64,
}

// === impl Reporter ===

impl Reporter {
    /// The report now; `None` on the global tier, and as long as a pool's servers have not been judged: that they are not
    /// known to be well is not that they are ill.
    pub(crate) fn report(&self, shared: &Shared) -> Option<RegionReport> {
        let plan = shared.plan.load();
        let identity = &plan.identity;
        if identity.tier != Tier::Regional || is_undecided(&plan) {
            return None;
        }
        let Rates { rps, errors, shed } = self.rates(shared);
        let (total, healthy, share) = health(&plan);
        Some(RegionReport {
            region: RegionName::new(identity.region.as_deref()?).ok()?,
            replica: ReplicaName::new(&identity.replica).ok()?,
            boot_id: identity.boot_id,
            seq: self.seq.fetch_add(1, Relaxed) + 1,
            endpoints_total: total,
            endpoints_healthy: healthy,
            healthy_weight_fraction: Fraction::saturating(share),
            capacity_rps: plan.capacity_rps.map(|rate| Rate::saturating(rate.into())),
            inflight: shared.requests.in_flight(),
            rps: Rate::saturating(rps),
            utilization: utilization(&plan, rps).map(Load::saturating),
            shed_rate: Fraction::saturating(shed),
            err_rate: Fraction::saturating(errors),
            draining: shared.lifecycle.tells_leaving(),
        })
    }

    /// The report as a response's field, when one is due: ten a second keep a busy link fresh, and a link
    /// that is not busy is asked by the global tier itself.
    pub(crate) fn due(&self, shared: &Shared, now: Instant) -> Option<HeaderValue> {
        // The one that serves in its place reports: two of one name would contradict each other.
        if shared.lifecycle.is_replaced() {
            return None;
        }
        let last = self.carried.load(Relaxed);
        if now.since(Instant::from_nanos(last)) < CARRY_INTERVAL {
            return None;
        }
        self.carried
            .compare_exchange(last, now.as_nanos(), Relaxed, Relaxed)
            .ok()?;
        HeaderValue::try_from(self.report(shared)?.to_compact()).ok()
    }

    /// Requests per second and the shares of failures and refusals since the last sample, at least half a second ago.
    fn rates(&self, shared: &Shared) -> Rates {
        let (requests, failed) = (shared.requests.total(), shared.requests.failed());
        let (at, shed) = (clock::now().as_nanos(), shared.requests.refused());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Sample {
            at,
            requests,
            failed,
            shed,
            rates: Rates::default(),
        };
        let known = last.get_or_insert(fresh);
        let seconds = at.saturating_sub(known.at) as f64 / 1e9;
        if seconds >= 0.5 {
            let count = requests.saturating_sub(known.requests) as f64;
            let bad = failed.saturating_sub(known.failed) as f64;
            let refused = shed.saturating_sub(known.shed) as f64;
            let rates = Rates {
                rps: count / seconds,
                errors: (bad / count.max(1.0)).min(1.0),
                shed: (refused / count.max(1.0)).min(1.0),
            };
            *known = Sample { rates, ..fresh };
        }
        known.rates
    }
}

/// Whether a pool has servers, and no verdict on any of them.
fn is_undecided(plan: &Plan) -> bool {
    plan.pools.iter().any(|pool| {
        let view = pool.view();
        let mut members = view.members.iter().filter(|m| m.weight.is_some());
        let is_known = |health| health != Health::Unknown;
        view.routable() > 0 && !members.any(|member| is_known(member.endpoint.health()))
    })
}

/// How full this replica finds its region: its fullest pool by the adaptive limit, while that limits; and the rate against the
/// configured capacity. None: nothing is known, which is not zero.
fn utilization(plan: &Plan, rps: f64) -> Option<f64> {
    let configured = plan.capacity_rps.map(|capacity| rps / f64::from(capacity));
    let limits = plan
        .pools
        .iter()
        .filter_map(|pool| pool.admission.utilization());
    limits.chain(configured).reduce(f64::max)
}

/// Endpoints, healthy endpoints, and the healthy share of the weight over all pools. A pool that was scaled to zero is no
/// illness of the region: it doesn't count, unless all are empty.
fn health(plan: &Plan) -> (u32, u32, f64) {
    let (mut total, mut healthy, mut shares) = (0, 0, Vec::new());
    let is_bare = plan.pools.iter().all(|pool| pool.is_empty());
    for pool in plan.pools.iter().filter(|pool| is_bare || !pool.is_empty()) {
        let view = pool.view();
        for member in view.members.iter().filter(|member| member.weight.is_some()) {
            total += 1;
            healthy += u32::from(member.endpoint.health() == Health::Healthy);
        }
        shares.push(view.healthy_share);
    }
    // A region serves all of its routes or it is not healthy: its weakest pool speaks for it.
    (total, healthy, shares.into_iter().fold(1.0, f64::min))
}
