//! Choosing one endpoint of a pool.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one endpoint of a pool is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The better of two.
    #[default]
    P2c,
}
