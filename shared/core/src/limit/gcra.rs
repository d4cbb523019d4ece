//! Rate limits by GCRA: a rate and a burst in one word.
//!
//! # Problem
//! "100 requests a second, 20 at once" per client, exactly, from many threads, with an answer that says when to come back.
//!
//! # Choice
//! The generic cell rate algorithm (ITU-T I.371): the state is the time at which the bucket will be empty again,
//! the *theoretical arrival time*. A request moves it on by one interval, and is refused when it would lie more
//! than burst × interval ahead. One atomic word, a compare and swap, no refilling timer.
//!
//! # Replicas
//! Each of N live replicas ([`super::peers`]) enforces rate ÷ N and burst ÷ N (at least 1). A client's state is a time and burst ×
//! interval stays the same, so a change of N gives nobody a fresh burst. A client whose connections all end on one
//! replica gets less than its rate, then; sharing counts instead would put another service on the path of requests.
//!
//! # Fields
//! `RateLimit-Policy: "name";q=…;w=…` and `RateLimit: "name";r=…;t=…` of draft-ietf-httpapi-ratelimit-headers-10, and
//! `Retry-After` on a refusal. The three fields of the earlier drafts (`RateLimit-Limit`, `-Remaining`, `-Reset`) are left out:
//! their meaning of "reset" differs between implementations. Values are those of this replica's share.
//!
//! # Rejected
//! Token bucket of two words (tokens, time): needs a lock to be exact. Fixed windows: twice the rate at their border.

use crate::time::Instant;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A rate and a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Nanoseconds between two requests at the rate.
    interval: u64,
    /// Requests at one time.
    burst: u32,
}

/// The state of one client: one word.
#[derive(Debug, Default)]
pub struct Bucket {
    arrival: AtomicU64,
}

/// What is left after a request that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Requests that would be let in now.
    pub remaining: u32,
    /// Until the whole burst is there again.
    pub reset: Duration,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Until one request is let in.
    pub retry_after: Duration,
}

/// The value of `RateLimit-Policy`.
#[derive(Debug, Clone, Copy)]
pub struct PolicyField<'a> {
    name: &'a str,
    quota: Quota,
}

/// The value of `RateLimit`.
#[derive(Debug, Clone, Copy)]
pub struct StateField<'a> {
    name: &'a str,
    remaining: u32,
    reset: Duration,
}

// === impl Quota ===

impl Quota {
    /// `requests` in `period`, at most `burst` at one time. Zero is taken as one, and the rate is at most one request
    /// a nanosecond.
    #[must_use]
    pub fn new(requests: u32, period: Duration, burst: u32) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Self {
            interval: (period / u64::from(requests.max(1))).max(1),
            burst: burst.max(1),
        }
    }

    /// This replica's part, when `replicas` are alive (0 is taken as 1).
    #[must_use]
    pub fn divided(self, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        Self {
            interval: self.interval.saturating_mul(u64::from(replicas)),
            burst: (self.burst / replicas).max(1),
        }
    }

    /// Requests at one time.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// The decision over a state: the theoretical arrival time, 0 for a client never seen. On success the new state.
    ///
    /// # Errors
    /// When the burst is used up.
    pub fn decide(self, arrival: u64, now: Instant) -> Result<(u64, Allowed), Limited> {
        let now = now.as_nanos();
        let whole = self.interval.saturating_mul(u64::from(self.burst));
        let next = arrival.max(now).saturating_add(self.interval);
        let ahead = next - now.min(next);
        if ahead > whole {
            return Err(Limited {
                retry_after: Duration::from_nanos(ahead - whole),
            });
        }
        let remaining = u32::try_from((whole - ahead) / self.interval).unwrap_or(u32::MAX);
        let reset = Duration::from_nanos(ahead);
        Ok((next, Allowed { remaining, reset }))
    }

    /// The value of `RateLimit-Policy`. `name` must be free of quotes and backslashes, as route names are.
    #[must_use]
    pub const fn policy_field(self, name: &str) -> PolicyField<'_> {
        PolicyField { name, quota: self }
    }
}

// === impl Bucket ===

impl Bucket {
    /// Takes a request out of the bucket.
    ///
    /// # Errors
    /// When the burst is used up; nothing is taken then.
    pub fn take(&self, quota: Quota, now: Instant) -> Result<Allowed, Limited> {
        let mut seen = self.arrival.load(Relaxed);
        loop {
            let (next, allowed) = quota.decide(seen, now)?;
            match self
                .arrival
                .compare_exchange_weak(seen, next, Relaxed, Relaxed)
            {
                Ok(_) => return Ok(allowed),
                Err(newer) => seen = newer,
            }
        }
    }
}

// === impl Allowed ===

impl Allowed {
    /// The value of `RateLimit`.
    #[must_use]
    pub const fn field<'a>(&self, name: &'a str) -> StateField<'a> {
        StateField {
            name,
            remaining: self.remaining,
            reset: self.reset,
        }
    }
}

// === impl Limited ===

impl Limited {
    /// Whole seconds for `Retry-After`, at least 1.
    #[must_use]
    pub fn retry_after_secs(&self) -> u64 {
        whole_seconds(self.retry_after).max(1)
    }

    /// The value of `RateLimit`.
    #[must_use]
    pub const fn field<'a>(&self, name: &'a str) -> StateField<'a> {
        StateField {
            name,
            remaining: 0,
            reset: self.retry_after,
        }
    }
}

impl fmt::Display for PolicyField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quota { interval, burst } = self.quota;
        let window = Duration::from_nanos(interval.saturating_mul(u64::from(burst)));
        write!(
            f,
            "\"{}\";q={burst};w={}",
            self.name,
            whole_seconds(window).max(1)
        )
    }
}

impl fmt::Display for StateField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reset = whole_seconds(self.reset);
        write!(f, "\"{}\";r={};t={reset}", self.name, self.remaining)
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
#[path = "gcra_tests.rs"]
mod tests;
