//! What protects a pool and shapes the choice among its servers.

use crate::config::scalar::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The share of a server that returns grows from a tenth to all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlowStart {
    /// How long it grows. `0s`: the whole share at once.
    pub window: DurationText,
    /// 1.0 is a straight line; above it the share grows sooner, below it later.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub aggression: f64,
}

/// Limits of what may be under way, whatever the servers say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// Requests under way to one server, per replica. More: another server, or 503 when all are full.
    #[schemars(range(min = 1))]
    pub max_in_flight: u32,
    /// Requests of the pool that may wait for a place. 0: none waits.
    #[schemars(range(max = 100_000))]
    pub max_pending: u32,
    /// How long a request may wait for a place. Up to five times as long while the pool stands still, so that nothing comes free at all.
    pub max_wait: DurationText,
}

/// A limit of what may be under way in the pool, found from its latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveConcurrency {
    /// Off: only the circuit breaker limits.
    pub enabled: bool,
    /// The limit never falls below this.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_limit: u32,
    /// The limit never rises above this.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_limit: u32,
}

/// Servers of this replica's zone first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ZonePreference {
    /// Off: zones are not looked at. On, it has an effect when servers and this replica have zones.
    pub enabled: bool,
    /// Load that a zone may have, in relation to its fair share, before its requests go to other zones.
    #[schemars(range(min = 1.0, max = 10.0))]
    pub max_load: f64,
}

/// A signed cookie that keeps a user on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Affinity {
    /// The cookie's name.
    #[serde(default = "cookie")]
    #[schemars(extend("format" = "cookie-name"))]
    pub cookie: String,
    /// How long a user stays; counted anew with each cookie.
    #[serde(default = "hour")]
    pub ttl: DurationText,
    /// File with the secrets that sign it, one a line, at least 16 characters each: the first signs, all are accepted.
    /// The same on all replicas.
    #[schemars(extend("format" = "file"))]
    pub secret_file: PathBuf,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self {
            window: DurationText::secs(30),
            aggression: 1.0,
        }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            max_in_flight: 1024,
            max_pending: 256,
            max_wait: DurationText::millis(100),
        }
    }
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        Self {
            enabled: true,
            min_limit: 2,
            max_limit: 10_000,
        }
    }
}

impl Default for ZonePreference {
    fn default() -> Self {
        Self {
            enabled: true,
            max_load: 1.2,
        }
    }
}

fn cookie() -> String {
    "lb-affinity".to_owned()
}

fn hour() -> DurationText {
    DurationText::secs(3600)
}
