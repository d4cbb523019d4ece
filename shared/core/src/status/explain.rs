//! What would happen to a request, and why not something else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The request to explain. Nothing is sent: only decisions are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExplainQuery {
    /// Method; empty means GET.
    pub method: String,
    /// Host as in the `Host` field.
    pub host: String,
    /// Target path, with its query when it has one; empty means `/`.
    pub path: String,
    /// Header fields.
    pub headers: Vec<HeaderField>,
    /// The client's address; none means the caller's own.
    pub client: Option<std::net::IpAddr>,
}

/// A header field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HeaderField {
    /// The field's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The answer: every step with what it kept and what it removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Explain {
    /// The request in one line: `GET http://api.example.com/v1/users`.
    pub request: String,
    /// The steps, in the order in which they are taken.
    pub steps: Vec<ExplainStep>,
    /// The route that it matches.
    pub route: Option<String>,
    /// Global tier: the region that it goes to.
    pub region: Option<String>,
    /// Regional tier: the pool that serves it.
    pub pool: Option<String>,
    /// The endpoint that it goes to; policies that draw lots may choose another next time.
    pub endpoint: Option<String>,
    /// The decision in one sentence.
    pub decision: String,
}

/// One step of a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExplainStep {
    /// What the step does: `match routes`, `skip unhealthy`, `choose by p2c`.
    pub step: String,
    /// Candidates that are left after it, best first.
    pub kept: Vec<String>,
    /// Candidates that it removed.
    pub removed: Vec<Removed>,
}

/// A candidate that a step removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Removed {
    /// The candidate.
    pub what: String,
    /// Why.
    pub why: String,
}
