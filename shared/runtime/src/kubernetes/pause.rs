//! How long an API server is left alone after a fault.
//!
//! Any time up to a limit that doubles from 1 s to 30 s, and at least what the API server asks for: replicas that lost it at one moment
//! come back one by one, not in waves, and one that is overloaded is left alone. Whoever lost it only for a moment is back after half
//! a second on average.
//!
//! # Source
//! Brooker, "Exponential backoff and jitter", 2015: "full jitter".

use rand::{Rng, RngExt};
use std::time::Duration;

/// The most that the first one takes, and any.
const FIRST: Duration = Duration::from_secs(1);
pub(super) const MOST: Duration = Duration::from_secs(30);
/// The least: a fault that comes at once makes no loop.
const LEAST: Duration = Duration::from_millis(50);

/// The pauses after one fault after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    most: Duration,
}

// === impl Pauses ===

impl Pauses {
    pub(super) const fn new() -> Self {
        Self { most: FIRST }
    }

    /// The next one. `asked` is what the API server asks for, and all whom it refuses: each adds a little of its own.
    pub(super) fn next(&mut self, asked: Duration, rng: &mut impl Rng) -> Duration {
        let own = self.most.mul_f64(rng.random_range(0.0..1.0)).max(LEAST);
        self.most = (self.most * 2).min(MOST);
        if asked.is_zero() {
            own
        } else {
            own.max(asked + own.min(FIRST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn pauses_grow_spread_and_end() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [MOST; 8];
        for _ in 0..1000 {
            let mut pauses = Pauses::new();
            for (most, least) in longest.iter_mut().zip(&mut shortest) {
                let pause = pauses.next(Duration::ZERO, &mut rng);
                assert!(pause >= LEAST && pause <= MOST, "{pause:?}");
                (*most, *least) = ((*most).max(pause), (*least).min(pause));
            }
        }
        for (at, (longest, shortest)) in longest.iter().zip(shortest).enumerate() {
            let limit = (FIRST * (1 << at)).min(MOST);
            assert!(
                *longest > limit.mul_f64(0.95) && *longest <= limit,
                "{at}: {longest:?}"
            );
            assert!(shortest < limit.mul_f64(0.06), "{at}: {shortest:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_waited_for() {
        let mut rng = SmallRng::seed_from_u64(1);
        let asked = Duration::from_secs(60);
        let mut pauses = Pauses::new();
        let mut all = (0..20).map(|_| pauses.next(asked, &mut rng));
        assert!(all.all(|pause| pause >= asked && pause <= asked + FIRST));
    }
}
