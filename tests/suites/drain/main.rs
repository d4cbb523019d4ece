//! Operators' orders: one command to any replica, obeyed by all, without a failed request.

mod bed;
mod cookies;
mod orders;
#[path = "../state/relay.rs"]
mod relay;
mod rules;
mod together;
