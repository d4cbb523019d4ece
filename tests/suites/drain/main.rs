//! Operators' orders: one command to any replica, obeyed by all, without a failed request.

mod bed;
mod cookies;
mod orders;
mod rules;
mod stores;
mod together;
