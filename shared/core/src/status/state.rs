//! Orders of operators: where they are kept, who has them, and what replicas tell each other about them.

use super::ReplicaIdentity;
use crate::drain::{Record, Snapshot, Stamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All orders that a replica knows of: `GET /api/v1/state`; also what it sends to its peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sheet {
    /// Who sends it.
    pub from: ReplicaIdentity,
    /// The sender's clock.
    pub stamp: Stamp,
    /// A hash over everything that the sender knows, also where it sends a part.
    pub hash: String,
    /// The orders.
    pub snapshot: Snapshot,
}

/// The answer to a [`Sheet`] that was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SheetAck {
    /// Who took it.
    pub from: ReplicaIdentity,
    /// The hash over everything that it knows now.
    pub hash: String,
    /// Whether that survives its restart.
    pub durable: bool,
    /// Orders that were news to it.
    pub taken: u32,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The order as it is kept.
    pub record: Record,
    /// False when it was in force already.
    pub changed: bool,
    /// Whether it survives a restart of the replica that took it.
    pub durable: bool,
    /// Why it doesn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What each peer said within a second. Who didn't answer gets the order later.
    #[serde(default)]
    pub peers: Vec<PeerAck>,
}

/// What a peer said to an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeerAck {
    /// The replica's name; its address as long as the name is unknown.
    pub replica: String,
    /// Its admin address.
    pub address: String,
    /// It has the order.
    pub applied: bool,
    /// It has it on its disk.
    pub durable: bool,
    /// Why it hasn't.
    pub error: Option<String>,
}

/// Where orders are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StateStatus {
    /// `embedded`, `etcd` or `kubernetes`.
    pub store: String,
    /// Whether the orders survive a restart of this replica.
    pub durable: bool,
    /// What is wrong, in one sentence each; empty when nothing is.
    pub faults: Vec<String>,
    /// Time since all peers, or the store, were last heard of, in milliseconds. None: never yet.
    pub age_ms: Option<u64>,
    /// A hash over all orders; replicas with the same one have the same orders.
    pub hash: String,
    /// Orders, also those that have ended and are not forgotten yet.
    pub records: u32,
    /// Peers that have the same orders.
    pub applied: u32,
    /// The peers that orders are shared with.
    pub peers: Vec<StatePeer>,
}

/// A peer that orders are shared with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StatePeer {
    /// Its admin address.
    pub address: String,
    /// Its name, when it has answered.
    pub replica: Option<String>,
    /// The hash over its orders when it was last heard of.
    pub hash: Option<String>,
    /// Time since then, in milliseconds.
    pub age_ms: Option<u64>,
    /// Why it couldn't be asked last.
    pub error: Option<String>,
}

// === impl Receipt ===

impl Receipt {
    /// How many peers have it.
    #[must_use]
    pub fn applied(&self) -> usize {
        self.peers.iter().filter(|peer| peer.applied).count()
    }

    /// Whether more than half of all replicas have it, the one that took it among them.
    #[must_use]
    pub fn is_majority(&self) -> bool {
        (self.applied() + 1) * 2 > self.peers.len() + 1
    }
}
