//! A rate limit for each client, in bounded memory.
//!
//! # Problem
//! Clients are without number and some are hostile: a table keyed by their address must not grow, must not lock all
//! threads against each other, and must not let a flood of made-up keys wash out who is being limited.
//!
//! # Choice
//! A table of sets, as in a processor's cache: a key's hash names its set of eight places, each set has its
//! own small lock, held for eight comparisons. A full set gives up the place whose bucket is emptiest. A bucket
//! that has run empty is the same as none, so with enough room for the clients of one period nothing is ever lost;
//! and a flood of new keys, each with one request, displaces other new keys before it displaces anybody who is
//! near the limit. Memory is allocated once.
//!
//! # Rejected
//! A map with a list by last use (LRU): twice the memory, pointers to follow, one lock for the order; and under a flood
//! the client who pauses longest is forgotten, which is just who obeys `Retry-After`.
//!
//! # Limits
//! Keys are compared by their 64-bit hash, seeded by the process: two clients share a bucket once in
//! 2^64 ÷ clients, and nobody outside can aim at another's. After a restart everyone has a full burst.

use super::gcra::{Allowed, Limited, Quota};
use crate::balance::hash::mix;
use crate::time::Instant;
use std::sync::{Mutex, PoisonError};
use twox_hash::XxHash3_64;

/// Places of a set.
const WAYS: usize = 8;

/// Buckets by key. Shared by threads.
#[derive(Debug)]
pub struct Keyed {
    sets: Box<[Mutex<Set>]>,
    seed: u64,
}

/// Keys and their theoretical arrival times; 0 is a free place.
#[derive(Debug, Default)]
struct Set {
    places: [(u64, u64); WAYS],
}

// === impl Keyed ===

impl Keyed {
    /// Room for at least `keys` clients, 24 bytes each or less; rounded up to a power of two. At most 2^24.
    /// `seed` should be random, and another one in each process.
    #[must_use]
    pub fn new(keys: usize, seed: u64) -> Self {
        let sets = keys.min(1 << 24).div_ceil(WAYS).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            seed,
        }
    }

    /// The key of a client's address, header value or path. Different kinds or routes differ by `domain`.
    #[must_use]
    pub fn key(&self, domain: u64, bytes: &[u8]) -> u64 {
        XxHash3_64::oneshot_with_seed(self.seed ^ mix(domain), bytes)
    }

    /// Takes a request out of the bucket of `key`.
    ///
    /// # Errors
    /// When its burst is used up.
    pub fn take(&self, key: u64, quota: Quota, now: Instant) -> Result<Allowed, Limited> {
        let index = (mix(key) as usize) & (self.sets.len() - 1);
        let Some(set) = self.sets.get(index) else {
            return quota.decide(0, now).map(|(_, allowed)| allowed);
        };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let place = set.place(key);
        let (next, allowed) = quota.decide(place.1, now)?;
        *place = (key, next);
        Ok(allowed)
    }

    /// Keys that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }
}

// === impl Set ===

impl Set {
    /// The key's place; for a new key an empty one, at the place that is given up for it.
    fn place(&mut self, key: u64) -> &mut (u64, u64) {
        let known = self
            .places
            .iter()
            .position(|(held, arrival)| *held == key && *arrival != 0);
        let emptiest = || {
            let by_arrival = self
                .places
                .iter()
                .enumerate()
                .min_by_key(|(_, place)| place.1);
            by_arrival.map_or(0, |(at, _)| at)
        };
        let at = known.unwrap_or_else(emptiest);
        // The remainder tells the compiler that `at` is a place.
        let place = &mut self.places[at % WAYS];
        if known.is_none() {
            *place = (key, 0);
        }
        place
    }
}

#[cfg(test)]
#[path = "keyed_tests.rs"]
mod tests;
