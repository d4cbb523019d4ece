//! Moving averages by time.

use std::time::Duration;

/// An average that forgets with a time constant; the first value is taken whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Average {
    value: Option<f64>,
    constant: Duration,
}

// === impl Average ===

impl Average {
    pub(super) const fn new(constant: Duration) -> Self {
        Self {
            value: None,
            constant,
        }
    }

    /// Takes in a value that stood for `step`.
    pub(super) fn add(&mut self, value: f64, step: Duration) {
        if !value.is_finite() {
            return;
        }
        let alpha = 1.0 - (-step.as_secs_f64() / self.constant.as_secs_f64()).exp();
        let before = self.value.unwrap_or(value);
        self.value = Some(before + (value - before) * alpha);
    }

    pub(super) const fn get(&self) -> Option<f64> {
        self.value
    }
}
