//! Choosing a region.

mod choice;
mod distance;

pub use choice::{Candidate, Condition, Picked, Ranking, Removal};
