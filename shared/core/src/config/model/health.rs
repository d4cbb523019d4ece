//! Active checks (we probe) and outlier ejection (traffic itself convicts).

use crate::config::scalar::{DurationText, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Active checks of a pool's endpoints. With none of `http`, `tcp` and `grpc` given, HTTP `GET /` is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Off: endpoints are taken as healthy until their traffic fails.
    pub enabled: bool,
    /// Probe by an HTTP request: the default, because a frozen process still accepts TCP.
    pub http: Option<HttpCheck>,
    /// Probe by opening a TCP connection.
    pub tcp: Option<TcpCheck>,
    /// Probe by the gRPC health protocol (`grpc.health.v1.Health/Check`).
    pub grpc: Option<GrpcCheck>,
    /// Time between two probes of one endpoint, jittered by a tenth.
    pub interval: DurationText,
    /// Time between two probes while the verdict is undecided.
    pub fast_interval: DurationText,
    /// Time for one probe. Must be shorter than the interval.
    pub timeout: DurationText,
    /// Failures in a row that turn a healthy endpoint unhealthy.
    #[schemars(range(min = 1, max = 100))]
    pub fall: u32,
    /// Successes in a row that turn an unhealthy endpoint healthy.
    #[schemars(range(min = 1, max = 100))]
    pub rise: u32,
    /// Port to probe, when it is not the one that serves.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// A probe by an HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpCheck {
    /// Target of the request.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Method of the request.
    #[schemars(extend("format" = "method"))]
    pub method: String,
    /// `Host` field of the request. Default: the endpoint's address.
    #[schemars(extend("format" = "authority"))]
    pub host: Option<String>,
    /// Statuses that count as healthy.
    pub statuses: Vec<StatusRange>,
    /// Text that the body must contain within its first 64 KiB.
    pub body: Option<String>,
}

/// A probe by opening a TCP connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpCheck {}

/// A probe by the gRPC health protocol.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcCheck {
    /// The service to ask for. Empty: the server as a whole.
    pub service: String,
}

/// A status (`200`) or a range of them (`200-299`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    /// Lowest status.
    pub first: u16,
    /// Highest status, inclusive.
    pub last: u16,
}

/// Ejection by the traffic's own failures: gateway errors (502, 503, 504), connect failures, timeouts, broken answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outlier {
    /// Off: only active checks take an endpoint out.
    pub enabled: bool,
    /// Gateway errors in a row that eject.
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_errors: u32,
    /// Length of the first ejection; the n-th lasts n times as long.
    pub base_ejection: DurationText,
    /// Longest ejection.
    pub max_ejection: DurationText,
    /// Largest share of a pool that may be ejected at one time; one endpoint always may, when another is left.
    pub max_ejected: Percent,
    /// Success rate against the pool's mean.
    pub success_rate: SuccessRate,
    /// Failures of an endpoint by itself.
    pub failure_percentage: FailurePercentage,
    /// Failures against the others together, in pools too small for the success rate.
    pub peers: PeerFailures,
    /// Latency against the peers' median: takes weight instead of ejecting.
    pub latency: PeerLatency,
}

/// Success rate against the pool's mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SuccessRate {
    /// Off: not looked at; pools of any size are then judged by `peers`.
    pub enabled: bool,
    /// Standard deviations below the mean that eject.
    #[schemars(range(min = 0.5, max = 10.0))]
    pub stdev_factor: f64,
    /// Servers with enough requests that it needs.
    #[schemars(range(min = 3, max = 1000))]
    pub min_servers: u32,
    /// Requests of a server in 10 s that are enough.
    #[schemars(range(min = 10))]
    pub min_requests: u32,
}

/// Failures of an endpoint by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailurePercentage {
    /// Off: not looked at.
    pub enabled: bool,
    /// Share of failed requests that ejects.
    pub threshold: Percent,
    /// Requests of a server in 10 s that are enough.
    #[schemars(range(min = 10))]
    pub min_requests: u32,
}

/// Failures against the others together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeerFailures {
    /// Off: not looked at.
    pub enabled: bool,
    /// Points that a server must be worse than the others.
    pub difference: Percent,
    /// Requests in 10 s that are enough, of the server and of the others.
    #[schemars(range(min = 10))]
    pub min_requests: u32,
}

/// Latency against the peers' median.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeerLatency {
    /// Off: not looked at.
    pub enabled: bool,
    /// Times the peers' median that is too slow.
    #[schemars(range(min = 1.5, max = 100.0))]
    pub factor: f64,
    /// How long it must be too slow before it loses weight.
    pub after: DurationText,
    /// A difference that never counts.
    pub floor: DurationText,
}

// === impl HealthCheck ===

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            http: None,
            tcp: None,
            grpc: None,
            interval: DurationText::secs(1),
            fast_interval: DurationText::millis(250),
            timeout: DurationText::millis(500),
            fall: 3,
            rise: 2,
            port: None,
        }
    }
}

// === impl HttpCheck ===

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            method: "GET".to_owned(),
            host: None,
            statuses: vec![StatusRange {
                first: 200,
                last: 399,
            }],
            body: None,
        }
    }
}

// === impl StatusRange ===

impl StatusRange {
    /// Parses `200` or `200-299`.
    ///
    /// # Errors
    /// A reason, when a part is no status from 100 to 599 or the range is reversed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let status = |part: &str| {
            part.trim()
                .parse::<u16>()
                .ok()
                .filter(|s| (100..=599).contains(s))
                .ok_or_else(|| {
                    format!("\"{text}\" is not a status or a range of them: write 200 or 200-299")
                })
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self {
            first: status(first)?,
            last: status(last)?,
        };
        if range.first > range.last {
            return Err(format!("the range \"{text}\" is reversed"));
        }
        Ok(range)
    }

    /// Whether `status` lies in the range.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}-{}", range.first, range.last)
        }
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "status-range", "examples": ["200-299"] })
    }
}

// === impl Outlier ===

impl Default for Outlier {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_errors: 5,
            base_ejection: DurationText::secs(10),
            max_ejection: DurationText::secs(300),
            max_ejected: Percent::new(50.0),
            success_rate: SuccessRate::default(),
            failure_percentage: FailurePercentage::default(),
            peers: PeerFailures::default(),
            latency: PeerLatency::default(),
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            enabled: true,
            stdev_factor: 1.9,
            min_servers: 5,
            min_requests: 100,
        }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: Percent::new(85.0),
            min_requests: 50,
        }
    }
}

impl Default for PeerFailures {
    fn default() -> Self {
        Self {
            enabled: true,
            difference: Percent::new(10.0),
            min_requests: 30,
        }
    }
}

impl Default for PeerLatency {
    fn default() -> Self {
        Self {
            enabled: true,
            factor: 3.0,
            after: DurationText::secs(10),
            floor: DurationText::millis(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_ranges_are_inclusive() {
        let range = StatusRange::parse("200-299").unwrap();
        assert!(range.contains(200) && range.contains(299) && !range.contains(300));
        assert_eq!(String::from(StatusRange::parse("204").unwrap()), "204");
        for bad in ["", "2xx", "99", "600", "300-200", "200-"] {
            assert!(StatusRange::parse(bad).is_err(), "{bad}");
        }
    }
}
