//! All orders that a replica knows of, and how replicas come to know the same.
//!
//! # Choice
//! A map by scope, in which the later stamp wins. Merging is commutative, associative and idempotent, so it doesn't matter who hears
//! from whom, how often or in which order: all who have heard the same have the same. What ended stays as a tombstone for a while,
//! so that a replica that was away can't bring it back.
//!
//! # Limits
//! At most [`MAX_RECORDS`]; an ended record is forgotten after [`FORGET_MS`]. A replica that was away for longer than that drops what
//! it knew of itself.
//!
//! # Source
//! M. Shapiro et al., *Conflict-free Replicated Data Types*, 2011 (LWW-element map).

use super::record::MAX_TEXT;
use super::{Action, Record, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most records.
pub const MAX_RECORDS: usize = 10_000;
/// An ended record is forgotten after this many milliseconds: a day.
pub const FORGET_MS: u64 = 24 * 3_600_000;

/// The orders by what they are about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    records: BTreeMap<Scope, Record>,
}

/// All orders as they are stored and sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The format: 1.
    pub format: u32,
    /// The orders.
    pub records: Vec<Record>,
}

/// Why a record can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A number is out of its range.
    #[error("{scope}: {field} is {value}, which is not within 0 to 100")]
    Percent {
        /// The record.
        scope: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u8,
    },
    /// A text is empty or too long.
    #[error("{scope}: {field} has {length} bytes; 1 to {MAX_TEXT} are allowed")]
    Text {
        /// The record.
        scope: String,
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// There are too many.
    #[error("there are {MAX_RECORDS} records already; end some of them")]
    Many,
}

// === impl Book ===

impl Book {
    /// Takes in a record; true when it is news.
    ///
    /// # Errors
    /// [`Unfit`] when it can't be right; nothing changes then.
    pub fn take(&mut self, record: Record) -> Result<bool, Unfit> {
        self.admits(&record)?;
        let known = self.records.get(&record.scope);
        if known.is_some_and(|known| known.updated >= record.updated) {
            return Ok(false);
        }
        self.records.insert(record.scope.clone(), record);
        Ok(true)
    }

    /// Whether a record could be taken, were it news.
    ///
    /// # Errors
    /// [`Unfit`] when it can't be right, or there is no place left.
    pub fn admits(&self, record: &Record) -> Result<(), Unfit> {
        check(record)?;
        if self.records.len() >= MAX_RECORDS && !self.records.contains_key(&record.scope) {
            return Err(Unfit::Many);
        }
        Ok(())
    }

    /// The record on `scope`, also when it has ended.
    #[must_use]
    pub fn get(&self, scope: &Scope) -> Option<&Record> {
        self.records.get(scope)
    }

    /// All records, by scope.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Forgets what ended long ago; true when there was any.
    pub fn forget(&mut self, now_ms: u64) -> bool {
        let before = self.records.len();
        self.records
            .retain(|_, record| !record.is_forgotten(now_ms));
        self.records.len() != before
    }

    /// For storing and sending.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            format: Snapshot::FORMAT,
            records: self.records.values().cloned().collect(),
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The format that is written.
    pub const FORMAT: u32 = 1;
}

fn check(record: &Record) -> Result<(), Unfit> {
    let scope = || record.scope.to_string();
    for (field, value) in [
        ("keep_percent", record.keep_percent),
        ("from_percent", record.from_percent),
    ] {
        if value > 100 {
            return Err(Unfit::Percent {
                scope: scope(),
                field,
                value,
            });
        }
    }
    let ticket = record.ticket.as_deref().unwrap_or("-");
    let texts = [
        ("reason", &*record.reason),
        ("actor", &record.actor),
        ("ticket", ticket),
    ];
    for (field, text) in texts {
        // An undrain need not be argued.
        let may_be_empty = field == "reason" && record.action == Action::Undrain;
        let length = text.trim().len();
        if length > MAX_TEXT || length == 0 && !may_be_empty {
            return Err(Unfit::Text {
                scope: scope(),
                field,
                length,
            });
        }
    }
    Ok(())
}
