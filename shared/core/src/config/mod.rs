//! Configuration: types, reading, checking.
//!
//! [`load_regional`] and [`load_global`] are the way in: text in, a checked value or all faults out.

pub mod address;
pub mod change;
mod check;
pub mod model;
pub mod read;
pub mod reference;
pub mod scalar;

pub use check::{formats, load_global, load_regional};
