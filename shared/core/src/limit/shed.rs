//! Who is let in when not all can be: by priority.
//!
//! # Problem
//! A pool at its limit has to refuse somebody. By chance, it refuses the checkout as often as the prefetch.
//!
//! # Choice
//! Each priority may fill the limit up to its own share: sheddable 70 %, displaced 90 %, default 95 %, critical all of it. Below 70 %
//! nobody is refused; then prefetches go first, and ordinary requests leave a twentieth for the critical
//! ones, which are few by their nature (logins, payments, health). A twentieth is small because it is lost to
//! everyone while no critical ones come; it is one place at least, when the limit has two.
//! Displaced are ordinary requests whose own region can't serve them: the global tier marks them, so that a region which takes
//! them in refuses them before its own users.
//! The count is one, so a priority can't starve another by more than its own share.
//!
//! # Rejected
//! - DAGOR's levels, adjusted by feedback each second: finer, but slower than the limit itself, which moves each 50 ms.
//! - Shedding by probability (Netflix's cubic function of the load): sheds some although there is room.
//!
//! # Limits
//! Priorities come from trusted peers only (`x-lb-priority`); users can't raise theirs. Whoever is refused gets
//! `Retry-After` from 1 to 3 s at random, so that they don't come back together.
//!
//! # Sources
//! H. Zhou, *Overload control for scaling WeChat microservices* (DAGOR), 2018; Netflix, prioritised load shedding.

use crate::breaker::{Breaker, Full, Permit};
pub use crate::http::tier::Priority;
use rand::{Rng, RngExt};
use std::sync::Arc;

/// A refusal for want of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Requests in flight.
    pub used: u32,
    /// Those that this priority allows.
    pub limit: u32,
    /// The priority.
    pub priority: Priority,
}

// === impl Priority ===

impl Priority {
    /// The part of `limit` that this priority may fill: at least 1, as long as the limit is.
    #[must_use]
    pub fn share_of(self, limit: u32) -> u32 {
        let percent: u64 = match self {
            Self::Sheddable => 70,
            Self::Displaced => 90,
            Self::Default => 95,
            Self::Critical => 100,
        };
        let share = u64::from(limit) * percent / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(limit.min(1))
    }
}

/// Lets a request into a pool whose in-flight requests `pool` counts, within the adaptive `limit`.
///
/// # Errors
/// When the share of the priority is used up.
pub fn admit(pool: &Arc<Breaker>, limit: u32, priority: Priority) -> Result<Permit, Shed> {
    let share = priority.share_of(limit);
    pool.acquire_within(share)
        .map_err(|Full { used, limit }| Shed {
            used,
            limit,
            priority,
        })
}

/// Seconds for `Retry-After`: 1 to 3 at random.
#[must_use]
pub fn retry_after(rng: &mut impl Rng) -> u32 {
    rng.random_range(1..=3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_unimportant_are_refused_first() {
        let pool = Breaker::new(u32::MAX);
        let mut held = Vec::new();
        let mut fill = |priority| {
            while let Ok(permit) = admit(&pool, 100, priority) {
                held.push(permit);
            }
            held.len()
        };
        assert_eq!(fill(Priority::Sheddable), 70);
        assert_eq!(fill(Priority::Displaced), 90);
        assert_eq!(fill(Priority::Default), 95);
        assert_eq!(fill(Priority::Critical), 100);
        let shed = admit(&pool, 100, Priority::Default).unwrap_err();
        assert_eq!((shed.used, shed.limit), (100, 95));
    }

    proptest! {
        #[test]
        fn shares_are_ordered_and_never_empty(limit in 0u32..) {
            let shares = Priority::ALL.map(|p| p.share_of(limit));
            prop_assert!(shares.is_sorted() && shares[3] == limit);
            prop_assert!(limit == 0 || shares[0] >= 1);
        }
    }
}
