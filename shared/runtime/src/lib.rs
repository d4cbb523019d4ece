//! Strata's adapters: Pingora and tokio around the decisions of `lb-core`.

pub mod clock;
pub mod discover;
pub mod probe;
