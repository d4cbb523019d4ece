//! Regions: what a region tells of itself.

pub mod report;
