//! Routes: which requests go where, and how they are treated on the way.

use super::health::StatusRange;
use super::traffic::{Fault, Mirror, RateLimit, RegionAffinity};
use crate::config::scalar::{
    ByteSize, DurationText, HeaderNameFormat, HostPatternFormat, MethodFormat, Percent,
};
use crate::name::{PoolName, RegionName, RouteName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One route. The most specific route that matches a request wins, whatever their order in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The route's name, unique in the file: the `route` label of metrics and logs.
    pub name: RouteName,
    /// What a request must look like. Default: every request.
    #[serde(default, rename = "match")]
    pub matches: RouteMatch,
    /// Regional tier: the pool that serves it.
    #[serde(default)]
    pub pool: Option<PoolName>,
    /// Global tier: the regions that may serve it, and their order. Default: all, by priority.
    #[serde(default)]
    pub regions: Option<RegionChoice>,
    /// Answer with a redirect instead of forwarding.
    #[serde(default)]
    pub redirect: Option<Redirect>,
    /// Changes of the target before it is forwarded.
    #[serde(default)]
    pub rewrite: Rewrite,
    /// Edits of the request's header fields.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Edits of the response's header fields.
    #[serde(default)]
    pub response_headers: HeaderEdits,
    /// Deadlines.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Retries.
    #[serde(default)]
    pub retry: Retry,
    /// Limit of the rate of one client.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
    /// Regional tier: copies of requests to another pool.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// Disturbances for drills.
    #[serde(default)]
    pub fault: Fault,
    /// Size of a request body on this route, in place of `limits.max_body`.
    #[serde(default)]
    pub max_body: Option<ByteSize>,
}

/// What a request must look like. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteMatch {
    /// Host names, exact (`api.example.com`) or with a leading wildcard label (`*.example.com`). Empty: any.
    #[schemars(with = "Vec<HostPatternFormat>")]
    pub hosts: Vec<String>,
    /// The path. Default: any.
    pub path: Option<PathMatch>,
    /// Methods. Empty: any.
    #[schemars(with = "Vec<MethodFormat>")]
    pub methods: Vec<String>,
    /// Header fields that must all match.
    pub headers: Vec<HeaderMatch>,
}

/// A condition on the path; exactly one key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathMatch {
    /// The whole path.
    #[schemars(extend("format" = "path"))]
    pub exact: Option<String>,
    /// Leading path segments: `/api` matches `/api` and `/api/x`, not `/apis`.
    #[schemars(extend("format" = "path"))]
    pub prefix: Option<String>,
    /// A regular expression that the whole path must match.
    #[schemars(extend("format" = "regex"))]
    pub regex: Option<String>,
}

/// A condition on a header field; at most one of `exact`, `prefix` and `regex`; none means that it is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// The field's name.
    #[schemars(extend("format" = "header-name"))]
    pub name: String,
    /// The whole value.
    #[serde(default)]
    pub exact: Option<String>,
    /// The start of the value.
    #[serde(default)]
    pub prefix: Option<String>,
    /// A regular expression that the whole value must match.
    #[serde(default)]
    #[schemars(extend("format" = "regex"))]
    pub regex: Option<String>,
    /// Match when the condition does not hold.
    #[serde(default)]
    pub invert: bool,
}

/// Which regions may serve a route, and in which order they are tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegionChoice {
    /// The order.
    pub policy: super::RegionOrder,
    /// Regions that may serve it. Empty: all.
    pub allowed: Vec<RegionName>,
    /// Largest share of a full region's requests that may go to other regions. 0%: they stay, and the region refuses
    /// what it can't take. Requests of a region that is out always may.
    pub spill: Percent,
    /// A cookie that keeps a user in a region.
    pub affinity: Option<RegionAffinity>,
}

/// A redirect. Parts that are not given stay as they were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308. Default 308, which keeps method and body.
    #[serde(default = "permanent")]
    pub status: u16,
    /// New scheme: `http` or `https`.
    #[serde(default)]
    pub scheme: Option<String>,
    /// New host, with a port when it needs one.
    #[serde(default)]
    pub host: Option<String>,
    /// New path in place of the whole path.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub path: Option<String>,
}

/// Changes of the target before it is forwarded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// Replaces the matched prefix: with `match.path.prefix: /api` and `prefix: /`, `/api/x` becomes `/x`.
    #[schemars(extend("format" = "path"))]
    pub prefix: Option<String>,
    /// Replaces the `Host` field.
    #[schemars(extend("format" = "authority"))]
    pub host: Option<String>,
}

/// Edits of header fields, done in this order: remove, set, add.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Fields to remove.
    #[schemars(with = "Vec<HeaderNameFormat>")]
    pub remove: Vec<String>,
    /// Fields to set, in place of all values they had.
    #[schemars(extend("propertyNames" = { "type": "string", "format": "header-name" }))]
    pub set: BTreeMap<String, String>,
    /// Fields to add, beside the values they have.
    #[schemars(extend("propertyNames" = { "type": "string", "format": "header-name" }))]
    pub add: BTreeMap<String, String>,
}

/// Deadlines. Every wait has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To open a connection, TLS handshake included.
    pub connect: DurationText,
    /// From the end of the request to the first byte of the response, per try.
    pub first_byte: DurationText,
    /// Between two pieces of a body, either way, while the response runs.
    pub idle: DurationText,
    /// From the request's head to the response's head, over all tries. It travels on to the next tier.
    pub request: DurationText,
}

/// Retries, on another endpoint only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries after the first. 0: none. At the global tier these are tries inside one region; one more goes to another region.
    #[schemars(range(max = 5))]
    pub retries: u32,
    /// Statuses that are retried when the method is idempotent.
    pub statuses: Vec<StatusRange>,
    /// Shortest pause before a retry.
    pub backoff_min: DurationText,
    /// Longest pause before a retry; the pause is drawn between both.
    pub backoff_max: DurationText,
    /// Retries as a share of the requests of the last 10 s.
    pub budget: Percent,
    /// Retries per second that are allowed whatever the share, so that small pools can retry at all.
    pub budget_floor: u32,
    /// Hold retries back to one a second and 1 % of the requests while fewer than one in ten retried requests is saved by it:
    /// in an outage they are load without use. Never applies where nothing was sent.
    pub stop_when_futile: bool,
}

// === impl RegionChoice ===

impl Default for RegionChoice {
    fn default() -> Self {
        Self {
            policy: super::RegionOrder::default(),
            allowed: Vec::new(),
            spill: Percent::new(100.0),
            affinity: None,
        }
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: DurationText::secs(1),
            first_byte: DurationText::secs(5),
            idle: DurationText::secs(60),
            request: DurationText::secs(15),
        }
    }
}

// === impl Retry ===

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 1,
            statuses: vec![StatusRange {
                first: 502,
                last: 504,
            }],
            backoff_min: DurationText::millis(5),
            backoff_max: DurationText::millis(25),
            budget: Percent::new(20.0),
            budget_floor: 10,
            stop_when_futile: true,
        }
    }
}

fn permanent() -> u16 {
    308
}
