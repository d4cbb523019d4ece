//! The figures of a row, by name.

use crate::measure::{Cost, Sample};

/// One figure of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    RequestsPerSecond,
    CpuPerRequest,
    CpuPerRequestAtRate,
    ProxyBusy,
    LoadBusy,
    ForeignBusy,
    P50,
    P99,
    LateSends,
    LateAnswers,
    Errors,
    IdlePss,
    IdleRss,
    IdleClosed,
}

// === impl Metric ===

impl Metric {
    /// All of them.
    pub(crate) const ALL: [Self; 14] = [
        Self::RequestsPerSecond,
        Self::CpuPerRequest,
        Self::CpuPerRequestAtRate,
        Self::ProxyBusy,
        Self::LoadBusy,
        Self::ForeignBusy,
        Self::P50,
        Self::P99,
        Self::LateSends,
        Self::LateAnswers,
        Self::Errors,
        Self::IdlePss,
        Self::IdleRss,
        Self::IdleClosed,
    ];

    /// The name in the report, with its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests_per_second",
            Self::CpuPerRequest => "cpu_us_per_request",
            Self::CpuPerRequestAtRate => "cpu_us_per_request_at_rate",
            Self::ProxyBusy => "proxy_cpu_percent",
            Self::LoadBusy => "load_cpu_percent",
            Self::ForeignBusy => "foreign_cpu_percent",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::LateSends => "late_sends",
            Self::LateAnswers => "late_answers",
            Self::Errors => "errors",
            Self::IdlePss => "idle_pss_bytes_per_connection",
            Self::IdleRss => "idle_rss_bytes_per_connection",
            Self::IdleClosed => "idle_connections_closed",
        }
    }

    /// The figure in `sample`; `None` where it has no meaning. Percentages are of one CPU, in the
    /// closed loop; p50, p99 and the late counts are of the open loop; errors are of both.
    pub(crate) fn of(self, sample: &Sample) -> Option<f64> {
        let Sample {
            closed,
            closed_cost,
            open,
            open_cost,
            idle,
        } = sample;
        match self {
            Self::RequestsPerSecond => Some(closed.answers as f64 / closed.seconds),
            Self::CpuPerRequest => per_request(closed_cost, closed.answers),
            Self::CpuPerRequestAtRate => per_request(open_cost, open.answers),
            Self::ProxyBusy => Some(100.0 * closed_cost.proxy_s / closed_cost.wall_s),
            Self::LoadBusy => Some(100.0 * closed_cost.load_s / closed_cost.wall_s),
            Self::ForeignBusy => Some(100.0 * closed_cost.foreign_s / closed_cost.wall_s),
            Self::P50 => Some(open.latency?.p50_us),
            Self::P99 => Some(open.latency?.p99_us),
            Self::LateSends => Some(open.late_sends as f64),
            Self::LateAnswers => Some(open.late_answers as f64),
            Self::Errors => Some((closed.errors + open.errors) as f64),
            Self::IdlePss => idle.map(|idle| idle.growth.pss as f64 / idle.opened as f64),
            Self::IdleRss => idle.map(|idle| idle.growth.rss as f64 / idle.opened as f64),
            Self::IdleClosed => idle.map(|idle| (idle.opened - idle.alive) as f64),
        }
    }
}

/// Microseconds of the proxies' CPU per answer; `None` when there is no proxy or no answer.
fn per_request(cost: &Cost, answers: u64) -> Option<f64> {
    (cost.proxy_s > 0.0 && answers > 0).then(|| cost.proxy_s * 1e6 / answers as f64)
}
