//! Strata's decisions: balancing, health, retries, region choice, configuration and status types.
//!
//! This ring is pure. It has no tokio, no Pingora, no clock, no global random source, no sockets and
//! no files: time is an argument ([`time::Instant`]), randomness is an argument (`&mut impl Rng`),
//! so that each decision can be replayed from a seed.

pub mod affinity;
pub mod balance;
pub mod breaker;
pub mod config;
pub mod discovery;
pub mod drain;
pub mod health;
pub mod http;
pub mod idle_limit;
pub mod limit;
pub mod name;
pub mod outlier;
pub mod overload;
pub mod queue;
pub mod reason;
pub mod region;
pub mod retry;
pub mod route;
pub mod sample;
pub mod slow_start;
pub mod status;
pub mod time;
pub mod zone;
