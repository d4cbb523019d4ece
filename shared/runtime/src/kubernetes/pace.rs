//! How often an API server is asked.

use std::time::Duration;

/// How often it is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// After how long a watch is to end, in whole seconds: what is known is never older unless something is wrong.
    pub(crate) watch: Duration,
    /// How often everything is listed although nothing is wrong.
    pub(crate) list: Duration,
}

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(10),
            list: Duration::from_secs(300),
        }
    }
}
