//! Ejection after a number of gateway errors in a row.
//!
//! # Problem
//! Every finished request passes here, so the count must cost next to nothing; and an endpoint that
//! comes back broken must not be tried every ten seconds for ever.
//!
//! # Choice
//! Two parts. [`ConsecutiveErrors`] counts lock-free: a success is one relaxed load, plus a store when
//! errors were counted before. Only the error that completes the row goes on to [`Ejector`], which sits
//! behind a lock and decides: the n-th ejection lasts n × base up to the maximum, n falls by one for
//! each base interval spent without ejection. The length is drawn within a tenth, so that endpoints
//! which left together don't come back together.
//!
//! # Rejected
//! - Subtracting the threshold from the count instead of storing zero: exact among failures, but a
//!   success that stores zero in between would make it wrap and the endpoint immune.
//! - Compare-and-swap loops: exactness that nobody can observe, paid for on each request.
//! - Doubling (1, 2, 4 …): a server restarted five times in a day would be out for minutes.
//!
//! # Limits
//! Updates that race may lose errors, which at worst delays an ejection by as many requests as raced.
//! Errors that come in late, from requests that were running when the endpoint left, stay counted, so it
//! may be convicted sooner on its return; its first success clears them.

use crate::config::model::Outlier;
use crate::time::Instant;
use rand::{Rng, RngExt};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// An endpoint's errors in a row, counted without a lock.
#[derive(Debug)]
pub struct ConsecutiveErrors {
    errors: AtomicU32,
    threshold: AtomicU32,
}

/// What an endpoint has been ejected for, how often, and until when.
#[derive(Debug, Clone)]
pub struct Ejector {
    rules: Rules,
    errors: u32,
    /// Ejections that still count towards the length of the next.
    count: u32,
    until: Option<Instant>,
}

/// An ejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eject {
    /// When it ends.
    pub until: Instant,
    /// Which one in the current series it is, from 1.
    pub nth: u32,
}

/// The numbers of the configuration that decide.
#[derive(Debug, Clone, Copy)]
struct Rules {
    enabled: bool,
    threshold: u32,
    base: Duration,
    max: Duration,
}

// === impl ConsecutiveErrors ===

impl ConsecutiveErrors {
    /// No errors yet, `threshold` of them in a row convict; 0 is taken as 1.
    #[must_use]
    pub fn new(threshold: u32) -> Self {
        Self {
            errors: AtomicU32::new(0),
            threshold: AtomicU32::new(threshold.max(1)),
        }
    }

    /// Changes the threshold and keeps the count.
    pub fn set_threshold(&self, threshold: u32) {
        self.threshold.store(threshold.max(1), Ordering::Relaxed);
    }

    /// Counts one outcome. True for the error that completes a row: ask the [`Ejector`] then.
    ///
    /// Relaxed ordering is enough, as the count guards no other memory.
    #[must_use = "a completed row must be brought before the ejector"]
    pub fn record(&self, failed: bool) -> bool {
        if !failed {
            if self.errors.load(Ordering::Relaxed) != 0 {
                self.errors.store(0, Ordering::Relaxed);
            }
            return false;
        }
        let errors = self
            .errors
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let threshold = self.threshold.load(Ordering::Relaxed);
        // Of several threads that see a completed row, only the one that takes it away convicts.
        errors >= threshold && self.errors.swap(0, Ordering::Relaxed) >= threshold
    }

    /// Errors in a row so far.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.errors.load(Ordering::Relaxed)
    }
}

// === impl Ejector ===

impl Ejector {
    /// An endpoint that was never ejected.
    #[must_use]
    pub fn new(config: &Outlier) -> Self {
        Self {
            rules: Rules::new(config),
            errors: 0,
            count: 0,
            until: None,
        }
    }

    /// Takes over a changed configuration. A running ejection keeps its end, unless ejection is switched off.
    pub fn reconfigure(&mut self, config: &Outlier) {
        self.rules = Rules::new(config);
        self.count = self.count.min(self.rules.longest_series());
        if !config.enabled {
            self.until = None;
            self.errors = 0;
        }
    }

    /// Counts one outcome and ejects when it completes a row of errors: the whole decision on one thread, for the
    /// simulation. The runtime counts by [`ConsecutiveErrors`] and calls [`Self::convict`]; both agree.
    pub fn on_outcome(&mut self, failed: bool, now: Instant, rng: &mut impl Rng) -> Option<Eject> {
        if !failed {
            self.errors = 0;
            return None;
        }
        self.errors += 1;
        if self.errors < self.rules.threshold {
            return None;
        }
        self.errors = 0;
        self.convict(now, rng)
    }

    /// Ejects. None when ejection is off or the endpoint is out already: late errors don't lengthen a sentence.
    pub fn convict(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Eject> {
        if !self.rules.enabled || self.is_ejected(now) {
            return None;
        }
        let nth = self
            .series(now)
            .saturating_add(1)
            .min(self.rules.longest_series());
        let until = now + self.rules.length(nth, rng);
        self.count = nth;
        self.until = Some(until);
        Some(Eject { until, nth })
    }

    /// Ends a running ejection. It still counts towards the length of the next.
    pub fn pardon(&mut self, now: Instant) {
        if self.is_ejected(now) {
            self.until = Some(now);
        }
    }

    /// Whether the endpoint is out at `now`.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the running or last ejection ends or ended; none when there was none.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Ejections that count at `now`: those so far, less one for each base interval spent without ejection.
    #[must_use]
    pub fn series(&self, now: Instant) -> u32 {
        let Some(until) = self.until else { return 0 };
        let quiet = now.since(until).as_nanos() / self.rules.base.as_nanos().max(1);
        self.count
            .saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }
}

// === impl Rules ===

impl Rules {
    fn new(config: &Outlier) -> Self {
        // A length of zero would divide by zero here and eject for no time there.
        let base = config.base_ejection.get().max(Duration::from_millis(1));
        Self {
            enabled: config.enabled,
            threshold: config.consecutive_errors.max(1),
            base,
            max: config.max_ejection.get().max(base),
        }
    }

    /// The n from which on n × base is cut to the maximum: counting further would only slow the decay.
    fn longest_series(&self) -> u32 {
        let series = self.max.as_nanos().div_ceil(self.base.as_nanos().max(1));
        u32::try_from(series).unwrap_or(u32::MAX)
    }

    /// n × base within a tenth, never above the maximum. The upper bound is cut before the draw, not after it, or
    /// half of the longest ejections would end in step.
    fn length(&self, nth: u32, rng: &mut impl Rng) -> Duration {
        let aim = self.base.saturating_mul(nth).min(self.max);
        let longest = aim.saturating_add(aim / 10).min(self.max);
        let shortest = aim - aim / 10;
        shortest + (longest - shortest).mul_f64(rng.random_range(0.0..=1.0))
    }
}

#[cfg(test)]
#[path = "consecutive_tests.rs"]
mod tests;
