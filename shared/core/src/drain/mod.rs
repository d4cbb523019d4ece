//! What operators order: regions and servers that get less, or nothing.
//!
//! An order is a [`Record`], kept in a [`Book`] that all replicas share. Nothing here knows how it is shared or stored: the state
//! store of the runtime does.

mod book;
mod draft;
mod record;
mod stamp;

pub use book::{Book, FORGET_MS, MAX_RECORDS, Snapshot, Unfit};
pub use draft::{Draft, DraftError, Planned};
pub use record::{Action, MAX_TEXT, Record, Rule, Scope, SessionPolicy};
pub use stamp::{Ahead, Clock, MOST_AHEAD, Stamp};

#[cfg(test)]
mod book_tests;
