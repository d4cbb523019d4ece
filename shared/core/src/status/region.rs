//! A region as the global tier sees it.

use super::EndpointStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One region.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RegionStatus {
    /// The region's name.
    pub name: String,
    /// Order of the `priority` policy: lower is preferred.
    pub priority: u32,
    /// Configured share among regions of the same rank.
    pub weight: u32,
    /// Requests per second that it is able to serve, by its report or the file; none when unknown.
    pub capacity_rps: Option<u32>,
    /// Whether it gets requests.
    pub state: RegionState,
    /// Why it is in that state, for people.
    pub why: String,
    /// How long it has been in that state, in milliseconds.
    pub since_ms: u64,
    /// Share of its requests that it takes while it comes back, or while too much is out, 0 to 1.
    pub ramp: f64,
    /// Share that it keeps while it is slower than its own past and the others are not, 0 to 1.
    pub shift: f64,
    /// Share of its requests that it has no capacity for and gives to others, 0 to 1.
    pub spill: f64,
    /// Share of the requests of regions that are out which it has room for, 0 to 1.
    pub room: f64,
    /// Share of the requests that usable regions give away which it has room for after those, 0 to 1.
    pub spare: f64,
    /// Share of its servers' weight that is routable, 0 to 1, by its report; none without a report.
    pub healthy_fraction: Option<f64>,
    /// Age of its last report, in milliseconds; none without a report.
    pub report_age_ms: Option<u64>,
    /// Load relative to its capacity, 1 is full; none when its capacity is unknown.
    pub utilization: Option<f64>,
    /// Latency from this replica (moving average), in milliseconds.
    pub latency_ms: Option<f64>,
    /// Requests of this replica that it is serving.
    pub inflight: u64,
    /// Requests sent to it by this replica since the start.
    pub requests_total: u64,
    /// Those that failed at the gateway.
    pub failures_total: u64,
    /// Regional replicas that take new requests.
    pub healthy: u32,
    /// Its regional replicas, in the order of the file.
    pub replicas: Vec<EndpointStatus>,
}

/// Whether a region gets requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionState {
    /// Gets its share.
    Healthy,
    /// Came back and gets a growing share.
    Ramping,
    /// Part of its servers is out; gets a share in proportion.
    Degraded,
    /// Taken out by an operator, of weight 0, or all of its replicas leave. Used when no other region is left.
    Drained,
    /// Taken out for a time, convicted by its traffic.
    Ejected,
    /// Taken out, convicted by its report or by probes.
    Unhealthy,
    /// Hard off by an operator: never used.
    Offline,
    /// No evidence yet, or a state that this reader doesn't know.
    #[default]
    #[serde(other)]
    Unknown,
}

// === impl RegionState ===

impl RegionState {
    /// All states, best first.
    pub const ALL: [Self; 8] = [
        Self::Healthy,
        Self::Ramping,
        Self::Degraded,
        Self::Unknown,
        Self::Drained,
        Self::Ejected,
        Self::Unhealthy,
        Self::Offline,
    ];

    /// The state as it is written in JSON and as the `state` label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Ramping => "ramping",
            Self::Degraded => "degraded",
            Self::Drained => "drained",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}
