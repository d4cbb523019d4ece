//! One picture of a region from the reports of its replicas.
//!
//! # Choice
//! The replicas of a region stand before the *same* servers. What each of them carries is summed
//! (requests, in-flight); what each of them sees is not: servers and capacity are the largest that a
//! replica knows, or a second replica would double the region, and losing one would halve it and spill
//! traffic that the servers could well take. Healthy shares are averaged over the views, by the number
//! of servers in each; error and shed shares by the requests behind them. Utilisation is the larger of
//! the summed requests over the capacity and the mean of what the replicas report for themselves: each
//! can be blind where the other sees.
//!
//! # Limits
//! Reports older than `max_age` are left out; with none left the caller gets none, and that is not zero
//! capacity: it keeps the last summary. A replica that restarts with its wall clock set back reports a
//! smaller boot id and is ignored until its old reports have aged.

use super::RegionReport;
use super::measure::{Fraction, Load, Rate};
use crate::name::ReplicaName;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// A report and when it came in, by the receiver's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The report.
    pub report: RegionReport,
    /// When it came in.
    pub at: Instant,
}

/// A region as its replicas' fresh reports show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionSummary {
    /// Replicas with a fresh report.
    pub replicas: u32,
    /// Those of them that ask for no new work.
    pub draining: u32,
    /// Servers of the region.
    pub endpoints_total: u32,
    /// Servers that the replicas would send to, on average.
    pub endpoints_healthy: u32,
    /// Routable share of the servers' weight, on average.
    pub healthy_weight_fraction: Fraction,
    /// Requests per second that the servers are able to serve, where a replica knows.
    pub capacity_rps: Option<Rate>,
    /// Requests being served.
    pub inflight: u64,
    /// Requests per second.
    pub rps: Rate,
    /// How full the region is; 1 is full. None: unknown, which is not zero.
    pub utilization: Option<Load>,
    /// Share of the requests that were refused for overload.
    pub shed_rate: Fraction,
    /// Share of the requests that failed.
    pub err_rate: Fraction,
    /// Age of the oldest report in the picture.
    pub age: Duration,
}

// === impl RegionSummary ===

impl RegionSummary {
    /// Whether the region leaves: all replicas with a fresh report ask for no new work, and no more of them pass their probes
    /// (`healthy`) than have said so. In a rolling restart one always stays; a replica that is heard of only by its probes may be it.
    #[must_use]
    pub const fn is_leaving(&self, healthy: u32) -> bool {
        self.replicas > 0 && self.draining >= self.replicas && self.replicas >= healthy
    }
}

/// A weighted mean that falls back to the plain one while no value carries weight: an idle region has shares, too.
#[derive(Debug, Default)]
struct Mean {
    weighted: f64,
    weight: f64,
    plain: f64,
    count: f64,
}

/// Merges the newest fresh report of each replica; reports of several regions must not be mixed. None when no
/// report is younger than `max_age`.
#[must_use]
pub fn merge<'a>(
    reports: impl IntoIterator<Item = &'a Received>,
    now: Instant,
    max_age: Duration,
) -> Option<RegionSummary> {
    let fresh = newest_fresh(reports, now, max_age);
    if fresh.is_empty() {
        return None;
    }
    let views = || fresh.values().map(|received| &received.report);
    let mean = |value: fn(&RegionReport) -> f64, weight: fn(&RegionReport) -> f64| {
        Mean::of(views().map(|r| (value(r), weight(r)))).unwrap_or_default()
    };
    let servers = |r: &RegionReport| f64::from(r.endpoints_total);
    let requests = |r: &RegionReport| r.rps.get();
    let endpoints_total = views().map(|r| r.endpoints_total).max().unwrap_or(0);
    let healthy = mean(healthy_share, servers) * f64::from(endpoints_total);
    let rps = Rate::saturating(views().map(requests).sum());
    let capacity_rps = largest(views().filter_map(|r| r.capacity_rps));
    Some(RegionSummary {
        replicas: count(fresh.len()),
        draining: count(views().filter(|r| r.draining).count()),
        endpoints_total,
        // In range: a share of a u32.
        endpoints_healthy: healthy.round() as u32,
        healthy_weight_fraction: Fraction::saturating(mean(
            |r| r.healthy_weight_fraction.get(),
            servers,
        )),
        capacity_rps,
        inflight: views().fold(0, |sum, r| sum.saturating_add(r.inflight)),
        rps,
        utilization: utilization(
            rps,
            capacity_rps,
            Mean::of(views().filter_map(|r| Some((r.utilization?.get(), r.rps.get())))),
        ),
        shed_rate: Fraction::saturating(mean(|r| r.shed_rate.get(), requests)),
        err_rate: Fraction::saturating(mean(|r| r.err_rate.get(), requests)),
        age: fresh
            .values()
            .map(|r| now.since(r.at))
            .max()
            .unwrap_or_default(),
    })
}

fn newest_fresh<'a>(
    reports: impl IntoIterator<Item = &'a Received>,
    now: Instant,
    max_age: Duration,
) -> BTreeMap<&'a ReplicaName, &'a Received> {
    let mut newest = BTreeMap::<&ReplicaName, &Received>::new();
    for received in reports {
        if now.since(received.at) > max_age {
            continue;
        }
        newest
            .entry(&received.report.replica)
            .and_modify(|best| {
                if received.report.is_newer_than(&best.report) {
                    *best = received;
                }
            })
            .or_insert(received);
    }
    newest
}

/// The healthy servers' share; a view without servers has none. A report may claim more healthy servers than there
/// are: the count is cut.
fn healthy_share(report: &RegionReport) -> f64 {
    let healthy = report.endpoints_healthy.min(report.endpoints_total);
    f64::from(healthy) / f64::from(report.endpoints_total.max(1))
}

fn utilization(rps: Rate, capacity: Option<Rate>, reported: Option<f64>) -> Option<Load> {
    let computed = capacity
        .filter(|capacity| capacity.get() > 0.0)
        .map(|capacity| rps.get() / capacity.get());
    let fullest = match (computed, reported) {
        (Some(a), Some(b)) => a.max(b),
        (a, b) => a.or(b)?,
    };
    Some(Load::saturating(fullest))
}

fn largest(rates: impl Iterator<Item = Rate>) -> Option<Rate> {
    rates.reduce(|a, b| if b > a { b } else { a })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

// === impl Mean ===

impl Mean {
    /// The mean of `(value, weight)` pairs; none without pairs.
    fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
        let sums = pairs.fold(Self::default(), |sums, (value, weight)| Self {
            weighted: sums.weighted + value * weight,
            weight: sums.weight + weight,
            plain: sums.plain + value,
            count: sums.count + 1.0,
        });
        if sums.weight > 0.0 {
            Some(sums.weighted / sums.weight)
        } else {
            (sums.count > 0.0).then(|| sums.plain / sums.count)
        }
    }
}
