//! Carries out what `lb-core` decides: Pingora and tokio adapters that both tiers share.

pub mod admin;
mod client_io;
pub mod clock;
pub mod metrics;
pub mod upstream;
mod access_log;
mod exchange;
pub mod lifecycle;
pub mod listen;
pub mod plan;
pub mod worker;
