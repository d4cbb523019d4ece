//! Choosing a region.

mod choice;
mod distance;
pub mod report;

pub use choice::{Candidate, Condition, Picked, Ranking, Removal};
