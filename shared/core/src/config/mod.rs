//! Configuration: types, reading, checking.

pub mod model;
pub mod scalar;
pub mod read;
