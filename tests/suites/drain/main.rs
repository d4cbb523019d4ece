//! Operators' orders: one command to any replica, obeyed by all, without a failed request.

mod bed;
mod cookies;
mod mixed;
mod options;
mod orders;
mod plugin;
mod rules;
mod servers;
mod stores;
mod together;
