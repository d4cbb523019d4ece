//! How a process leaves without dropping a request.

use crate::config::scalar::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens between SIGTERM and the exit. SIGINT skips the lame duck, and a second signal ends at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Lame duck: how long everything is still accepted and served, while peers are told by `x-lb-draining`, and connections are asked
    /// to close one after the other. At least as long as it takes until nobody sends new connections; 0: none.
    pub lame_duck: DurationText,
    /// How long `/readyz` stays green in that time, where a probe that fails ends traffic sooner than it should.
    pub readiness_fail_delay: DurationText,
    /// How long running requests may take after that.
    pub drain: DurationText,
    /// The same for tunnels (websocket) and event streams.
    pub stream_drain: DurationText,
}

// === impl Shutdown ===

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            lame_duck: DurationText::secs(10),
            readiness_fail_delay: DurationText::secs(0),
            drain: DurationText::secs(30),
            stream_drain: DurationText::secs(60),
        }
    }
}
