//! Drawing a share of requests: for mirroring, drills and dials.
//!
//! Two ways. [`by_chance`] draws each request anew: right for faults and mirrors, where any request is as good as
//! another. [`by_key`] asks the key's hash, so that the same user is always in or always out, and who was in at 10 % is
//! still in at 20 %. `salt` separates drills from each other: without it, the same users would have all of them.

use crate::balance::hash::combine;
use crate::config::scalar::Percent;
use rand::{Rng, RngExt};

/// Whether this request belongs to `share`. Never at 0 %, always at 100 %.
#[must_use]
pub fn by_chance(share: Percent, rng: &mut impl Rng) -> bool {
    // Draws lie below 1.
    rng.random::<f64>() < share.ratio()
}

/// Whether the requests with this key's hash belong to `share`.
#[must_use]
pub fn by_key(share: Percent, key: u64, salt: u64) -> bool {
    let drawn = (combine(key, salt) >> 11) as f64 / (1u64 << 53) as f64;
    drawn < share.ratio()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn shares_are_met() {
        let mut rng = SmallRng::seed_from_u64(1);
        for percent in [0.0, 0.5, 20.0, 100.0] {
            let share = Percent::new(percent);
            let chance = (0..100_000).filter(|_| by_chance(share, &mut rng)).count();
            let key = (0..100_000).filter(|key| by_key(share, *key, 7)).count();
            for count in [chance, key] {
                assert!(
                    (count as f64 / 1000.0 - percent).abs() < 0.5,
                    "{count} at {percent}%"
                );
            }
        }
    }

    #[test]
    fn a_share_that_grows_keeps_who_was_in() {
        for key in 0..10_000 {
            assert!(!by_key(Percent::new(10.0), key, 1) || by_key(Percent::new(20.0), key, 1));
        }
    }
}
