//! Regions: what they report of themselves, and the choice among them.

mod choice;
mod distance;
pub mod report;

pub use choice::{Candidate, Condition, Picked, Ranking, Removal};
