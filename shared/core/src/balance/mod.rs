//! Choosing one endpoint of a pool.
