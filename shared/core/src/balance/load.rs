//! What one endpoint carries now.
//!
//! **Problem.** Every choice needs the requests in flight, the latency and the recent failures of
//! an endpoint, from many threads, and across reloads: a new configuration must neither forget them
//! nor see a request that began under the old one end twice.
//!
//! **Choice.** One [`Load`] per identity (server in a pool), shared by all configuration
//! generations through an `Arc`. All fields are single atomic words, each consistent in itself;
//! there is no lock. Counting in flight is by a guard, so that a request which is cancelled or
//! unwinds is counted down too. Each `Load` has its own cache line: neighbours' counters must not
//! slow each other.
//!
//! **The pool's sum.** Consistent hashing with bounded load compares an endpoint with its pool, so
//! [`PoolLoad`] counts all requests in flight of a pool: one word that all threads write, twice per
//! request. Rejected: summing all endpoints per pick (linear in the pool), sampling them (64 reads
//! that miss the cache, and still noisy), and a rolling sum kept by the picks (writes a shared word
//! per pick as well, and is late by a round).
//!
//! **Limit.** The pool's sum includes endpoints that are draining or ejected while their last
//! requests end, so the bound is looser, never tighter, in that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::ewma::Estimate;
use super::latency::Latency;
use super::penalty::Penalty;
use crate::time::Instant;

/// The requests in flight to all endpoints of one pool.
#[derive(Debug, Default)]
pub struct PoolLoad {
    in_flight: AtomicU32,
}

/// What one endpoint carries now, shared by all configuration generations.
#[derive(Debug)]
#[repr(align(64))]
pub struct Load {
    in_flight: AtomicU32,
    latency: Latency,
    penalty: Penalty,
    pool: Option<Arc<PoolLoad>>,
}

/// One request in flight; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the request counts as ended when the guard is dropped"]
pub struct InFlight {
    load: Arc<Load>,
}

/// All that a choice looks at, read once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) in_flight: u32,
    pub(super) latency: Estimate,
    pub(super) penalty: f32,
}

// === impl PoolLoad ===

impl PoolLoad {
    /// A pool without requests.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Requests begun and not ended, over all endpoints that were made with
    /// [`Load::in_pool`] of this pool.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

// === impl Load ===

impl Load {
    /// An endpoint that carries nothing, and belongs to no counted pool.
    ///
    /// With hash policies and more than 64 candidates, prefer [`Load::in_pool`]: without the
    /// pool's sum the load bound is estimated from a sample, at a higher cost.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            latency: Latency::new(now),
            penalty: Penalty::default(),
            pool: None,
        }
    }

    /// An endpoint that carries nothing, and whose requests also count in `pool`.
    #[must_use]
    pub fn in_pool(now: Instant, pool: Arc<PoolLoad>) -> Self {
        Self {
            pool: Some(pool),
            ..Self::new(now)
        }
    }

    /// Requests begun and not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one request until the guard is dropped, on whatever path.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some(pool) = &self.pool {
            pool.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        InFlight {
            load: Arc::clone(self),
        }
    }

    /// As [`Load::begin`], unless `limit` requests are in flight: the count never exceeds it. The circuit breaker of an
    /// endpoint, on the count that is kept anyway.
    #[must_use]
    pub fn try_begin(self: &Arc<Self>, limit: u32) -> Option<InFlight> {
        let more = |used: u32| (used < limit).then_some(used.saturating_add(1));
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        if let Some(pool) = &self.pool {
            pool.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Some(InFlight {
            load: Arc::clone(self),
        })
    }

    /// Takes in the latency of an answer that came `now` (the request began that much earlier): up to a peak at once, down with a time constant of
    /// 10 s. A peak that no later request confirms counts for 2 s.
    ///
    /// For successes. A failure goes to [`Load::penalize`], or a server that fails fast would look
    /// fast. A try that timed out may be given to both.
    pub fn observe(&self, latency: Duration, now: Instant) {
        self.latency.observe(latency, now);
        self.penalty.relieve(now);
    }

    /// Counts a failure: the cost jumps to 4 times its value, at most 1024 times, and halves
    /// each 5 s. Ten successes undo it.
    pub fn penalize(&self, now: Instant) {
        self.latency.hold(now);
        self.penalty.add(now);
    }

    /// Forgets failures, because active checks found the endpoint well again. A choice of the better of
    /// two would otherwise leave it out for as long as the penalty lasts, up to 50 s, while its sister
    /// carries everything.
    pub fn forgive(&self) {
        self.penalty.forgive();
    }

    /// The latency expected of the next answer, without the penalty for failures. 30 ms before the
    /// first answer; falls towards 1 ns while nothing is observed.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.latency.read(now).nanos() as u64)
    }

    /// What failures multiply the cost with now, 1 to 1024.
    #[must_use]
    pub fn penalty(&self, now: Instant) -> f64 {
        f64::from(self.penalty_factor(now))
    }

    /// (in flight + 1) × expected latency in nanoseconds × penalty for failures.
    #[must_use]
    pub fn cost(&self, now: Instant) -> f64 {
        let reading = self.read(now);
        (f64::from(reading.in_flight) + 1.0)
            * f64::from(reading.latency.nanos())
            * f64::from(reading.penalty)
    }

    /// The pool in which requests count, too.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<PoolLoad>> {
        self.pool.as_ref()
    }

    pub(super) fn penalty_factor(&self, now: Instant) -> f32 {
        self.penalty.factor(now)
    }

    pub(super) fn read(&self, now: Instant) -> Reading {
        Reading {
            in_flight: self.in_flight(),
            latency: self.latency.read(now),
            penalty: self.penalty.factor(now),
        }
    }
}

// === impl InFlight ===

impl InFlight {
    /// The endpoint's load, for recording the outcome.
    #[must_use]
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(pool) = &self.load.pool {
            pool.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
