//! Sister replicas, which share the rate limits.

use super::Tier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who a replica is: `GET /api/v1/replica`, which its peers ask once a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReplicaIdentity {
    /// The tier that it belongs to.
    pub tier: Tier,
    /// Regional tier: the region that it serves.
    pub region: Option<String>,
    /// Its name.
    pub replica: String,
    /// Tells one start of the process from another.
    pub boot_id: u64,
    /// It takes no new requests and ends soon.
    pub leaving: bool,
    /// It serves, and knows the servers of all its pools: one that starts and doesn't know them leaves requests to this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub informed: bool,
    /// It refuses new work, for want of memory or processor time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overloaded: bool,
}

/// A configured peer, or one of the addresses that its name has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeerStatus {
    /// The admin address that is asked.
    pub address: String,
    /// Who answered there last.
    pub replica: Option<String>,
    /// Whether it counts.
    pub state: PeerState,
    /// Questions without an answer, in a row.
    pub missed: u32,
    /// Questions without an answer after which it is gone.
    pub patience: u32,
}

/// Whether a peer counts among the replicas that share the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// Not asked yet. Counts until the first question ends.
    Asked,
    /// Counts.
    Live,
    /// This replica.
    Itself,
    /// Says that it leaves.
    Leaving,
    /// Does not answer.
    Gone,
    /// Belongs to another tier or region.
    Foreign,
    /// A state that this version doesn't know.
    #[default]
    #[serde(other)]
    Unknown,
}

// === impl PeerState ===

impl PeerState {
    /// Its name, as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Live => "live",
            Self::Itself => "itself",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
            Self::Foreign => "foreign",
            Self::Unknown => "unknown",
        }
    }
}
