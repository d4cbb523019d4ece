//! The sums of a window of answers, gathered without a lock.

use super::{End, Sample};
use crate::time::Instant;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A window is not judged before this time.
const LEAST_WINDOW: Duration = Duration::from_millis(50);
/// Nor with fewer answers than this, unless it lasts.
const LEAST_COUNT: u64 = 10;
/// No answer yet.
const NONE: u32 = u32::MAX;
/// A window that is judged whatever its count.
const LONGEST_WINDOW: Duration = Duration::from_secs(5);

/// A window of answers; times in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) count: f64,
    pub(super) dropped: f64,
    /// Requests whose clients left, and for how long each had waited, on average.
    pub(super) left: f64,
    pub(super) left_after: f64,
    /// Answers to requests that saw another limit.
    pub(super) stale: f64,
    pub(super) mean: f64,
    /// Standard error of the mean.
    pub(super) error: f64,
    pub(super) variance: f64,
    pub(super) peak: f64,
    /// Requests under way that a request met when it was let in, on average.
    pub(super) met: f64,
    /// Requests under way at the first and at the last answer.
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) age: f64,
}

/// Sums of the running window.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Gather {
    count: AtomicU64,
    dropped: AtomicU64,
    left: AtomicU64,
    left_micros: AtomicU64,
    micros: AtomicU64,
    /// Of latencies in units of 8 µs, so that 10,000 answers of a minute fit.
    squares: AtomicU64,
    met: AtomicU64,
    peak: AtomicU32,
    /// [`NONE`] before the first answer.
    first: AtomicU32,
    last: AtomicU32,
    opened: AtomicU64,
    /// Answers to requests that started before this saw another limit.
    accept_from: AtomicU64,
    /// How many of those came in the window.
    stale: AtomicU64,
}

// === impl Window ===

impl Window {
    /// The peak, as far as answers bear it out: as many under way as those met that are back by now. While a load rises, the number
    /// under way runs ahead of that, and would open the limit for the very queue that it is to prevent.
    pub(super) fn reached(&self) -> f64 {
        self.peak.min(1.25 * self.met + 3.0 * self.met.sqrt() + 3.0)
    }
}

// === impl Gather ===

impl Gather {
    /// Adds an answer; true when the window may be judged.
    pub(super) fn add(&self, sample: &Sample, now: Instant) -> bool {
        let opened = self.opened.load(Relaxed);
        if now.as_nanos() < opened {
            return false;
        }
        self.peak.fetch_max(sample.in_flight, Relaxed);
        self.last.store(sample.in_flight, Relaxed);
        if self.first.load(Relaxed) == NONE {
            self.first.store(sample.in_flight, Relaxed);
        }
        let nanos = u64::try_from(sample.latency.as_nanos()).unwrap_or(u64::MAX);
        match sample.end {
            End::Answered => {}
            End::Dropped => {
                self.dropped.fetch_add(1, Relaxed);
                return self.is_due(now);
            }
            End::Left => {
                self.left.fetch_add(1, Relaxed);
                self.left_micros.fetch_add(nanos / 1000, Relaxed);
                return self.is_due(now);
            }
        }
        if now.as_nanos().saturating_sub(nanos) < self.accept_from.load(Relaxed) {
            self.stale.fetch_add(1, Relaxed);
            return false;
        }
        let micros = (nanos / 1000).min(60_000_000);
        self.micros.fetch_add(micros, Relaxed);
        self.met.fetch_add(sample.met.into(), Relaxed);
        self.squares
            .fetch_add((micros >> 3) * (micros >> 3), Relaxed);
        let count = self.count.fetch_add(1, Relaxed) + 1;
        count >= LEAST_COUNT && self.is_due(now)
    }

    fn age(&self, now: Instant) -> Duration {
        now.since(Instant::from_nanos(self.opened.load(Relaxed)))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        let ends = [&self.count, &self.dropped, &self.left];
        let all: u64 = ends.iter().map(|ends| ends.load(Relaxed)).sum();
        let age = self.age(now);
        age >= LEAST_WINDOW && all >= LEAST_COUNT || age >= LONGEST_WINDOW
    }

    pub(super) fn read(&self, now: Instant) -> Window {
        let count = self.count.load(Relaxed) as f64;
        let mean = self.micros.load(Relaxed) as f64 / count.max(1.0);
        let square = self.squares.load(Relaxed) as f64 * 64.0 / count.max(1.0);
        let variance = (square - mean * mean).max(0.0) * count / (count - 1.0).max(1.0);
        let age = self.age(now).as_secs_f64();
        let left = self.left.load(Relaxed) as f64;
        Window {
            left,
            left_after: self.left_micros.load(Relaxed) as f64 * 1e-6 / left.max(1.0),
            count,
            dropped: self.dropped.load(Relaxed) as f64,
            stale: self.stale.load(Relaxed) as f64,
            mean: mean * 1e-6,
            error: (variance / count.max(1.0)).sqrt() * 1e-6,
            variance: variance * 1e-12,
            peak: f64::from(self.peak.load(Relaxed)),
            met: self.met.load(Relaxed) as f64 / count.max(1.0),
            first: match self.first.load(Relaxed) {
                NONE => 0.0,
                first => f64::from(first),
            },
            last: f64::from(self.last.load(Relaxed)),
            age,
        }
    }

    /// A new window from `opened` on. An answer that comes in between may be lost or counted in the new one.
    pub(super) fn restart(&self, opened: Instant) {
        self.opened.store(opened.as_nanos(), Relaxed);
        let sums = [&self.count, &self.dropped, &self.micros, &self.squares];
        let others = [&self.stale, &self.met, &self.left, &self.left_micros];
        for sum in sums.into_iter().chain(others) {
            sum.store(0, Relaxed);
        }
        self.peak.store(0, Relaxed);
        self.first.store(NONE, Relaxed);
    }

    /// Leaves out answers to requests that started before.
    pub(super) fn accept_from(&self, start: Instant) {
        self.accept_from.store(start.as_nanos(), Relaxed);
    }

    /// Whether the window should be closed even without answers.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.age(now) >= LONGEST_WINDOW
    }
}
