//! Limits on how much a pool or a client may ask at a time.
//!
//! - [`gradient`] finds a pool's concurrency limit from its latency, so that goodput holds in an
//!   overload although nobody has configured a capacity.
//! - [`shed`] lets requests in by priority, up to that limit.
//! - [`gcra`] and [`keyed`] limit the rate of a client; [`peers`] tells how many replicas share such a limit.

pub mod gcra;
pub mod gradient;
pub mod keyed;
pub mod peers;
pub mod shed;
