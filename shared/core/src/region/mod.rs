//! Regions at the global tier: what they report, whether they get requests, and in which order.
//!
//! The control thread steps the state machines each 50 to 100 ms: [`evidence`] judges each region, [`removal`] bounds what
//! all verdicts together may take out, [`waterfall`] and [`latency_shift`] move load by share. What comes out is a list of
//! [`Candidate`]s, which requests read; [`tally`] is what they write.

pub mod choice;
mod distance;
pub mod evidence;
pub mod latency_shift;
pub mod removal;
pub mod report;
pub mod tally;
pub mod waterfall;

pub use choice::{Ask, Candidate, Choice, Condition, Factors, Picked, Ranking, Removal};
