//! Strata's adapters: what ties the pure decisions of `lb-core` to sockets, files and clocks.

pub mod admin;
