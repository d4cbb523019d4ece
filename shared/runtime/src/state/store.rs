//! What a store of orders has to do.
//!
//! The file, the clock, the book and the planning of an order are the same for all stores and are not theirs. A store is asked for
//! three things: what is known elsewhere ([`StateStore::load`]), to keep one order unless another came before ([`StateStore::write`]),
//! and to hand on what changes elsewhere for as long as the process lives ([`StateStore::watch`]). It hands records to
//! [`Orders::adopt`], as often and in whichever order it likes: older ones change nothing.

use super::Orders;
use super::skew::{differs, is_off};
use lb_core::config::model::StoreKind;
use lb_core::drain::Record;
use lb_core::status::{PeerAck, StatePeer};
use lb_core::time::Instant;
use std::fmt;
use std::time::Duration;

/// Keeps orders for all replicas.
#[async_trait::async_trait]
pub(crate) trait StateStore: Send + Sync + fmt::Debug {
    /// Which one it is.
    fn kind(&self) -> StoreKind;

    /// Whether what it has written survives by itself: the file here is a mere copy then.
    fn is_durable(&self) -> bool;

    /// Takes in all that is known elsewhere. True when somebody answered. The caller sets the deadline.
    ///
    /// # Errors
    /// Why nothing could be asked.
    async fn load(&self, orders: &Orders) -> Result<bool, String>;

    /// Keeps a record if `version` is still that of the record before it, 0 for none.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written then.
    async fn write(&self, record: &Record, version: u64) -> Result<(), WriteError>;

    /// Tells all who don't learn of a record by themselves, and what they said within a second.
    async fn spread(&self, orders: &Orders, record: &Record) -> Vec<PeerAck>;

    /// Hands on what changes elsewhere. Never returns.
    async fn watch(&self, orders: &Orders);

    /// Takes out what all replicas forget by themselves.
    async fn forget(&self, records: &[Record]);

    /// How it fares.
    fn look(&self, now: Instant) -> Look;
}

/// Why a store doesn't keep a record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum WriteError {
    /// Another one came before.
    #[error("another order came at the same time")]
    Conflict(Option<Box<Record>>),
    /// It can't be written.
    #[error("{0}")]
    Away(String),
}

/// How a store fares.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Look {
    /// Time since all of it was heard of, or looked for.
    pub(crate) age: Duration,
    /// What is wrong.
    pub(crate) faults: Vec<String>,
    /// How far the clock that differs most is ahead of this one, in milliseconds; none: nobody has told the time.
    pub(crate) skew_ms: Option<i64>,
    /// Peers that orders are shared with.
    pub(crate) peers: Vec<StatePeer>,
}

// === impl Look ===

impl Look {
    /// Takes in how far the clock of `who` is ahead.
    pub(super) fn tell_time(&mut self, who: &str, ahead_ms: Option<i64>) {
        let Some(ahead_ms) = ahead_ms else { return };
        if is_off(ahead_ms) {
            self.faults.push(differs(who, ahead_ms));
        }
        let farther = |known: &i64| known.unsigned_abs() > ahead_ms.unsigned_abs();
        self.skew_ms = self.skew_ms.filter(farther).or(Some(ahead_ms));
    }
}
