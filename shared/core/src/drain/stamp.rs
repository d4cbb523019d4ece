//! A hybrid logical clock: stamps that order writes of several replicas.
//!
//! # Problem
//! Two replicas take orders for the same region at nearly one time, and their clocks differ by some milliseconds. All must come to
//! the same result, whoever hears of which order first; and an order that was given with another one in view must win over it.
//!
//! # Choice
//! A stamp is the wall clock, a counter, and the replica's name. A replica never gives a stamp that isn't above all that it has
//! seen, so cause comes before effect although clocks differ; and stamps stay within the clocks' difference of true time, so that
//! people can read them.
//!
//! # Rejected
//! Wall clocks alone (a replica whose clock is behind would never win); Lamport counters (nobody can read them).
//!
//! # Limits
//! A stamp that is further ahead than [`MOST_AHEAD`] is refused: one broken clock must not decide for ever.
//!
//! # Source
//! S. Kulkarni, M. Demirbas et al., *Logical Physical Clocks*, 2014.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far another replica's clock may be ahead, in milliseconds.
pub const MOST_AHEAD: u64 = 60_000;

/// When and where something was written. Totally ordered, and no two writes have the same.
#[derive(
    Debug,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
pub struct Stamp {
    /// Milliseconds since 1970 by the writer's clock, or the largest that it has seen.
    pub wall_ms: u64,
    /// Counts writes within a millisecond.
    pub counter: u32,
    /// The writing replica.
    pub replica: String,
}

/// Gives stamps.
#[derive(Debug)]
pub struct Clock {
    last: (u64, u32),
    replica: String,
}

/// A stamp is too far ahead of this replica's clock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "replica {replica} is {ahead_ms} ms ahead of this one: set their clocks (NTP), {MOST_AHEAD} ms are tolerated"
)]
pub struct Ahead {
    /// Who wrote it.
    pub replica: String,
    /// How far it is ahead, in milliseconds.
    pub ahead_ms: u64,
}

// === impl Stamp ===

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.wall_ms, self.counter, self.replica)
    }
}

// === impl Clock ===

impl Clock {
    /// The clock of a replica.
    #[must_use]
    pub const fn new(replica: String) -> Self {
        Self {
            last: (0, 0),
            replica,
        }
    }

    /// A stamp above all that were given or seen. `wall_ms` is the time since 1970.
    pub fn give(&mut self, wall_ms: u64) -> Stamp {
        let (wall, counter) = self.last;
        self.last = match counter.checked_add(1) {
            _ if wall_ms > wall => (wall_ms, 0),
            Some(counter) => (wall, counter),
            None => (wall.saturating_add(1), 0),
        };
        Stamp {
            wall_ms: self.last.0,
            counter: self.last.1,
            replica: self.replica.clone(),
        }
    }

    /// A stamp above `stamp`, which may be of a broken clock: those that are given later stay near true time.
    #[must_use]
    pub fn above(&self, stamp: &Stamp) -> Stamp {
        let counter = stamp.counter.checked_add(1);
        Stamp {
            wall_ms: stamp.wall_ms.saturating_add(u64::from(counter.is_none())),
            counter: counter.unwrap_or(0),
            replica: self.replica.clone(),
        }
    }

    /// Takes in another replica's stamp.
    ///
    /// # Errors
    /// [`Ahead`] when it is too far in the future; it changes nothing then.
    pub fn see(&mut self, stamp: &Stamp, wall_ms: u64) -> Result<(), Ahead> {
        let ahead_ms = stamp.wall_ms.saturating_sub(wall_ms);
        if ahead_ms > MOST_AHEAD {
            return Err(Ahead {
                replica: stamp.replica.clone(),
                ahead_ms,
            });
        }
        self.last = self.last.max((stamp.wall_ms, stamp.counter));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_seen_is_below_what_is_given(
            steps in proptest::collection::vec((0usize..3, 0usize..3, 0u64..5), 1..200)
        ) {
            let mut clocks: Vec<Clock> = (0..3).map(|i| Clock::new(format!("r{i}"))).collect();
            let skew = [0, 20_000, 500];
            let (mut time, mut all) = (1_000_000, Vec::new());
            for (from, to, gap) in steps {
                time += gap;
                let stamp = clocks[from].give(time + skew[from]);
                prop_assert!(!all.contains(&stamp), "no two writes have the same");
                clocks[to].see(&stamp, time + skew[to]).expect("within bounds");
                let next = clocks[to].give(time + skew[to]);
                prop_assert!(next > stamp);
                all.extend([stamp, next]);
            }
        }
    }

    #[test]
    fn a_broken_clock_does_not_decide_for_ever() {
        let mut clock = Clock::new("a".to_owned());
        let far = Clock::new("b".to_owned()).give(1_000_000 + MOST_AHEAD + 1);
        let error = clock.see(&far, 1_000_000).unwrap_err();
        assert!(error.to_string().contains("NTP"), "{error}");
        assert_eq!(clock.give(1_000_000).wall_ms, 1_000_000);
    }

    #[test]
    fn a_clock_set_back_goes_on_counting() {
        let mut clock = Clock::new("a".to_owned());
        let before = clock.give(5_000);
        let after = clock.give(1_000);
        assert!(after > before);
        assert_eq!((after.wall_ms, after.counter), (5_000, 1));
    }
}
