//! What predecessor and successor say to each other.

use lb_core::status::{Sheet, Tier};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One message. A reader ignores fields that it does not know; a word that it does not know ends the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum Message {
    /// Successor: who wants to take over. The first message; every version of the protocol has `protocol` in it.
    Hello(Introduction),
    /// Predecessor: no, and why.
    Refused { reason: String },
    /// Predecessor: sockets, one file descriptor each. When `more`, another batch follows.
    Sockets {
        sockets: Vec<SocketHead>,
        more: bool,
    },
    /// Successor: it could serve now, on these sockets.
    Ready { taken: Vec<u32> },
    /// Predecessor: it no longer accepts on those; the successor is to. With what operators ordered up to now: the successor has
    /// read its orders when it started, and some may have come since.
    Commit {
        #[serde(default)]
        orders: Option<Box<Sheet>>,
        /// It waits for signs of life. One of an older version does not know the word.
        #[serde(default)]
        beats: bool,
        /// How long the probation takes, as far as the predecessor can say.
        #[serde(default)]
        probation_ms: Option<u64>,
    },
    /// Successor: it accepts.
    Took,
    /// Successor, during the probation: all its event loops turn.
    Alive,
    /// Predecessor: the probation is over.
    Settled,
    /// Predecessor: it accepts again, and the successor is to end.
    Resumed { reason: String },
    /// Either: it ends because it was told to, and not because something is wrong.
    Leaving,
    /// Successor: it has been replaced itself, or waits for `settled` no longer; the predecessor is to let go of the sockets.
    Replaced,
}

/// Who a successor is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// Version of the protocol.
    pub(crate) protocol: u32,
    /// Its tier.
    pub(crate) tier: Tier,
    /// Its name.
    pub(crate) name: String,
    /// Version of the program.
    pub(crate) version: String,
    /// Its configuration.
    pub(crate) config: String,
    /// How long it may take to become ready.
    pub(crate) deadline_ms: u64,
    /// It gives signs of life once it serves.
    #[serde(default)]
    pub(crate) beats: bool,
}

/// A socket that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketHead {
    /// Which one, in this conversation.
    pub(crate) id: u32,
    /// What it is for.
    pub(crate) kind: SocketKind,
    /// The listener's name.
    pub(crate) name: String,
    /// Where it is bound.
    pub(crate) address: SocketAddr,
    /// The thread that served it.
    pub(crate) column: u32,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SocketKind {
    /// Users' requests.
    Listener,
    /// The admin API.
    Admin,
}
