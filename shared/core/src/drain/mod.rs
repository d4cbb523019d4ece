//! What operators order: regions and servers that get less, or nothing.
//!
//! An order is a [`Record`], kept in a [`Book`] that all replicas share; [`preflight`] tells what it would do before it is given, and
//! the [`Board`] what all orders make of each region now. Nothing here knows how orders are shared or stored: the state store of the
//! runtime does.

mod book;
mod demand;
mod draft;
mod order;
mod preflight;
mod record;
mod stamp;
mod standing;
mod suspend;

pub use book::{Book, FORGET_MS, MAX_RECORDS, Snapshot, Unfit};
pub use demand::Demand;
pub use draft::{Draft, DraftError, Planned, Stamping};
pub use order::{Answer, DrainStatus, Order, Refused, Senseless};
pub use preflight::{Fit, Forecast, Place, Receiver, Refusal, preflight};
pub use record::{Action, MAX_TEXT, Record, Rule, Scope, SessionPolicy};
pub use stamp::{Ahead, Clock, MOST_AHEAD, Stamp};
pub use standing::{Board, Facts, Stage, Standing};
pub use suspend::suspended_servers;

#[cfg(test)]
mod book_tests;
