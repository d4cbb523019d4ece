//! Carries out what `lb-core` decides: Pingora and tokio adapters that both tiers share.

pub mod access_log;
pub mod admin;
mod client_io;
pub mod clock;
mod exchange;
pub mod lifecycle;
pub mod listen;
pub mod metrics;
pub mod plan;
pub mod upstream;
pub mod worker;
//! Strata's adapters: Pingora and tokio around the decisions of `lb-core`.

pub mod clock;
pub mod discover;
pub mod probe;
