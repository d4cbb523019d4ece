//! Resolved handles for the hot path.

use super::Families;
use crate::upstream::Conviction;
use lb_core::retry::Failure;
use prometheus::{Gauge, Histogram, IntCounter, IntGauge};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Statuses with a series of their own; any other is counted as its class, such as `4xx`.
const CODES: &[u16] = &[
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409,
    410, 412, 413, 414, 415, 416, 421, 422, 425, 429, 431, 499, 500, 501, 502, 503, 504, 505, 508,
];
const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "OTHER",
];
const CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx", "failed"];

/// A route's handles.
#[derive(Debug)]
pub struct RouteMetrics {
    families: Families,
    route: String,
    pool: String,
    requests: Box<[OnceLock<IntCounter>]>,
    durations: Vec<Histogram>,
    overhead: Histogram,
    rate_limited: IntCounter,
    failures: AtomicU64,
    retries: AtomicU64,
}

/// A pool's handles; at the global tier, a region's.
#[derive(Debug)]
pub struct PoolMetrics {
    /// Requests in flight.
    pub inflight: IntGauge,
    /// Until the response's head.
    pub duration: Histogram,
    /// Opening connections.
    pub connect: Histogram,
    /// Retries that the budget refused.
    pub budget_exhausted: IntCounter,
    /// Routable share of the weight.
    pub healthy_ratio: Gauge,
    /// Whether health is ignored.
    pub panic: IntGauge,
    /// 1 while servers that are drained by order take its requests.
    pub resorts: IntGauge,
    retries: Vec<(&'static str, IntCounter)>,
    ejections: Vec<(&'static str, IntCounter)>,
}

/// An endpoint's handles.
#[derive(Debug)]
pub struct EndpointMetrics {
    classes: Vec<IntCounter>,
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Resolves the handles of `route`, which leads to `pool`.
    #[must_use]
    pub fn new(families: &Families, route: &str, pool: &str) -> Self {
        let durations = CLASSES
            .iter()
            .map(|class| {
                families
                    .request_duration
                    .with_label_values(&[route, pool, class])
            })
            .collect();
        Self {
            families: families.clone(),
            route: route.to_owned(),
            pool: pool.to_owned(),
            requests: (0..(CODES.len() + CLASSES.len()) * METHODS.len())
                .map(|_| OnceLock::new())
                .collect(),
            durations,
            overhead: families.overhead.with_label_values(&[route]),
            rate_limited: families.rate_limited.with_label_values(&[route]),
            failures: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Counts an answered request. `own` is the proxy's share of `total`.
    pub fn record(&self, status: u16, method: &str, total: Duration, own: Duration) {
        let code = CODES
            .binary_search(&status)
            .unwrap_or(CODES.len() + class_index(status));
        let method = METHODS
            .iter()
            .position(|m| *m == method)
            .unwrap_or(METHODS.len() - 1);
        if let Some(cell) = self.requests.get(code * METHODS.len() + method) {
            cell.get_or_init(|| self.resolve(code, method)).inc();
        }
        if let Some(histogram) = self.durations.get(class_index(status)) {
            histogram.observe(total.as_secs_f64());
        }
        self.overhead.observe(own.as_secs_f64());
    }

    /// Counts a request that this process failed itself.
    pub fn fail(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Counts a request that the rate limit refused.
    pub fn limit_rate(&self) {
        self.rate_limited.inc();
    }

    /// Counts a try after the first.
    pub fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Tries after the first so far.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Requests that this process failed itself so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Requests so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests
            .iter()
            .filter_map(OnceLock::get)
            .map(IntCounter::get)
            .sum()
    }

    fn resolve(&self, code: usize, method: usize) -> IntCounter {
        let code = match CODES.get(code) {
            Some(code) => code.to_string(),
            None => CLASSES
                .get(code - CODES.len())
                .copied()
                .unwrap_or("failed")
                .to_owned(),
        };
        let method = METHODS.get(method).copied().unwrap_or("OTHER");
        self.families
            .requests
            .with_label_values(&[&self.route, &self.pool, &code, method])
    }
}

// === impl PoolMetrics ===

impl PoolMetrics {
    /// Resolves the handles of `pool`.
    #[must_use]
    pub fn new(families: &Families, pool: &str) -> Self {
        let retries = [
            Failure::Connect,
            Failure::NotProcessed,
            Failure::Reset,
            Failure::Stale,
            Failure::FirstByteTimeout,
            Failure::Malformed,
            Failure::Status(0),
            Failure::Overloaded,
            Failure::Unserved,
        ]
        .map(|failure| {
            (
                failure.label(),
                families.retries.with_label_values(&[pool, failure.label()]),
            )
        });
        Self {
            inflight: families.inflight.with_label_values(&[pool]),
            duration: families.upstream_duration.with_label_values(&[pool]),
            connect: families.upstream_connect.with_label_values(&[pool]),
            ejections: Conviction::LABELS
                .map(|label| (label, families.ejections.with_label_values(&[pool, label])))
                .to_vec(),
            budget_exhausted: families.retry_budget_exhausted.with_label_values(&[pool]),
            healthy_ratio: families.pool_healthy_ratio.with_label_values(&[pool]),
            panic: families.pool_panic.with_label_values(&[pool]),
            resorts: families.pool_last_resort.with_label_values(&[pool]),
            retries: retries.to_vec(),
        }
    }

    /// Retries so far.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.iter().map(|(_, counter)| counter.get()).sum()
    }

    /// Counts an ejection by what convicted.
    pub fn eject(&self, label: &str) {
        if let Some((_, counter)) = self.ejections.iter().find(|(known, _)| *known == label) {
            counter.inc();
        }
    }

    /// Counts a retry after `failure`.
    pub fn retry(&self, failure: Failure) {
        if let Some((_, counter)) = self
            .retries
            .iter()
            .find(|(label, _)| *label == failure.label())
        {
            counter.inc();
        }
    }
}

// === impl EndpointMetrics ===

impl EndpointMetrics {
    /// Resolves the handles of a server of `pool`.
    #[must_use]
    pub fn new(families: &Families, pool: &str, server: &str) -> Self {
        let classes = CLASSES
            .iter()
            .map(|class| {
                families
                    .upstream_requests
                    .with_label_values(&[pool, server, class])
            })
            .collect();
        Self { classes }
    }

    /// Takes the series of a server that is gone out: names of pods don't come back.
    pub fn forget(families: &Families, pool: &str, server: &str) {
        for class in CLASSES {
            let series = &families.upstream_requests;
            // Whoever has none has nothing to take out.
            let _ = series.remove_label_values(&[pool, server, class]);
        }
    }

    /// Counts a try that ended with a response.
    pub fn response(&self, status: u16) {
        if let Some(counter) = self.classes.get(class_index(status)) {
            counter.inc();
        }
    }

    /// Counts a try that ended without one.
    pub fn failure(&self) {
        if let Some(counter) = self.classes.last() {
            counter.inc();
        }
    }
}

/// The position of a status in [`CLASSES`].
fn class_index(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100 - 1),
        _ => CLASSES.len() - 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::{Metrics, RouteMetrics};
    use std::time::Duration;

    #[test]
    fn unknown_statuses_and_methods_share_series() {
        let metrics = Metrics::new("regional", Some("r1")).unwrap();
        let route = RouteMetrics::new(&metrics.families, "all", "web");
        let (total, own) = (Duration::from_millis(3), Duration::from_micros(40));
        route.record(200, "GET", total, own);
        route.record(299, "BREW", total, own);
        route.record(0, "GET", total, own);
        let text = metrics.render();
        // The order of constant labels is not fixed.
        for (code, method) in [("200", "GET"), ("2xx", "OTHER"), ("failed", "GET")] {
            let parts = [
                format!("code=\"{code}\""),
                format!("method=\"{method}\""),
                "pool=\"web\"".to_owned(),
                "route=\"all\"".to_owned(),
                "region=\"r1\"".to_owned(),
                "tier=\"regional\"".to_owned(),
            ];
            let is_wanted = |line: &&str| {
                line.starts_with("lb_requests_total{")
                    && line.ends_with("} 1")
                    && parts.iter().all(|part| line.contains(part.as_str()))
            };
            assert_eq!(
                text.lines().filter(is_wanted).count(),
                1,
                "{parts:?} in\n{text}"
            );
        }
    }
}
