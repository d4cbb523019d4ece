//! Moving averages by time.

use std::time::Duration;

/// An average that forgets with a time constant; the first value is taken whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Average {
    value: Option<f64>,
    fall: Duration,
    rise: Duration,
}

/// An average that follows a rise slowly and a fall at once: the smaller of a slow one and a fast one. Where few requests
/// come in it is some tenths too low, as the fast one swings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ebb {
    slow: Average,
    fast: Average,
}

// === impl Average ===

impl Average {
    pub(super) const fn new(constant: Duration) -> Self {
        Self::uneven(constant, constant)
    }

    /// One that falls with another time constant than it rises. For values that don't swing: it would lean to one side.
    pub(super) const fn uneven(fall: Duration, rise: Duration) -> Self {
        Self {
            value: None,
            fall,
            rise,
        }
    }

    /// Takes in a value that stood for `step`.
    pub(super) fn add(&mut self, value: f64, step: Duration) {
        if !value.is_finite() {
            return;
        }
        let before = self.value.unwrap_or(value);
        let constant = if value < before { self.fall } else { self.rise };
        let alpha = 1.0 - (-step.as_secs_f64() / constant.as_secs_f64()).exp();
        self.value = Some(before + (value - before) * alpha);
    }

    pub(super) const fn get(&self) -> Option<f64> {
        self.value
    }
}

// === impl Ebb ===

impl Ebb {
    pub(super) const fn new(slow: Duration, fast: Duration) -> Self {
        Self {
            slow: Average::new(slow),
            fast: Average::new(fast),
        }
    }

    /// Takes in a value that stood for `step`.
    pub(super) fn add(&mut self, value: f64, step: Duration) {
        self.slow.add(value, step);
        self.fast.add(value, step);
    }

    pub(super) const fn slow(&self) -> Option<f64> {
        self.slow.get()
    }

    pub(super) const fn fast(&self) -> Option<f64> {
        self.fast.get()
    }

    pub(super) fn get(&self) -> Option<f64> {
        Some(self.slow.get()?.min(self.fast.get()?))
    }
}
