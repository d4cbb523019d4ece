//! What a route does with a part of its requests: limit, copy, disturb.

use crate::config::scalar::{DurationText, Percent};
use crate::name::PoolName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A limit of the rate of one client. More: 429.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests in `per`, over this replica and its live `peers`.
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// The time in which they may come.
    #[serde(default = "second")]
    pub per: DurationText,
    /// Requests that may come at one time. Default: `requests`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// What tells clients apart. Default: the client's address.
    #[serde(default)]
    pub key: RateKey,
    /// Clients that are remembered; beyond, the least active are forgotten.
    #[serde(default = "many")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_keys: u32,
}

/// What tells clients apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateKey {
    /// A request header's value; without the header, the client's address.
    #[schemars(extend("format" = "header-name"))]
    pub header: Option<String>,
    /// The path without its query: all clients share one limit for each path.
    pub path: bool,
}

/// A signed cookie that keeps a user in a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionAffinity {
    /// The cookie's name. Another one than those of the regional tier's pools: both stand on one response.
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

/// Copies of a share of the requests, sent to another pool; their answers are dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The pool that gets the copies.
    pub pool: PoolName,
    /// Share of the requests that is copied.
    #[serde(default = "all")]
    pub share: Percent,
}

/// Disturbances for drills.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Disturb only requests that have this header field, whatever its value. Default: all.
    #[schemars(extend("format" = "header-name"))]
    pub header: Option<String>,
    /// Requests that are held back.
    pub delay: Option<FaultDelay>,
    /// Requests that are answered with an error.
    pub abort: Option<FaultAbort>,
}

/// Requests that are held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultDelay {
    /// Share of the requests.
    pub share: Percent,
    /// How long they are held back.
    pub time: DurationText,
}

/// Requests that are answered with an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultAbort {
    /// Share of the requests.
    pub share: Percent,
    /// The answer's status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
}

fn cookie() -> String {
    "lb-region".to_owned()
}

fn hour() -> DurationText {
    DurationText::secs(3600)
}

fn second() -> DurationText {
    DurationText::secs(1)
}

fn many() -> u32 {
    100_000
}

fn all() -> Percent {
    Percent::new(100.0)
}
