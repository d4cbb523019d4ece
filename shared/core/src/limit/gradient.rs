//! Adaptive concurrency: a pool's limit, found from its latency.
//!
//! # Problem
//! Under twice its capacity a pool without a limit builds a queue until every answer is late: goodput
//! falls to a quarter and stays there after the load has gone. A configured limit would prevent that,
//! but nobody knows the number, and it changes with every release.
//!
//! # Choice
//! Little's law: requests under way = throughput × latency. A pool that is busy works on
//! `throughput × latency without queueing` requests; whatever is under way beyond them waits. So the limit is
//! that product, both of whose factors are measured, plus its square root, which keeps servers busy when
//! arrivals are uneven. Three states, in [`control`]:
//! - **open**: the limit is far above what was seen under way (3 × the peak of the last minutes + 32), and
//!   the latency without queueing is learned in passing, over 15 s. No dip in traffic is needed for that.
//! - **limited**, once the mean latency has doubled: cut to the product, but by half at most. Then look again:
//!   when fewer requests under way make the answers faster, it was a queue, and the limit is found by
//!   further steps. When they don't, the pool has become slower by itself, and the latency is the new normal.
//! - **probing**, in a lasting overload: each 15 s or so the limit falls to 60 % for a few answers, to see
//!   the latency without a queue. Costs about 2 % of the throughput, and only in an overload.
//!
//! # Rejected
//! - Envoy's gradient, which measures the least latency at 3 requests under way each minute: that dip sheds
//!   good traffic all day long, and a limit near what is under way sheds bursts.
//! - Netflix's Gradient2 (a short against a long average): in a lasting overload the long average follows the
//!   short one, and the limit drifts upwards without bound.
//! - Vegas (the least latency ever seen): one fast answer, such as an error page, sets a mark that no honest answer
//!   reaches. Means are compared here, each with its standard error, as only means obey Little's law.
//!
//! # Limits
//! - A pool that serves one request at a time can't have both 90 % goodput and latencies within twice the
//!   service time, as arrivals are uneven.
//! - Replicas that share a pool see each other's queues. Each converges by itself, but with many of them
//!   a probe finds the others' queue, and the sum of their limits is higher than one replica's would be.
//! - The latency is that of the whole pool: one slow endpoint of many is the balancer's and the outlier
//!   detector's business.
//!
//! # Sources
//! J. Little, 1961; L. Brakmo, *TCP Vegas*, 1994; N. Cardwell, *BBR*, 2016 (throughput × latency as the limit);
//! Envoy `adaptive_concurrency`; Netflix `concurrency-limits`.

mod control;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use control::{Phase, Rules};

use crate::time::Instant;
use control::{Control, Next, Window};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A window is not judged before this time.
const LEAST_WINDOW: Duration = Duration::from_millis(50);
/// Nor with fewer answers than this, unless it lasts.
const LEAST_COUNT: u64 = 10;
/// A window that is judged whatever its count.
const LONGEST_WINDOW: Duration = Duration::from_secs(5);

/// A pool's concurrency limit. Shared by threads: reading it is one load, an answer costs five additions to one
/// cache line, and the answer that completes a window takes a lock that is only ever tried.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limit: AtomicU32,
    gather: Gather,
    control: Mutex<Control>,
}

/// What is known, for status pages and `explain`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Requests that may be under way.
    pub limit: u32,
    /// What the limit is doing.
    pub phase: Phase,
    /// The mean latency without queueing, as far as it is known.
    pub baseline: Option<Duration>,
    /// The mean latency of the last window.
    pub latency: Option<Duration>,
}

/// Sums of the running window.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Gather {
    count: AtomicU64,
    dropped: AtomicU64,
    micros: AtomicU64,
    /// Of latencies in units of 8 µs, so that 10,000 answers of a minute fit.
    squares: AtomicU64,
    peak: AtomicU32,
    opened: AtomicU64,
    /// Answers to requests that started before this saw another limit.
    accept_from: AtomicU64,
    /// How many of those came in the window.
    stale: AtomicU64,
}

// === impl AdaptiveLimit ===

impl AdaptiveLimit {
    /// A limit that starts open. `seed` spreads the probes of pools and replicas.
    #[must_use]
    pub fn new(rules: Rules, seed: u64, now: Instant) -> Self {
        let control = Control::new(rules, seed);
        let gather = Gather::default();
        gather.opened.store(now.as_nanos(), Relaxed);
        Self {
            limit: AtomicU32::new(control.limit()),
            gather,
            control: Mutex::new(control),
        }
    }

    /// Requests that may be under way now, at least 1.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Takes in an answer. `in_flight` are the pool's requests under way, this one included; `dropped` says that it
    /// ran into a time-out or was refused for overload, and its latency is not looked at then.
    ///
    /// Not for requests that failed fast (no connection, reset): they tell nothing about the time that work takes.
    pub fn on_sample(&self, latency: Duration, in_flight: u32, dropped: bool, now: Instant) {
        if !self.gather.add(latency, in_flight, dropped, now) {
            return;
        }
        // Whoever finds the lock taken leaves the window to the thread that has it.
        if let Ok(mut control) = self.control.try_lock() {
            self.judge(&mut control, now);
        }
    }

    /// To be called about once a second: a window is closed although no answers come.
    pub fn tick(&self, now: Instant) {
        if self.gather.age(now) >= LONGEST_WINDOW {
            self.judge(&mut self.lock(), now);
        }
    }

    /// Takes over a changed configuration; what was learned stays.
    pub fn reconfigure(&self, rules: Rules) {
        let mut control = self.lock();
        control.reconfigure(rules);
        self.limit.store(control.limit(), Relaxed);
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot()
    }

    fn judge(&self, control: &mut Control, now: Instant) {
        if !self.gather.is_due(now) {
            return;
        }
        match control.on_window(&self.gather.read(now), now) {
            Next::Wait => {}
            Next::Window => self.gather.restart(now),
            Next::Settle { time, clear } => {
                self.gather.restart(now + time);
                if clear {
                    self.gather.accept_from.store(now.as_nanos(), Relaxed);
                }
            }
        }
        self.limit.store(control.limit(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Gather ===

impl Gather {
    /// Adds an answer; true when the window may be judged.
    fn add(&self, latency: Duration, in_flight: u32, dropped: bool, now: Instant) -> bool {
        let opened = self.opened.load(Relaxed);
        if now.as_nanos() < opened {
            return false;
        }
        self.peak.fetch_max(in_flight, Relaxed);
        if dropped {
            self.dropped.fetch_add(1, Relaxed);
            return self.is_due(now);
        }
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if now.as_nanos().saturating_sub(nanos) < self.accept_from.load(Relaxed) {
            self.stale.fetch_add(1, Relaxed);
            return false;
        }
        let micros = (nanos / 1000).min(60_000_000);
        self.micros.fetch_add(micros, Relaxed);
        self.squares
            .fetch_add((micros >> 3) * (micros >> 3), Relaxed);
        let count = self.count.fetch_add(1, Relaxed) + 1;
        count >= LEAST_COUNT && self.is_due(now)
    }

    fn age(&self, now: Instant) -> Duration {
        now.since(Instant::from_nanos(self.opened.load(Relaxed)))
    }

    fn is_due(&self, now: Instant) -> bool {
        let (age, all) = (
            self.age(now),
            self.count.load(Relaxed) + self.dropped.load(Relaxed),
        );
        age >= LEAST_WINDOW && all >= LEAST_COUNT || age >= LONGEST_WINDOW
    }

    fn read(&self, now: Instant) -> Window {
        let count = self.count.load(Relaxed) as f64;
        let mean = self.micros.load(Relaxed) as f64 / count.max(1.0);
        let square = self.squares.load(Relaxed) as f64 * 64.0 / count.max(1.0);
        let variance = (square - mean * mean).max(0.0) * count / (count - 1.0).max(1.0);
        let age = self.age(now).as_secs_f64();
        Window {
            count,
            dropped: self.dropped.load(Relaxed) as f64,
            stale: self.stale.load(Relaxed) as f64,
            mean: mean * 1e-6,
            error: (variance / count.max(1.0)).sqrt() * 1e-6,
            variance: variance * 1e-12,
            peak: f64::from(self.peak.load(Relaxed)),
            age,
        }
    }

    /// A new window from `opened` on. An answer that comes in between may be lost or counted in the new one.
    fn restart(&self, opened: Instant) {
        self.opened.store(opened.as_nanos(), Relaxed);
        let sums = [&self.count, &self.dropped, &self.micros, &self.squares];
        for sum in sums.into_iter().chain([&self.stale]) {
            sum.store(0, Relaxed);
        }
        self.peak.store(0, Relaxed);
    }
}
