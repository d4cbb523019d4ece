//! The numbers of the configuration that decide.

use crate::config::model::Failover;
use std::time::Duration;

/// What an operator may tune of the verdict on a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long its errors keep a region out, before a tenth of jitter.
    pub ejection: Duration,
    /// How long checks must be good before it comes back.
    pub return_after: Duration,
    /// How long its share then grows.
    pub ramp: Duration,
    /// The first hold-down of a region that flaps.
    pub hold_down: Duration,
    /// The longest one.
    pub hold_down_max: Duration,
}

// === impl Rules ===

impl Rules {
    /// The rules of a configuration.
    #[must_use]
    pub fn new(config: &Failover) -> Self {
        Self {
            ejection: config.ejection.get(),
            return_after: config.return_after.get(),
            ramp: config.ramp.get(),
            hold_down: config.hold_down.get(),
            hold_down_max: config.hold_down_max.get().max(config.hold_down.get()),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(&Failover::default())
    }
}
