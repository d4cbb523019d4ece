//! Configuration: types, reading, checking.

pub mod model;
pub mod scalar;
