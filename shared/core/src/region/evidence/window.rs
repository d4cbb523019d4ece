//! The recent requests of a region: do they convict it, do they acquit it?
//!
//! Counts fade with a time constant of 3 s, which is long enough for an acquittal at a few requests a second. A
//! conviction can't wait for them to fade, or a dead region would be served for seconds after a busy second: it looks at
//! the requests since the last step only.

use crate::region::tally::Drained;
use crate::time::Instant;
use std::time::Duration;

const FADE: Duration = Duration::from_secs(3);
/// Fewer successes than these acquit nobody.
const ENOUGH: f64 = 10.0;
/// With a larger share of errors, requests don't succeed.
const MOST_ERRORS: f64 = 0.05;
/// With a larger share refused for overload, the region has lost capacity.
const MOST_SHED: f64 = 0.05;
/// Without a success for this long, and for as many of the usual times between two, requests don't succeed any more:
/// a frozen region has no errors for seconds, and what it answered before would speak for it meanwhile.
const SILENT: Duration = Duration::from_millis(500);
const SILENT_GAPS: f64 = 5.0;

#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    successes: f64,
    failures: f64,
    /// A row was completed, but errors did not prevail yet.
    suspected: bool,
    convicted: bool,
    at: Instant,
    succeeded: Instant,
}

// === impl Window ===

impl Window {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            successes: 0.0,
            failures: 0.0,
            suspected: false,
            convicted: false,
            at: now,
            succeeded: now,
        }
    }

    pub(super) fn absorb(&mut self, traffic: &Drained, now: Instant) {
        let left = (-now.since(self.at).as_secs_f64() / FADE.as_secs_f64()).exp();
        self.at = now;
        self.successes = self.successes * left + traffic.successes as f64;
        self.failures = self.failures * left + traffic.failures as f64;
        if traffic.successes > 0 {
            self.succeeded = now;
        }
        let prevail = traffic.failures > 0 && traffic.failures >= traffic.successes;
        let row = traffic.row_complete || self.suspected;
        self.convicted = row && prevail;
        // The row may have been completed at the end of a good step: the next one with requests decides.
        let silent = traffic.failures + traffic.successes == 0;
        self.suspected = !self.convicted && (traffic.row_complete || (self.suspected && silent));
        if self.convicted {
            self.successes = 0.0;
        }
    }

    /// Errors in a row, and they prevail.
    pub(super) const fn is_convicted(&self) -> bool {
        self.convicted
    }

    /// Requests succeed, and not because most of them are refused.
    pub(super) fn is_good(&self, shed: f64) -> bool {
        self.successes >= ENOUGH
            && !self.is_silent()
            && self.failures <= MOST_ERRORS * (self.successes + self.failures)
            && shed <= MOST_SHED
    }

    fn is_silent(&self) -> bool {
        let silence = self.at.since(self.succeeded);
        let gap = FADE.as_secs_f64() / self.successes.max(1.0);
        silence > SILENT + Duration::from_secs_f64(SILENT_GAPS * gap)
    }
}
