//! Taking an order: planned, kept, in force, told.

use super::store::WriteError;
use super::{MergeError, Orders, Source};
use crate::clock;
use lb_core::config::model::StoreKind;
use lb_core::drain::{Draft, DraftError, Planned, Record, Stamping};
use lb_core::status::{PeerAck, Receipt};
use std::sync::Arc;

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// Somebody else was quicker.
    #[error("{error}")]
    Conflict {
        /// What is the matter.
        error: String,
        /// What is in force.
        current: Option<Box<Record>>,
    },
    /// The order can't be kept, and is not in force.
    #[error("{0}")]
    Unwritable(String),
    /// It can't be right.
    #[error("{0}")]
    Invalid(String),
}

// === impl Orders ===

impl Orders {
    /// Takes an order. It is in force here, and kept, when this returns; peers are given a second to say that they have it.
    ///
    /// Goes on to its end when the caller is dropped.
    ///
    /// # Errors
    /// [`SubmitError`]; the order is not in force then.
    pub async fn submit(self: &Arc<Self>, draft: Draft) -> Result<Receipt, SubmitError> {
        let orders = self.clone();
        let task = tokio::spawn(async move { orders.carry_out(draft).await });
        task.await
            .unwrap_or_else(|error| Err(SubmitError::Unwritable(error.to_string())))
    }

    async fn carry_out(&self, draft: Draft) -> Result<Receipt, SubmitError> {
        let turn = self.submits.lock().await;
        let version = self
            .book
            .load()
            .get(&draft.scope)
            .map_or(0, |known| known.version);
        let planned = {
            let mut inner = self.lock();
            let (book, now) = (self.book.load(), clock::unix_millis());
            draft.plan(&book, &mut inner.clock, now, self.stamping())?
        };
        let record = match planned {
            Planned::Same(record) => {
                // Perhaps because the first answer was lost, or not all had it.
                drop(turn);
                let saved = self.save(None).await;
                let peers = self.store.spread(self, &record).await;
                return Ok(self.receipt(record, false, saved, peers));
            }
            Planned::New(record) => record,
        };
        self.write(&record, version).await?;
        let saved = self.save(Some(&record)).await;
        let mut told = None;
        if let (Err(why), true) = (&saved, self.must_survive()) {
            // A peer that has it will do: a disk that is full may be the reason for the drain. It needn't be on the peer's disk, as it is
            // in force there from now on, whatever is said here; the receipt tells who keeps it how.
            let peers = self.store.spread(self, &record).await;
            if !peers.iter().any(|peer| peer.applied) {
                return Err(SubmitError::Unwritable(format!(
                    "{why}. No peer has it either"
                )));
            }
            told = Some(peers);
        }
        self.enforce(&record)?;
        drop(turn);
        let peers = match told {
            Some(peers) => peers,
            None => self.store.spread(self, &record).await,
        };
        Ok(self.receipt(record, true, saved, peers))
    }

    /// A store that has the last word must not be bound by the stamp of a broken clock; peers alone would refuse what goes beyond.
    fn stamping(&self) -> Stamping {
        match self.store.kind() {
            StoreKind::Embedded => Stamping::Bounded,
            StoreKind::Etcd | StoreKind::Kubernetes => Stamping::Above,
        }
    }

    /// Whether a directory is configured and nothing else makes orders last.
    fn must_survive(&self) -> bool {
        self.kept.is_configured() && !self.store.is_durable()
    }

    async fn write(&self, record: &Record, version: u64) -> Result<(), SubmitError> {
        match self.store.write(record, version).await {
            Ok(()) => Ok(()),
            Err(WriteError::Away(why)) => Err(SubmitError::Unwritable(why)),
            Err(WriteError::Conflict(current)) => {
                if let Some(current) = &current {
                    self.adopt(std::iter::once((**current).clone()), Source::Kept);
                }
                let error = format!("another order on {} came at the same time", record.scope);
                Err(SubmitError::Conflict { error, current })
            }
        }
    }

    fn receipt(
        &self,
        record: Record,
        changed: bool,
        saved: Result<(), String>,
        peers: Vec<PeerAck>,
    ) -> Receipt {
        Receipt {
            record,
            changed,
            durable: saved.is_ok() || self.store.is_durable(),
            // With a store that lasts, the file is a copy that need not be.
            note: saved
                .err()
                .filter(|_| self.kept.is_configured() || !self.store.is_durable()),
            peers,
        }
    }

    /// Puts a record in force, unless a later one came meanwhile.
    fn enforce(&self, record: &Record) -> Result<(), SubmitError> {
        match self.adopt(std::iter::once(record.clone()), Source::Kept) {
            (_, Some(MergeError::Unfit(unfit))) => Err(SubmitError::Invalid(unfit.to_string())),
            (_, Some(error)) => Err(SubmitError::Unwritable(error.to_string())),
            (0, None) => {
                let current = self.book.load().get(&record.scope).cloned();
                // A watch, or a peer, may have been quicker with it than this.
                if current.as_ref() == Some(record) {
                    return Ok(());
                }
                Err(SubmitError::Conflict {
                    error: format!("another order on {} came at the same time", record.scope),
                    current: current.map(Box::new),
                })
            }
            (_, None) => Ok(()),
        }
    }
}

// === impl SubmitError ===

impl From<DraftError> for SubmitError {
    fn from(error: DraftError) -> Self {
        let text = error.to_string();
        match error {
            DraftError::Conflict { current, .. } => Self::Conflict {
                error: text,
                current,
            },
            DraftError::Ahead { .. } => Self::Unwritable(text),
            DraftError::Unfit(_) | DraftError::Over { .. } => Self::Invalid(text),
        }
    }
}
