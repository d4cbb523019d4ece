//! An operator's order for a region or a server, as it is kept and shared.

use super::{FORGET_MS, Stamp};
use crate::name::{PoolName, RegionName, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest text of a person (reason, actor, ticket), in bytes.
pub const MAX_TEXT: usize = 500;

/// What an order is about. There is one record for each, so that a later order replaces an earlier one.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A region, at all global replicas.
    Region(RegionName),
    /// A server of a pool, at all replicas of its region.
    Server {
        /// The pool.
        pool: PoolName,
        /// The server's name in the pool.
        server: ServerName,
    },
}

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// No new requests; used when nothing else is left.
    Drain,
    /// A part of the requests.
    Dial,
    /// Nothing, whatever else fails.
    Offline,
    /// The record is over: what it said is undone.
    Undrain,
}

/// What happens to users who are bound to the region by a cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionPolicy {
    /// They go elsewhere like the others, but last.
    #[default]
    Migrate,
    /// They stay until `session_grace_s` is over.
    Honor,
}

/// A rule that an order may break by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A healthy region in service must be left.
    LastRegion,
    /// A healthy server of the pool must be left.
    LastServer,
    /// Those who take the requests must have room for them.
    OverCapacity,
    /// What is known of the others must be fresh.
    StaleReports,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// What it is about; also the record's key.
    pub scope: Scope,
    /// What is to happen.
    pub action: Action,
    /// Share of its requests that it keeps in the end, in percent, 0 to 100.
    pub keep_percent: u8,
    /// Share that it kept when the order was given, in percent: the ramp begins there.
    #[serde(default = "all")]
    pub from_percent: u8,
    /// Time until then, in seconds; 0: at once.
    pub ramp_s: u32,
    /// What happens to users who are bound to it.
    #[serde(default)]
    pub session_policy: SessionPolicy,
    /// How long bound users may stay with [`SessionPolicy::Honor`], in seconds.
    #[serde(default)]
    pub session_grace_s: u32,
    /// Why, for people. Required.
    pub reason: String,
    /// Who. Required.
    pub actor: String,
    /// Where more is written, such as a ticket's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// When the order was first given; of two that together break a rule, the later is suspended.
    pub created: Stamp,
    /// When it was last changed; the later wins.
    pub updated: Stamp,
    /// When it ends by itself, in milliseconds since 1970; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Rules that it may break.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Rule>,
    /// Counts its changes, from 1.
    pub version: u64,
}

const fn all() -> u8 {
    100
}

// === impl Scope ===

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => write!(f, "region/{region}"),
            Self::Server { pool, server } => write!(f, "server/{pool}/{server}"),
        }
    }
}

// === impl Rule ===

impl Rule {
    /// All rules.
    pub const ALL: [Self; 4] = [
        Self::LastRegion,
        Self::LastServer,
        Self::OverCapacity,
        Self::StaleReports,
    ];

    /// The name by which it is broken.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LastRegion => "last_region",
            Self::LastServer => "last_server",
            Self::OverCapacity => "over_capacity",
            Self::StaleReports => "stale_reports",
        }
    }
}

// === impl Action ===

impl Action {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Dial => "dial",
            Self::Offline => "offline",
            Self::Undrain => "undrain",
        }
    }
}

// === impl Record ===

impl Record {
    /// Whether it asks for anything at `now_ms`.
    #[must_use]
    pub fn is_active(&self, now_ms: u64) -> bool {
        self.action != Action::Undrain && self.expires_ms.is_none_or(|at| now_ms < at)
    }

    /// When it ended, by order or by itself, in milliseconds since 1970.
    #[must_use]
    pub fn ended_ms(&self, now_ms: u64) -> Option<u64> {
        match self.action {
            Action::Undrain => Some(self.updated.wall_ms),
            _ => self.expires_ms.filter(|at| now_ms >= *at),
        }
    }

    /// Whether it ended so long ago that all replicas forget it: nothing is left of it but what a store may still have.
    #[must_use]
    pub fn is_forgotten(&self, now_ms: u64) -> bool {
        let ended = self.ended_ms(now_ms);
        ended.is_some_and(|at| now_ms.saturating_sub(at) >= FORGET_MS)
    }

    /// Whether it may break `rule`.
    #[must_use]
    pub fn may_break(&self, rule: Rule) -> bool {
        self.overrides.contains(&rule)
    }

    /// The share that it keeps `elapsed_ms` into its ramp, 0 to 1.
    #[must_use]
    pub fn share_after(&self, elapsed_ms: u64) -> f64 {
        let (from, to) = (
            f64::from(self.from_percent) / 100.0,
            f64::from(self.keep_percent) / 100.0,
        );
        let ramp = u64::from(self.ramp_s) * 1000;
        if elapsed_ms >= ramp {
            return to;
        }
        from + (to - from) * elapsed_ms as f64 / ramp as f64
    }
}
