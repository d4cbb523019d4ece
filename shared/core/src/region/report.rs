//! The region report: what a regional replica tells the global tier of its region's health and load.
//!
//! # Problem
//! The global tier must know a region's room before it overflows, on idle links too, from several
//! replicas that see the same servers through different traffic, and across versions of both tiers.
//!
//! # Choice
//! One type in two forms: JSON at the admin API, polled; and a compact `v=1;key=value;…` in the
//! response field [`HEADER`], so that a busy link is as fresh as its traffic. Both are tolerant of keys
//! they don't know and strict about values. Numbers are [`measure`] types: finite, in range and rounded,
//! so that both forms give back exactly what went in. Of each replica the newest report by boot id and
//! sequence counts, while it is fresh by the *receiver's* clock; see [`merge()`].
//!
//! # Rejected
//! - A timestamp of the sender: comparing two hosts' clocks is what sequence numbers are there to avoid.
//! - Base64 of JSON or a binary form in the header: three times as long, or unreadable in a trace.
//! - Trusting `serde_json` with raw floats: without its exact mode the last bit may change.
//!
//! # Limits
//! The compact form is at most [`MAX_COMPACT`] bytes. Who may send it is the runtime's business: the
//! field is believed from regional replicas only and never reaches a user.

mod compact;
pub mod measure;
mod merge;

pub use compact::{CompactError, HEADER, MAX_COMPACT};
pub use merge::{Received, RegionSummary, merge};

use crate::name::{RegionName, ReplicaName};
pub use measure::{Fraction, Load, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One replica's report of its region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionReport {
    /// The region.
    pub region: RegionName,
    /// The replica that reports.
    pub replica: ReplicaName,
    /// Names this run of the process; larger after each start: milliseconds since 1970 when it started. Below 2^53,
    /// so that JSON readers with floats keep it exact.
    pub boot_id: u64,
    /// Number of the report within the run, rising.
    pub seq: u64,
    /// Servers that the replica knows.
    pub endpoints_total: u32,
    /// Servers that it would send to now.
    pub endpoints_healthy: u32,
    /// Routable share of the servers' weight.
    pub healthy_weight_fraction: Fraction,
    /// Requests per second that the region's servers are able to serve, where that is known: configured, or by the limits
    /// found ([`capacity_of_limit`]).
    #[serde(default)]
    pub capacity_rps: Option<Rate>,
    /// Requests being served by this replica.
    pub inflight: u64,
    /// Requests per second that this replica took in.
    pub rps: Rate,
    /// The replica's own view of how full the region is; 1 is full. Absent: unknown, which is not zero.
    #[serde(default)]
    pub utilization: Option<Load>,
    /// Share of the requests that were refused for overload.
    pub shed_rate: Fraction,
    /// Share of the requests that failed.
    pub err_rate: Fraction,
    /// The replica asks for no new work.
    pub draining: bool,
}

/// The rate that a limit of requests in flight allows at a mean time to answer, by Little's law. None without a measured
/// time. An adaptive limit so becomes a capacity: when servers are lost or slow, limit and latency tell it at once, whatever
/// was configured. Sum it over the pools that serve different requests.
#[must_use]
pub fn capacity_of_limit(limit: f64, time_to_answer: Duration) -> Option<Rate> {
    let seconds = time_to_answer.as_secs_f64();
    (seconds > 0.0 && limit > 0.0).then(|| Rate::saturating(limit / seconds))
}

// === impl RegionReport ===

impl RegionReport {
    /// Whether this report supersedes `other`, of the same replica.
    #[must_use]
    pub const fn is_newer_than(&self, other: &Self) -> bool {
        self.boot_id > other.boot_id || (self.boot_id == other.boot_id && self.seq > other.seq)
    }
}

#[cfg(test)]
mod tests;
