//! What requests tell of a region, counted without a lock and emptied by the control thread.
//!
//! # Choice
//! The data path adds to plain counters; the control thread takes them each 50 to 100 ms and feeds the state machines
//! with what came in since ([`Drained`]). So the machines need no lock and no atomics, and a request pays one or two
//! relaxed additions.
//!
//! # Limits
//! The counters are taken one by one, so a request that finishes in between may be split over two takes. Nothing here is
//! compared so exactly.

use super::choice::Picked;
use crate::outlier::consecutive::ConsecutiveErrors;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A region's counters. They belong to its identity and survive a reload.
#[derive(Debug)]
#[repr(align(64))]
pub struct Tally {
    successes: AtomicU64,
    failures: AtomicU64,
    latency_nanos: AtomicU64,
    homed: AtomicU64,
    kept: AtomicU64,
    received: AtomicU64,
    bound: AtomicU64,
    row: ConsecutiveErrors,
    row_complete: AtomicBool,
}

/// What came in since the counters were last taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Requests that the region answered without a gateway error.
    pub successes: u64,
    /// Gateway errors.
    pub failures: u64,
    /// Sum of the latencies of the successes, in nanoseconds.
    pub latency_nanos: u64,
    /// Requests that belonged here by order and weight, wherever they went.
    pub homed: u64,
    /// Those of them that were sent here.
    pub kept: u64,
    /// Requests sent here that belonged to another region.
    pub received: u64,
    /// Requests that belonged here by their cookie, wherever they went.
    pub bound: u64,
    /// A row of consecutive gateway errors was completed.
    pub row_complete: bool,
}

// === impl Tally ===

impl Tally {
    /// Empty counters; `threshold` gateway errors in a row complete a row.
    #[must_use]
    pub fn new(threshold: u32) -> Self {
        Self {
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latency_nanos: AtomicU64::new(0),
            homed: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            received: AtomicU64::new(0),
            bound: AtomicU64::new(0),
            row: ConsecutiveErrors::new(threshold),
            row_complete: AtomicBool::new(false),
        }
    }

    /// Changes the length of a row and keeps the counts.
    pub fn set_threshold(&self, threshold: u32) {
        self.row.set_threshold(threshold);
    }

    /// Counts an answer, with the time to its head.
    pub fn succeeded(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.successes.fetch_add(1, Relaxed);
        self.latency_nanos.fetch_add(nanos, Relaxed);
        // A success never completes a row.
        let _ = self.row.record(false);
    }

    /// Counts a gateway error (connect failure, reset, timeout, 502 to 504, broken answer). A refusal for overload is
    /// none: it is a sign of life.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
        if self.row.record(true) {
            self.row_complete.store(true, Relaxed);
        }
    }

    /// Counts where a request went, once per request: its first choice, not its retries.
    pub fn count_pick<'a>(tally_of: impl Fn(usize) -> Option<&'a Self>, picked: &Picked) {
        let home = picked.home.and_then(&tally_of);
        if let Some(home) = home {
            home.homed.fetch_add(1, Relaxed);
            if picked.bound {
                home.bound.fetch_add(1, Relaxed);
            }
        }
        if picked.home == Some(picked.index) {
            if let Some(home) = home {
                home.kept.fetch_add(1, Relaxed);
            }
        } else if let Some(receiver) = tally_of(picked.index) {
            receiver.received.fetch_add(1, Relaxed);
        }
    }

    /// Counts a request that belonged here and was refused because no region had room.
    pub fn count_refused(&self) {
        self.homed.fetch_add(1, Relaxed);
    }

    /// Takes what came in since the last call. One caller only: the control thread.
    pub fn drain(&self) -> Drained {
        Drained {
            successes: self.successes.swap(0, Relaxed),
            failures: self.failures.swap(0, Relaxed),
            latency_nanos: self.latency_nanos.swap(0, Relaxed),
            homed: self.homed.swap(0, Relaxed),
            kept: self.kept.swap(0, Relaxed),
            received: self.received.swap(0, Relaxed),
            bound: self.bound.swap(0, Relaxed),
            row_complete: self.row_complete.swap(false, Relaxed),
        }
    }
}

// === impl Drained ===

impl Drained {
    /// Mean latency of the successes; none without any.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        (self.successes > 0).then(|| Duration::from_nanos(self.latency_nanos / self.successes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_takes_everything_once() {
        let tallies = [Tally::new(2), Tally::new(2)];
        let of = |index: usize| tallies.get(index);
        let pick = |index, home| Picked {
            index,
            home: Some(home),
            bound: index != home,
            last_resort: false,
        };
        Tally::count_pick(of, &pick(0, 0));
        Tally::count_pick(of, &pick(1, 0));
        tallies[0].succeeded(Duration::from_millis(4));
        tallies[0].succeeded(Duration::from_millis(2));
        tallies[0].failed();
        tallies[0].failed();
        let drained = tallies[0].drain();
        assert_eq!((drained.homed, drained.kept, drained.received), (2, 1, 0));
        assert_eq!(drained.bound, 1, "it went elsewhere, and belongs here");
        assert_eq!(drained.latency(), Some(Duration::from_millis(3)));
        assert!(drained.row_complete, "two errors in a row");
        assert_eq!(tallies[0].drain(), Drained::default());
        assert_eq!(tallies[1].drain().received, 1);
    }
}
