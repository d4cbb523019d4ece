//! Configuration: types, reading, checking.
