//! Configuration: types, reading, checking.

pub mod read;
