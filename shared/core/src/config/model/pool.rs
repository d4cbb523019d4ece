//! Pools: servers under one policy (regional tier).

use super::discover::Discover;
use super::health::{HealthCheck, Outlier};
use super::protect::{AdaptiveConcurrency, Affinity, CircuitBreaker, SlowStart, ZonePreference};
use crate::balance::Policy;
use crate::config::scalar::{DurationText, Percent};
use crate::name::{PoolName, ServerName, ZoneName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Servers under one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The pool's name, unique in the file.
    pub name: PoolName,
    /// How a server is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// The servers. A pool has these or `discover`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub servers: Vec<Server>,
    /// Servers that are found rather than listed.
    #[serde(default)]
    pub discover: Option<Discover>,
    /// HTTP version spoken to the servers.
    #[serde(default)]
    pub protocol: UpstreamHttp,
    /// TLS to the servers; without it, plain text.
    #[serde(default)]
    pub tls: Option<UpstreamTls>,
    /// Active checks.
    #[serde(default)]
    pub health_check: HealthCheck,
    /// Outlier ejection.
    #[serde(default)]
    pub outlier: Outlier,
    /// The share of a server that returns.
    #[serde(default)]
    pub slow_start: SlowStart,
    /// Limits of what may be under way.
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    /// A limit found from latency.
    #[serde(default)]
    pub adaptive_concurrency: AdaptiveConcurrency,
    /// Servers of this replica's zone first.
    #[serde(default)]
    pub zone_preference: ZonePreference,
    /// A cookie that keeps a user on a server.
    #[serde(default)]
    pub affinity: Option<Affinity>,
    /// Below this share of routable weight, health is ignored: everything being down is likelier the checker's fault.
    #[serde(default = "half")]
    pub panic_threshold: Percent,
    /// How long an idle connection to a server is kept. Choose it below the server's own limit.
    #[serde(default = "upstream_idle")]
    pub idle_timeout: DurationText,
    /// Whether connections are given up sooner when the server is seen to close them sooner.
    #[serde(default = "yes")]
    pub learn_idle_timeout: bool,
    /// How often the host names of servers are resolved again.
    #[serde(default = "resolve_interval")]
    pub resolve_interval: DurationText,
}

/// How a server is chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// The algorithm.
    pub policy: Policy,
    /// What `ring_hash`, `maglev` and `rendezvous` hash. Default: the client's address.
    pub hash_on: HashOn,
}

/// What a hash policy hashes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HashOn {
    /// A request header's value; without the header, the client's address.
    #[schemars(extend("format" = "header-name"))]
    pub header: Option<String>,
    /// A cookie's value; without the cookie, the client's address.
    #[schemars(extend("format" = "cookie-name"))]
    pub cookie: Option<String>,
    /// The path without its query.
    pub path: bool,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The server's name, unique in the pool.
    pub name: ServerName,
    /// `address:port`, or `name:port`, whose addresses are resolved and kept fresh.
    #[schemars(extend("format" = "server-address"))]
    pub address: String,
    /// Share of new requests relative to the others. 0 takes no new requests: the server is drained.
    #[serde(default = "one")]
    #[schemars(range(max = 65535))]
    pub weight: u32,
    /// The zone that it stands in.
    #[serde(default)]
    pub zone: Option<ZoneName>,
}

/// HTTP version spoken to servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamHttp {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 only; in plain text with prior knowledge. Needed for gRPC.
    H2,
    /// With TLS, whatever ALPN settles on; in plain text HTTP/1.1.
    Auto,
}

/// TLS to servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// Name for SNI and verification. Default: the host name of the server's address.
    #[schemars(extend("format" = "dns-name"))]
    pub server_name: Option<String>,
    /// PEM file of authorities. Default: the system's.
    #[schemars(extend("format" = "file"))]
    pub ca: Option<PathBuf>,
    /// Verify the certificate and its name. Off only for drills.
    pub verify: bool,
}

// === impl UpstreamTls ===

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            server_name: None,
            ca: None,
            verify: true,
        }
    }
}

fn half() -> Percent {
    Percent::new(50.0)
}

fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

fn upstream_idle() -> DurationText {
    DurationText::secs(50)
}

fn resolve_interval() -> DurationText {
    DurationText::secs(10)
}
