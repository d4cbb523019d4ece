//! What an admission shows: metrics, status, and the utilisation that the region report is made of.

use super::{Admission, Cause};
use crate::metrics::Families;
use lb_core::limit::gradient::Phase;
use lb_core::limit::shed::Priority;
use lb_core::time::Instant;
use prometheus::{IntCounter, IntGauge};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Utilisation is averaged over this: in flight swings from one millisecond to the next.
const SMOOTH: Duration = Duration::from_secs(1);
/// Stands for "not limited", whose utilisation is unknown.
const UNKNOWN: u64 = u64::MAX;

/// Resolved handles of one pool.
#[derive(Debug)]
pub struct AdmissionMetrics {
    /// By priority, then cause.
    shed: Vec<IntCounter>,
    limit: IntGauge,
    in_flight: IntGauge,
    pending: IntGauge,
    limited: IntGauge,
}

/// What is known of a pool's limit now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Requests that may wait for their response's head; none: the adaptive limit is off.
    pub limit: Option<u32>,
    /// What the limit is doing.
    pub phase: Phase,
    /// Requests that wait for their response's head.
    pub in_flight: u32,
    /// Requests that wait for a place.
    pub pending: u32,
    /// Requests refused so far.
    pub shed: u64,
    /// The latency without a queue, as far as it is known.
    pub baseline: Option<Duration>,
    /// The latency of the last answers.
    pub latency: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Gauge {
    metrics: AdmissionMetrics,
    /// An `f64` by its bits; [`UNKNOWN`] while nothing limits.
    utilization: AtomicU64,
    looked: AtomicU64,
}

// === impl AdmissionMetrics ===

impl AdmissionMetrics {
    /// Resolves the handles of `pool`.
    #[must_use]
    pub fn new(families: &Families, pool: &str) -> Self {
        let causes = |priority: Priority| {
            Cause::ALL.map(|cause| {
                families
                    .shed
                    .with_label_values(&[pool, priority.as_str(), cause.label()])
            })
        };
        Self {
            shed: Priority::ALL.into_iter().flat_map(causes).collect(),
            limit: families.concurrency_limit.with_label_values(&[pool]),
            in_flight: families.concurrency_inflight.with_label_values(&[pool]),
            pending: families.pending.with_label_values(&[pool]),
            limited: families.concurrency_limited.with_label_values(&[pool]),
        }
    }
}

// === impl Gauge ===

impl Gauge {
    pub(super) fn new(metrics: AdmissionMetrics) -> Self {
        Self {
            metrics,
            utilization: AtomicU64::new(UNKNOWN),
            looked: AtomicU64::new(0),
        }
    }

    pub(super) fn shed(&self, priority: Priority, cause: Cause) {
        let index = priority as usize * Cause::ALL.len() + cause as usize;
        if let Some(counter) = self.metrics.shed.get(index) {
            counter.inc();
        }
    }

    /// Follows the utilisation. One caller at a time.
    pub(super) fn look(&self, admission: &Admission, now: Instant) {
        let before = self.looked.swap(now.as_nanos(), Relaxed);
        let known = self.utilization();
        let next = match admission.limit() {
            Some(limit) if admission.limit.snapshot().phase != Phase::Open => {
                let full = f64::from(admission.in_flight()) / f64::from(limit.max(1));
                let age = now.since(Instant::from_nanos(before)).as_secs_f64();
                let share = 1.0 - (-age / SMOOTH.as_secs_f64()).exp();
                known.map_or(full, |known| known + (full - known) * share)
            }
            _ => return self.utilization.store(UNKNOWN, Relaxed),
        };
        self.utilization.store(next.to_bits(), Relaxed);
    }

    fn utilization(&self) -> Option<f64> {
        let bits = self.utilization.load(Relaxed);
        (bits != UNKNOWN).then(|| f64::from_bits(bits))
    }
}

// === impl Admission ===

impl Admission {
    /// How much of the limit is in use; none while nothing limits: an open limit says nothing of capacity.
    #[must_use]
    pub fn utilization(&self) -> Option<f64> {
        self.gauge.utilization()
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let learned = self.limit.snapshot();
        Snapshot {
            limit: self.limit(),
            phase: learned.phase,
            in_flight: self.in_flight(),
            pending: self.pending(),
            shed: self.gauge.metrics.shed.iter().map(IntCounter::get).sum(),
            baseline: learned.baseline,
            latency: learned.latency,
        }
    }

    /// Brings the gauges up to date.
    pub fn export(&self) {
        let (now, metrics) = (self.snapshot(), &self.gauge.metrics);
        metrics.limit.set(now.limit.map_or(0, i64::from));
        metrics.in_flight.set(now.in_flight.into());
        metrics.pending.set(now.pending.into());
        let limited = now.limit.is_some() && now.phase != Phase::Open;
        metrics.limited.set(limited.into());
    }
}
