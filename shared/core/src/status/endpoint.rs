//! An endpoint: a server of a pool, or a regional replica as the global tier sees it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EndpointStatus {
    /// The configured name.
    pub server: String,
    /// The address in use, after resolution.
    pub address: String,
    /// The zone that it stands in.
    pub zone: Option<String>,
    /// Configured share relative to its sisters.
    pub weight: u32,
    /// Whether it gets requests.
    pub state: EndpointState,
    /// Why it is in that state, for people: `3 checks in a row failed: connection refused`.
    pub why: String,
    /// How long it has been in that state, in milliseconds.
    pub since_ms: u64,
    /// Requests that it is serving for this replica.
    pub inflight: u64,
    /// Latency as the policy sees it (peak-sensitive moving average), in milliseconds; none before the first answer.
    pub latency_ms: Option<f64>,
    /// Requests sent to it since the start, retries included.
    pub requests_total: u64,
    /// Those that failed at the gateway: connect failure, reset, timeout, 502, 503, 504.
    pub failures_total: u64,
    /// Gateway failures in a row, up to now.
    pub consecutive_failures: u32,
    /// The last active check; none when checks are off or none has ended yet.
    pub last_check: Option<CheckStatus>,
    /// Time until an ejection ends, in milliseconds.
    pub ejected_for_ms: Option<u64>,
    /// Ejections since the start.
    pub ejections_total: u64,
    /// The part of its weight that it gets: `slow_start` times `latency_factor`. Not told by older replicas.
    pub share: Option<f64>,
    /// The part that slow start leaves it after a return; none when it has all of it.
    pub slow_start: Option<f64>,
    /// The part that its latency leaves it, in comparison with its peers; none when it has all of it.
    pub latency_factor: Option<f64>,
}

/// Whether an endpoint gets requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Gets its share.
    Healthy,
    /// Came back and gets a growing share.
    Ramping,
    /// Asked not to be chosen for new requests (`x-lb-draining`); its own finish.
    Draining,
    /// Taken out by an operator, or of weight 0.
    Drained,
    /// Taken out for a time, convicted by its traffic.
    Ejected,
    /// Taken out, convicted by active checks.
    Unhealthy,
    /// Not checked yet, or a state that this reader doesn't know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The outcome of an active check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CheckStatus {
    /// Whether it passed.
    pub ok: bool,
    /// `passed`, or the reason of the failure.
    pub result: String,
    /// How long ago it ended, in milliseconds.
    pub ago_ms: u64,
    /// How long it took, in milliseconds.
    pub latency_ms: f64,
}

// === impl EndpointState ===

impl EndpointState {
    /// All states, best first.
    pub const ALL: [Self; 7] = [
        Self::Healthy,
        Self::Ramping,
        Self::Unknown,
        Self::Draining,
        Self::Drained,
        Self::Ejected,
        Self::Unhealthy,
    ];

    /// The state as it is written in JSON and as the `state` label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Ramping => "ramping",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the endpoint takes new requests outside panic mode.
    #[must_use]
    pub const fn is_routable(self) -> bool {
        matches!(self, Self::Healthy | Self::Ramping)
    }
}
