//! Circuit breaker: how much one endpoint may have in flight.
//!
//! # Problem
//! A server that hangs collects requests until threads, memory and connections are used up on both sides. The
//! limit must hold exactly, and each permit must come back, whatever ends the request: an answer, an abort, a panic.
//!
//! # Choice
//! A counter that is raised only below the limit (compare and swap), and a [`Permit`] that lowers it when it is
//! dropped. The limit may change at any time; when it falls, requests in flight end by themselves, and nobody
//! is let in before the count is below it.
//!
//! # Rejected
//! - Raise, look, lower again: under contention the count is above the limit for moments, and refuses those who fit.
//! - A semaphore: it queues, and waiting has its own place (`queue`) with its own rules.
//!
//! # Limits
//! Per replica: N replicas allow an endpoint N times as much. Names follow Envoy's `circuit_breakers`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A count with a limit. Shared by threads and by configuration generations; all calls are lock-free.
#[derive(Debug)]
pub struct Breaker {
    used: AtomicU32,
    limit: AtomicU32,
}

/// One place in flight; it is free again when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again when the permit is dropped"]
pub struct Permit {
    breaker: Arc<Breaker>,
}

/// The breaker is open: the limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{used} of {limit} in flight")]
pub struct Full {
    /// In flight.
    pub used: u32,
    /// The limit.
    pub limit: u32,
}

// === impl Breaker ===

impl Breaker {
    /// Lets `limit` in at a time; 0 lets nobody in.
    #[must_use]
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU32::new(0),
            limit: AtomicU32::new(limit),
        })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When the limit is reached.
    pub fn acquire(self: &Arc<Self>) -> Result<Permit, Full> {
        self.acquire_within(u32::MAX)
    }

    /// Takes a place within the breaker's limit and another one, such as the adaptive limit's for the request's
    /// priority, in one step.
    ///
    /// # Errors
    /// When the lower one of both is reached.
    pub fn acquire_within(self: &Arc<Self>, other: u32) -> Result<Permit, Full> {
        let limit = self.limit().min(other);
        // Relaxed is enough: the count guards no other memory.
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            (used < limit).then_some(used.saturating_add(1))
        });
        match taken {
            Ok(_) => Ok(Permit {
                breaker: Arc::clone(self),
            }),
            Err(used) => Err(Full { used, limit }),
        }
    }

    /// In flight now.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used.load(Relaxed)
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Changes the limit; who is in stays in.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.used.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
