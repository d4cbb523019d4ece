//! How far an upgrade is: `GET /api/v1/handover`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a process is about to hand over or to take over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Handover {
    /// Its run directory; none: it can't be upgraded in place.
    pub directory: Option<String>,
    /// Where it stands.
    pub phase: HandoverPhase,
    /// The process at the other end, while there is one.
    pub peer_pid: Option<u32>,
    /// Upgrades that a successor began here, or tried to.
    pub attempts: u64,
    /// How the last of them ended.
    pub last: Option<HandoverResult>,
    /// Requests in flight.
    pub inflight: u64,
    /// Those of them that are tunnels or event streams.
    pub streams: u64,
    /// Open client connections.
    pub connections: u64,
    /// What the process waits for before it can take over.
    pub pending: Vec<String>,
    /// When it ends at the latest, in milliseconds from now; none while it serves.
    pub ends_in_ms: Option<u64>,
}

/// Where a process stands in an upgrade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandoverPhase {
    /// None is under way.
    #[default]
    None,
    /// As predecessor: a successor has said who it is, and gets the sockets; this process serves.
    Greeted,
    /// As predecessor: the successor serves; this process takes over again if that one dies.
    Probation,
    /// As predecessor: the successor has proved itself, and this process finishes its work.
    Retiring,
    /// As successor: getting ready. The predecessor serves.
    Waiting,
    /// As successor: serving, and watched by the predecessor.
    OnProbation,
    /// A phase of a later version.
    #[serde(other)]
    Unknown,
}

/// How an upgrade ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HandoverResult {
    /// Whether the successor serves.
    pub ok: bool,
    /// What happened.
    pub reason: String,
}
