//! Active checks: the verdict on one endpoint from the results of probes.
//!
//! # Problem
//! A single lost packet must not take an endpoint out, a single lucky answer must not bring a broken
//! one back, and a new process must neither wait several intervals before it serves nor serve from
//! endpoints that nobody has looked at.
//!
//! # Choice
//! Rise and fall counts (HAProxy's `rise`/`fall`, Envoy's thresholds) around three verdicts. An
//! endpoint starts [`Verdict::Unknown`], which is routable only when nothing else exists. The first
//! success settles it as healthy at once, because one good answer is all the evidence there is and
//! waiting for more would lengthen each start. Against a settled verdict `fall` failures or `rise`
//! successes *in a row* are needed. While a verdict is contested the probes come faster, so that
//! detection costs a fraction of `fall × interval` without probing always at that rate.
//!
//! # Rejected
//! - Starting healthy (HAProxy): traffic goes to endpoints that never were up.
//! - A failure rate over a window: slower to tell a dead endpoint, and two parameters more.
//! - Counting failures of our own making, such as no file descriptors being left: with those all
//!   endpoints would fall at one time. They are kept for the status and count for nothing.
//!
//! # Limits
//! An endpoint that alternates between good and bad answers keeps its verdict for ever. That is the
//! business of [`crate::outlier`], which sees the traffic itself.

mod check;
mod probe;

pub use check::{CheckState, LastProbe, Transition, Verdict};
pub use probe::{ProbeFailure, ProbeResult};

#[cfg(test)]
mod tests;
