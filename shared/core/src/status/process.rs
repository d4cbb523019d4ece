//! The process as a whole: identity, life cycle, configuration, listeners.

use super::{PeerStatus, PoolStatus, RegionStatus, RouteStatus, StateStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A replica's whole status: `GET /api/v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The tier that the process belongs to.
    pub tier: Tier,
    /// The replica's name.
    pub replica: String,
    /// Regional tier: the region that it serves.
    pub region: Option<String>,
    /// Process id.
    pub pid: u32,
    /// Wall clock at the start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Time since the start, in milliseconds, by the monotonic clock.
    pub uptime_ms: u64,
    /// Whether `/readyz` answers 200.
    pub ready: bool,
    /// Where the process stands between start and exit.
    pub lifecycle: Lifecycle,
    /// Threads that serve requests.
    pub threads: u32,
    /// Open client connections.
    pub connections: u64,
    /// Requests that are being served.
    pub inflight: u64,
    /// Requests since the start, refused ones included.
    pub requests_total: u64,
    /// Answers since the start that this tier made up itself because of a fault (502, 503, 504).
    pub failures_total: u64,
    /// Requests refused for overload since the start. They are not among the failures.
    pub shed_total: u64,
    /// Tries after the first since the start.
    pub retries_total: u64,
    /// What the process does less because it is overloaded itself.
    pub overload: OverloadStatus,
    /// The configuration that serves, and the last attempt to replace it.
    pub config: ConfigStatus,
    /// Sister replicas that are alive: with this one, they share the rate limits.
    pub peers_live: u32,
    /// Those that the file names, by address.
    pub peers: Vec<PeerStatus>,
    /// Where operators' orders are kept, and who has them.
    pub state: StateStatus,
    /// Where requests come in.
    pub listeners: Vec<ListenerStatus>,
    /// Which requests go where, in the order of the file.
    pub routes: Vec<RouteStatus>,
    /// Regional tier: the pools, in the order of the file.
    pub pools: Vec<PoolStatus>,
    /// Global tier: the regions, in the order of the file.
    pub regions: Vec<RegionStatus>,
}

/// The overload of the process itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OverloadStatus {
    /// `normal`, `no_keepalive` (connections are closed after their answer) or `refuse_new`.
    pub level: String,
    /// Largest lag of an event loop in the last second, in milliseconds.
    pub lag_ms: f64,
    /// Memory in use that the kernel can't take back: of the control group where that sets the limit, else of the process.
    pub memory_bytes: u64,
    /// Memory that it may take; none when no limit is known.
    pub memory_limit_bytes: Option<u64>,
}

/// A layer of the platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Chooses a region.
    Global,
    /// Chooses a server.
    #[default]
    Regional,
}

/// Where a process stands between start and exit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Not ready yet: listeners or the first sweep of probes are pending.
    #[default]
    Starting,
    /// Takes requests.
    Serving,
    /// Still takes requests, and asks all to leave.
    LameDuck,
    /// Takes no new connections; what is in flight finishes.
    Draining,
}

/// The configuration that serves, and the last attempt to replace it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfigStatus {
    /// The file that is watched.
    pub file: String,
    /// Hash of the content that serves. Replicas that differ here have drifted.
    pub hash: String,
    /// Counts the configurations that went live in this process; the first is 1.
    pub generation: u64,
    /// Wall clock at which it went live, in milliseconds since 1970.
    pub loaded_unix_ms: u64,
    /// Whether the last attempt went live. True before the first reload.
    pub last_reload_ok: bool,
    /// Attempts since the start.
    pub reloads_total: ReloadCounts,
    /// Faults of the file as it is now, when it was refused; the last good one serves on.
    pub error: Option<Vec<ConfigFault>>,
    /// What the file asks for that needs a restart, one sentence each.
    pub deferred: Vec<String>,
}

/// Reloads since the start, by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReloadCounts {
    /// Went live.
    pub ok: u64,
    /// Refused; the last good configuration stayed.
    pub failed: u64,
}

/// One fault of a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfigFault {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when the fault has no place (the file is missing).
    pub line: u32,
    /// Column in characters, from 1; 0 when the fault has no place.
    pub column: u32,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One listening address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListenerStatus {
    /// The listener's name.
    pub name: String,
    /// The address that is bound, with the port that the system chose when the file says 0.
    pub address: String,
    /// Protocols that are answered: `http1`, `h2`, `h2c`.
    pub protocols: Vec<String>,
    /// Whether it is TLS.
    pub tls: bool,
    /// Open client connections.
    pub connections: u64,
    /// Connections since the start.
    pub accepted_total: u64,
}

/// Whether a replica should get traffic: `GET /readyz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Readiness {
    /// Whether it should.
    pub ready: bool,
    /// What it still waits for; empty when it is ready or is leaving.
    pub pending: Vec<String>,
}

// === impl Tier ===

impl Tier {
    /// The tier as its label in metrics and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Regional => "regional",
        }
    }
}

// === impl Lifecycle ===

impl Lifecycle {
    /// The stage as it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::LameDuck => "lame_duck",
            Self::Draining => "draining",
        }
    }
}

// === impl ConfigFault ===

impl std::fmt::Display for ConfigFault {
    /// `file:line:column: reason (hint)`, the form that editors jump to.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.reason)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
