//! Routes, and the pools of the regional tier.

use super::EndpointStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RouteStatus {
    /// The route's name.
    pub name: String,
    /// What it matches, for people: `GET api.example.com/v1/*`.
    pub matches: String,
    /// Where it leads, for people: `pool web`, `regions eu-west, us-east by latency`, `redirect 308`.
    pub target: String,
    /// Requests since the start.
    pub requests_total: u64,
    /// Those that this tier answered with 502, 503 or 504 itself.
    pub failures_total: u64,
    /// Tries after the first since the start.
    pub retries_total: u64,
}

/// One pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PoolStatus {
    /// The pool's name.
    pub name: String,
    /// How an endpoint is chosen.
    pub policy: String,
    /// HTTP version spoken to the endpoints.
    pub protocol: String,
    /// Whether it speaks TLS to the endpoints.
    pub tls: bool,
    /// Whether health is ignored because too little of the pool is left.
    pub panic: bool,
    /// Whether those that operators drained take requests, as no other can.
    pub last_resort: bool,
    /// Endpoints that take new requests.
    pub healthy: u32,
    /// All endpoints.
    pub total: u32,
    /// Requests that are being served.
    pub inflight: u64,
    /// Requests since the start.
    pub requests_total: u64,
    /// Tries after the first since the start.
    pub retries_total: u64,
    /// Retries refused since the start because the budget was spent.
    pub retries_refused_total: u64,
    /// What is wrong now with finding its servers; the last known ones stay.
    pub trouble: Option<String>,
    /// Who is let in.
    pub admission: AdmissionStatus,
    /// The endpoints, in the order of the file.
    pub endpoints: Vec<EndpointStatus>,
}

/// Who is let in to a pool, and who is not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AdmissionStatus {
    /// Requests that may wait for their response's head at a time; none when the adaptive limit is off.
    pub limit: Option<u32>,
    /// What the limit is doing: `off`, `open` (nothing is held back), `limited`, `probing`.
    pub phase: String,
    /// Requests that wait for their response's head.
    pub inflight: u32,
    /// Requests that wait for a place.
    pub pending: u32,
    /// Requests refused since the start.
    pub shed_total: u64,
    /// Latency without a queue, in milliseconds, as far as it is known.
    pub baseline_ms: Option<f64>,
    /// Latency of the last answers, in milliseconds.
    pub latency_ms: Option<f64>,
}
