//! Who is let in to a pool, and what becomes of those who don't fit.
//!
//! # Problem
//! A pool that takes more than it can serve answers nobody in time. And each place that is taken must come back,
//! whatever ends the request: an answer, a reset, a client that leaves, a panic.
//!
//! # Choice
//! One [`Admission`] for a pool's name, shared by all configuration generations: what was learned about the pool, and
//! what is counted, survives a reload. A request takes an [`Entry`] for as long as it waits for its response's head;
//! that is what the adaptive limit counts, as the latency it judges is that of the head too, and Little's law holds only
//! for the two together. Long downloads, event streams and tunnels so take no place of the limit once they run; each
//! try also holds a [`Place`] at its endpoint until the end of its bytes, and the endpoint's circuit breaker counts those.
//! Both come back by their `Drop`, which also hands the place to the next one who waits ([`waiting`]).
//!
//! The fast path takes two compare-and-swaps and allocates nothing; the queue's lock is taken only while somebody waits.
//!
//! # Rejected
//! - Counting until the response's end: ten websockets would use up the limit of a pool that is busy with nothing.
//! - A semaphore: it has no priorities, and its limit can't follow the latency.
//!
//! # Limits
//! Per replica: each finds its own limit of a shared pool. An upload takes its entry only when its body is complete (see
//! `exchange/admission.rs`), so many that begin at one time may exceed the limit.

mod gauge;
mod waiting;

pub use gauge::{AdmissionMetrics, Snapshot};
pub(crate) use waiting::Need;

use super::Endpoint;
use lb_core::balance::InFlight;
use lb_core::breaker::{Breaker, Permit};
use lb_core::limit::gradient::{AdaptiveLimit, End, Rules, Sample};
use lb_core::limit::shed::{self, Priority};
use lb_core::time::Instant;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// What the configuration says of a pool's limits. The default limits nothing, as at the global tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Bounds of the adaptive limit; none: it is off.
    pub adaptive: Option<Rules>,
    /// Requests under way to one endpoint.
    pub max_in_flight: u32,
    /// Requests that may wait for a place.
    pub max_pending: u32,
    /// How long each may wait.
    pub max_wait: Duration,
}

/// A pool's places. Belongs to the pool's name.
#[derive(Debug)]
pub struct Admission {
    /// Requests that wait for their response's head.
    count: Arc<Breaker>,
    limit: AdaptiveLimit,
    is_adaptive: AtomicBool,
    /// Per endpoint.
    max_in_flight: AtomicU32,
    /// Those who wait for a place within the limit …
    queue: waiting::Queue,
    /// … and for an endpoint with room.
    full: waiting::Queue,
    gauge: gauge::Gauge,
}

/// A request that was let in and waits for its response's head.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub(crate) struct Entry {
    permit: Option<Permit>,
    /// Requests under way when it was let in.
    met: u32,
    admission: Arc<Admission>,
}

/// A try at an endpoint, until its last byte.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub(crate) struct Place {
    in_flight: Option<InFlight>,
    admission: Arc<Admission>,
}

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The limit is reached, and so is that of those who wait.
    Limit,
    /// Every endpoint is full, and so is the queue.
    Endpoints,
    /// No place was free within the longest wait.
    Wait,
    /// No place was free within the request's deadline.
    Deadline,
    /// This process refuses new work.
    Process,
}

// === impl Protection ===

impl Default for Protection {
    fn default() -> Self {
        Self {
            adaptive: None,
            max_in_flight: u32::MAX,
            max_pending: 0,
            max_wait: Duration::ZERO,
        }
    }
}

impl From<&lb_core::config::model::Pool> for Protection {
    fn from(pool: &lb_core::config::model::Pool) -> Self {
        let (adaptive, breaker) = (&pool.adaptive_concurrency, &pool.circuit_breaker);
        Self {
            adaptive: adaptive.enabled.then_some(Rules {
                min: adaptive.min_limit,
                max: adaptive.max_limit,
            }),
            max_in_flight: breaker.max_in_flight,
            max_pending: breaker.max_pending,
            max_wait: breaker.max_wait.get(),
        }
    }
}

// === impl Admission ===

impl Admission {
    /// Places under `protection`. `seed` spreads what the pools of all replicas do from time to time.
    #[must_use]
    pub fn new(
        protection: &Protection,
        metrics: AdmissionMetrics,
        seed: u64,
        now: Instant,
    ) -> Arc<Self> {
        let rules = protection.adaptive.unwrap_or_default();
        Arc::new(Self {
            count: Breaker::new(u32::MAX),
            limit: AdaptiveLimit::new(rules, seed, now),
            is_adaptive: AtomicBool::new(protection.adaptive.is_some()),
            max_in_flight: AtomicU32::new(protection.max_in_flight),
            queue: waiting::Queue::new(protection.max_pending, protection.max_wait),
            full: waiting::Queue::new(protection.max_pending, protection.max_wait),
            gauge: gauge::Gauge::new(metrics),
        })
    }

    /// Takes over a changed configuration; what is known of the pool stays.
    pub fn reconfigure(&self, protection: &Protection) {
        if let Some(rules) = protection.adaptive {
            self.limit.reconfigure(rules);
        }
        self.is_adaptive
            .store(protection.adaptive.is_some(), Relaxed);
        self.max_in_flight.store(protection.max_in_flight, Relaxed);
        for queue in [&self.queue, &self.full] {
            queue.reconfigure(protection.max_pending, protection.max_wait);
        }
    }

    /// Requests that may wait for their response's head at a time; none: as many as come.
    #[must_use]
    pub fn limit(&self) -> Option<u32> {
        self.is_adaptive.load(Relaxed).then(|| self.limit.limit())
    }

    /// Requests that wait for their response's head.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.count.used()
    }

    /// Lets a request in, when there is a place and nobody waits for it.
    pub(crate) fn enter(self: &Arc<Self>, priority: Priority) -> Option<Entry> {
        if self.queue.is_used() {
            return None;
        }
        self.take(priority)
    }

    /// Counts a request that is at work already, whatever the limit.
    pub(crate) fn enter_anyway(self: &Arc<Self>) -> Entry {
        Entry {
            permit: self.count.acquire().ok(),
            met: self.in_flight(),
            admission: Arc::clone(self),
        }
    }

    /// Whether a request of this priority would be let in now without a wait.
    #[must_use]
    pub fn has_room(&self, priority: Priority) -> bool {
        let limit = self.limit().unwrap_or(u32::MAX);
        self.in_flight() < priority.share_of(limit)
    }

    /// Begins a try at `endpoint`, unless as many are under way there as may be.
    pub(crate) fn begin(self: &Arc<Self>, endpoint: &Endpoint) -> Option<Place> {
        let limit = self.max_in_flight.load(Relaxed);
        let in_flight = endpoint.load.try_begin(limit)?;
        Some(self.place(in_flight))
    }

    /// Begins a try whatever is under way.
    pub(crate) fn begin_anyway(self: &Arc<Self>, endpoint: &Endpoint) -> Place {
        self.place(endpoint.load.begin())
    }

    /// Requests that may be under way at one endpoint.
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        self.max_in_flight.load(Relaxed)
    }

    /// Counts a refusal.
    pub fn shed(&self, priority: Priority, cause: Cause) {
        self.gauge.shed(priority, cause);
    }

    /// To be called on the control thread's tick.
    pub fn tick(&self, now: Instant) {
        if self.is_adaptive.load(Relaxed) {
            self.limit.tick(now);
        }
        self.gauge.look(self, now);
    }

    fn take(self: &Arc<Self>, priority: Priority) -> Option<Entry> {
        let limit = self.limit().unwrap_or(u32::MAX);
        let permit = shed::admit(&self.count, limit, priority).ok()?;
        Some(Entry {
            permit: Some(permit),
            met: self.in_flight(),
            admission: Arc::clone(self),
        })
    }

    fn place(self: &Arc<Self>, in_flight: InFlight) -> Place {
        Place {
            in_flight: Some(in_flight),
            admission: Arc::clone(self),
        }
    }
}

// === impl Entry ===

impl Entry {
    /// The response's head has come, `latency` after the request was complete.
    pub(crate) fn answered(&self, latency: Duration, now: Instant) {
        self.sample(latency, End::Answered, now);
    }

    /// The request ran into a time-out, or the endpoint refused it for overload.
    pub(crate) fn dropped(&self, now: Instant) {
        self.sample(Duration::ZERO, End::Dropped, now);
    }

    /// The client left, `waited` after the request was sent.
    pub(crate) fn left(&self, waited: Duration, now: Instant) {
        self.sample(waited, End::Left, now);
    }

    fn sample(&self, latency: Duration, end: End, now: Instant) {
        let admission = &self.admission;
        if admission.is_adaptive.load(Relaxed) {
            let sample = Sample {
                latency,
                met: self.met,
                in_flight: admission.in_flight(),
                end,
            };
            admission.limit.on_sample(&sample, now);
        }
    }
}

impl Entry {
    /// Gives the place back before a try was made. That frees no endpoint, so nobody is woken who waits for one: they would
    /// wake each other for ever.
    pub(crate) fn forfeit(mut self) {
        self.permit = None;
        self.admission.note_free(Need::Limit);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.permit.take().is_some() {
            self.admission.note_free(Need::Limit);
            self.admission.note_free(Need::Endpoint);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_flight = None;
        self.admission.note_free(Need::Endpoint);
    }
}

// === impl Cause ===

impl Cause {
    /// Every cause, for the registration of metrics.
    pub const ALL: [Self; 5] = [
        Self::Limit,
        Self::Endpoints,
        Self::Wait,
        Self::Deadline,
        Self::Process,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Endpoints => "endpoints",
            Self::Wait => "wait",
            Self::Deadline => "deadline",
            Self::Process => "process",
        }
    }
}
