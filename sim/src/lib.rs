//! A deterministic simulation of both tiers: real decisions, virtual time.
//!
//! # Problem
//! Real processes show that the wiring works. They can't show hours of faults, hundreds of regions, or the one order of
//! events in ten thousand that makes two mechanisms work against each other.
//!
//! # Choice
//! Discrete events on a virtual clock, all randomness from one seed. Every decision is the shipped one from `lb-core`:
//! balancer and loads, checks, ejection, retry rules and budgets, region evidence, removal cap, waterfall, latency shift
//! and the choice itself. Modelled are only the things that decisions are about: servers with slots and service times, links,
//! clients. So a fault found here is a fault of the product.
//!
//! A seed draws a topology, a load and a script of faults ([`fault`]); the [`ledger`] checks the invariants after each step,
//! and at the end that the world has converged.
//!
//! # Limits
//! A server's queue is its slots' busy times, networks have no bandwidth, and control threads tick in step every 100 ms.
//! Admission in a region is a plain bound on what is in flight.

pub mod fault;
pub mod global;
pub mod ledger;
pub mod queue;
pub mod regional;
pub mod request;
pub mod server;
pub mod setup;
pub mod world;

pub use fault::{Fault, Kind};
pub use setup::{Mechanisms, Setup};
pub use world::World;
