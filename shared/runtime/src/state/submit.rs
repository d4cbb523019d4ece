//! Taking an order: planned, kept, in force, told.

use super::{MergeError, Orders};
use crate::clock;
use lb_core::drain::{Draft, DraftError, Planned, Record};
use lb_core::status::Receipt;
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
        let _turn = self.submits.lock().await;
        let planned = {
            let mut inner = self.lock();
            draft.plan(&self.book.load(), &mut inner.clock, clock::unix_millis())?
        };
        let (record, changed) = match planned {
            Planned::Same(record) => (record, false),
            Planned::New(record) => {
                self.enforce(&record)?;
                (record, true)
            }
        };
        Ok(Receipt {
            record,
            changed,
            durable: false,
            note: Some("no directory is configured: it is lost when all replicas end".to_owned()),
            peers: Vec::new(),
        })
    }

    /// Puts a record in force, unless a later one came meanwhile.
    fn enforce(&self, record: &Record) -> Result<(), SubmitError> {
        match self.take(std::iter::once(record.clone())) {
            (_, Some(MergeError::Unfit(unfit))) => Err(SubmitError::Invalid(unfit.to_string())),
            (_, Some(error)) => Err(SubmitError::Unwritable(error.to_string())),
            (0, None) => Err(SubmitError::Conflict {
                error: format!("another order on {} came at the same time", record.scope),
                current: self.book.load().get(&record.scope).cloned().map(Box::new),
            }),
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
