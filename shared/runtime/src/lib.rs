//! Carries out what `lb-core` decides: Pingora and tokio adapters that both tiers share.

pub mod access_log;
pub mod admin;
pub mod build;
pub mod cli;
pub mod clock;
mod control;
mod cut;
pub mod discover;
mod exchange;
mod explain;
mod handover;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod leave;
pub mod lifecycle;
pub mod listen;
pub mod metrics;
pub mod overload;
pub mod peers;
pub mod plan;
pub mod probe;
pub mod process;
mod readiness;
mod reload;
mod report;
mod signals;
mod sockets;
pub mod state;
mod status;
mod steer;
mod supervise;
pub mod tier;
pub mod upstream;
mod watchdog;
mod wire;
pub mod worker;
mod writes;
