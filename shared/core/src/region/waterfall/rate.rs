//! Moving averages by time.

use std::time::Duration;

/// An average that forgets with a time constant; the first value is taken whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Average {
    value: Option<f64>,
    constant: Duration,
}

/// A slow average and a fast one of the same value. The slow one is for what stands, as few requests swing; the fast one
/// knows when a surge is over. The smaller one follows a rise slowly and a fall at once; where few requests come in it is
/// some tenths too low.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    slow: Average,
    fast: Average,
}

/// A pair of averages of the rate some time ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    lag: Average,
    rate: Pair,
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
        self.follow(value, step, self.constant);
    }

    /// The same, with this time constant for once.
    pub(super) fn follow(&mut self, value: f64, step: Duration, constant: Duration) {
        if !value.is_finite() {
            return;
        }
        let alpha = 1.0 - (-step.as_secs_f64() / constant.as_secs_f64()).exp();
        let before = self.value.unwrap_or(value);
        self.value = Some(before + (value - before) * alpha);
    }

    pub(super) const fn get(&self) -> Option<f64> {
        self.value
    }
}

// === impl Pair ===

impl Pair {
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

    /// The smaller of the two.
    pub(super) fn low(&self) -> Option<f64> {
        Some(self.slow()?.min(self.fast()?))
    }
}

// === impl Late ===

impl Late {
    /// Averages of what was `lag` ago.
    pub(super) const fn new(lag: Duration, slow: Duration, fast: Duration) -> Self {
        Self {
            lag: Average::new(lag),
            rate: Pair::new(slow, fast),
        }
    }

    /// Takes in a value that stood for `step`.
    pub(super) fn add(&mut self, value: f64, step: Duration) {
        self.lag.add(value, step);
        self.rate.add(self.lag.get().unwrap_or(value), step);
    }

    pub(super) const fn slow(&self) -> Option<f64> {
        self.rate.slow()
    }

    pub(super) const fn fast(&self) -> Option<f64> {
        self.rate.fast()
    }
}
