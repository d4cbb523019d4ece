//! Slow start: the share of an endpoint that returns.
//!
//! # Problem
//! An endpoint that comes back has cold caches, no connections and nothing in flight, so a choice by load
//! gives it everything: a dead pool's first server back takes up to half of the traffic and falls again.
//!
//! # Choice
//! A factor on its weight that rises from 10 % to 100 % over 30 s, Envoy's formula: time share to the power of
//! 1 ÷ aggression. With aggression 1 it is a line. The ramp applies to weights, so it holds for all policies.
//!
//! # A whole pool returns
//! Shares are weights over the sum of weights. When all return at once all factors are equal and cancel out: nobody
//! ramps, everyone has a fair share, and nothing is lost by normalising. When they return one after the other, the
//! early ones have ramped further and get more; the first alone gets all that comes, for there is nobody
//! else. Keeping it from falling then is the concurrency limit's work, not the ramp's.
//!
//! # Rejected
//! A ramp that sheds what exceeds the share: it would refuse traffic that an idle server could serve.
//!
//! # Limits
//! Weights are whole numbers when tables are built: scale them (by 100, say) before the factor, or 10 % of the
//! weight 1 is 0 or 1. Tables need to be rebuilt as it rises; once a second is enough.

use std::time::Duration;

/// The share at the beginning.
const FIRST: f64 = 0.1;

/// The weight's factor, 0.1 to 1.0: a line from a tenth to all over `window`. A window of zero is no ramp.
#[must_use]
pub fn factor(since_return: Duration, window: Duration) -> f64 {
    factor_with(since_return, window, 1.0)
}

/// [`factor`] with Envoy's `aggression`: above 1.0 it rises sooner, below it later. What is not a positive number is
/// taken as 1.0.
#[must_use]
pub fn factor_with(since_return: Duration, window: Duration, aggression: f64) -> f64 {
    if since_return >= window {
        return 1.0;
    }
    let time = since_return.as_secs_f64() / window.as_secs_f64();
    let is_usable = aggression.is_finite() && aggression > 0.0;
    let risen = if is_usable {
        time.powf(1.0 / aggression)
    } else {
        time
    };
    FIRST + (1.0 - FIRST) * risen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ramp_is_a_line_from_a_tenth() {
        let window = Duration::from_secs(30);
        for (seconds, expected) in [(0, 0.1), (10, 0.4), (15, 0.55), (30, 1.0), (99, 1.0)] {
            let factor = factor(Duration::from_secs(seconds), window);
            assert!((factor - expected).abs() < 1e-9, "{seconds} s: {factor}");
        }
        assert_eq!(factor(Duration::ZERO, Duration::ZERO), 1.0);
    }

    #[test]
    fn a_whole_pool_that_returns_has_fair_shares() {
        let all = [factor(Duration::from_secs(3), Duration::from_secs(30)); 5];
        let share = all[0] / all.iter().sum::<f64>();
        assert!((share - 0.2).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn it_never_falls_and_stays_in_its_range(
            a in 0u64..100_000, b in 0u64..100_000, window in 0u64..100_000, aggression in -1.0f64..10.0
        ) {
            let at = |ms: u64| factor_with(Duration::from_millis(ms), Duration::from_millis(window), aggression);
            prop_assert!((0.1..=1.0).contains(&at(a)));
            prop_assert!(at(a.min(b)) <= at(a.max(b)));
        }
    }
}
