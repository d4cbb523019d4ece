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
//! - **open**: the limit is far above what was seen under way (2.5 × the peak of the last minutes + 8), and
//!   the latency without queueing is learned in passing, over 15 s. No dip in traffic is needed for that. Once the mean latency
//!   is 1.7 times that, [`watch`] tells a queue from slowness of another cause, before anything is refused.
//! - **limited**, when it is a queue: cut to the product, but by half at most. Then look again:
//!   when fewer requests under way make the answers faster, it was a queue, and the limit is found by
//!   further steps, until answers take 1.25 times as long as without a queue, or 1.125 times where all work takes equally long: waits
//!   are half as long there at the same load (Pollaczek and Khinchine). When it doesn't, the pool has become slower by itself, and
//!   the latency is the new normal.
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
//! - With few workers and very uneven work (5, where one in twenty requests takes 20 times as long) means need
//!   hundreds of answers to be told apart: simulated goodput is 0.6 to 0.9 of the capacity there.
//! - A pool that becomes slower by itself is told from an overloaded one by what its requests met and by whether their number
//!   goes on growing. That is chance in about one of a hundred cases (where one in twenty requests takes 20 times as long: one in ten): then
//!   up to half is shed for about 5 s, until the latency has not responded. The tier above sends those elsewhere.
//! - Latencies below 5 ms are taken as 5 ms, so a fast pool may have a queue of a few milliseconds.
//! - Replicas that share a pool see each other's queues, and what one gives up the others take. So a cut that changes nothing is no
//!   proof of a slower pool where the limit has worked before, and a probe hardly raises the baseline. The sum of their limits is
//!   higher than one replica's would be; simulated p99 of two is 1.8 to 1.9 times the usual, from 3 s after the onset on.
//! - The latency is that of the whole pool: one slow endpoint of many is the balancer's and the outlier
//!   detector's business.
//!
//! # Sources
//! J. Little, 1961; L. Brakmo, *TCP Vegas*, 1994; N. Cardwell, *BBR*, 2016 (throughput × latency as the limit);
//! Envoy `adaptive_concurrency`; Netflix `concurrency-limits`.

mod control;
mod estimate;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod watch;
mod window;

use crate::time::Instant;
use control::{Control, Next};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use window::Gather;

/// A pool's concurrency limit. Shared by threads: reading it is one load, an answer costs five additions to one
/// cache line, and the answer that completes a window takes a lock that is only ever tried.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limit: AtomicU32,
    /// Of the last window, in µs; 0: unknown.
    latency: AtomicU32,
    gather: Gather,
    control: Mutex<Control>,
}

/// How a request that was let in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was answered.
    Answered,
    /// It ran into a time-out or was refused for overload; its latency is not looked at.
    Dropped,
    /// Its client left before.
    Left,
}

/// A request's end, and what was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// From when the request was sent until its end.
    pub latency: Duration,
    /// The pool's requests under way when this one was let in, this one included.
    pub met: u32,
    /// The same now.
    pub in_flight: u32,
    /// How it ended.
    pub end: End,
}

/// The bounds of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The limit never falls below this, from 1.
    pub min: u32,
    /// The limit never rises above this; below `min`, it is taken as `min`.
    pub max: u32,
}

/// What the limit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No queue is seen: nothing is shed, unless far more than ever comes at once.
    Open,
    /// A queue was seen: the limit follows the latency.
    Limited,
    /// The limit is lowered for a moment, to see the latency without a queue.
    Probing,
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

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            min: 2,
            max: 10_000,
        }
    }
}

// === impl Phase ===

impl Phase {
    /// As in the status.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Limited => "limited",
            Self::Probing => "probing",
        }
    }
}

// === impl AdaptiveLimit ===

impl AdaptiveLimit {
    /// A limit that starts open. `seed` spreads the probes of pools and replicas.
    #[must_use]
    pub fn new(rules: Rules, seed: u64, now: Instant) -> Self {
        let control = Control::new(rules, seed);
        let gather = Gather::default();
        gather.restart(now);
        Self {
            limit: AtomicU32::new(control.limit()),
            latency: AtomicU32::new(0),
            gather,
            control: Mutex::new(control),
        }
    }

    /// Requests that may be under way now, at least 1.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// The mean latency of the last answers, at most an hour; none before the first. Reading it is one load.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        let micros = self.latency.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Takes in an answer.
    ///
    /// Not for requests that failed fast (no connection, reset): they tell nothing about the time that work takes.
    pub fn on_sample(&self, sample: &Sample, now: Instant) {
        if !self.gather.add(sample, now) {
            return;
        }
        // Whoever finds the lock taken leaves the window to the thread that has it.
        if let Ok(mut control) = self.control.try_lock() {
            self.judge(&mut control, now);
        }
    }

    /// To be called about once a second: a window is closed although no answers come.
    pub fn tick(&self, now: Instant) {
        if self.gather.is_overdue(now) {
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
                    self.gather.accept_from(now);
                }
            }
        }
        self.limit.store(control.limit(), Relaxed);
        let latency = control.snapshot().latency.unwrap_or_default();
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.latency.store(micros, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
