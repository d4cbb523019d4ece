//! How traffic is shared among idle candidates.

use super::*;

/// Whether counts deviate from the weights by no more than chance allows (odds 2e-9).
fn fits_by_chance(counts: &[u32], weights: &[u32]) -> bool {
    let picks: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let chi_square: f64 = counts
        .iter()
        .zip(weights)
        .map(|(count, weight)| {
            let expected = picks * f64::from(*weight) / total;
            (f64::from(*count) - expected).powi(2) / expected
        })
        .sum();
    let freedom = counts.len() as f64;
    // Laurent and Massart's bound of the tail, with 20 for the exponent.
    chi_square < freedom + 2.0 * (20.0 * freedom).sqrt() + 40.0
}

/// The largest relative deviation of any share.
fn worst_deviation(counts: &[u32], weights: &[u32]) -> f64 {
    let picks: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let deviation = |(count, weight): (&u32, &u32)| {
        let expected = picks * f64::from(*weight) / total;
        (f64::from(*count) / expected - 1.0).abs()
    };
    counts
        .iter()
        .zip(weights)
        .map(deviation)
        .fold(0.0, f64::max)
}

/// The longest run of one value in an endlessly repeated sequence, per value.
fn longest_runs(sequence: &[usize], values: usize) -> Vec<usize> {
    let mut longest = vec![0; values];
    let mut run = 0;
    let mut previous = None;
    for at in sequence.iter().chain(sequence) {
        run = if previous == Some(at) { run + 1 } else { 1 };
        previous = Some(at);
        longest[*at] = longest[*at].max(run);
    }
    longest
}

proptest! {
    #[test]
    fn random_draws_share_by_weight(
        policy in prop::sample::select(vec![Policy::P2c, Policy::LeastRequest, Policy::Random]),
        weights in prop::collection::vec(1_u32..20, 1..12),
        seed: u64,
    ) {
        let counts = counts(&balancer(policy, &weights), 5_000, &mut seeded(seed));
        prop_assert!(fits_by_chance(&counts, &weights), "{counts:?} for {weights:?}");
    }

    #[test]
    fn round_robin_is_exact_in_each_round(
        weights in prop::collection::vec(1_u32..50, 1..12),
        factor in 1_u32..1_000,
        seed: u64,
    ) {
        let scaled: Vec<u32> = weights.iter().map(|weight| weight * factor).collect();
        let round: u32 = weights.iter().sum();
        let counts = counts(&balancer(Policy::RoundRobin, &scaled), round as usize, &mut seeded(seed));
        prop_assert_eq!(counts, weights);
    }

    #[test]
    fn round_robin_never_bursts_more_than_weights_force(
        weights in prop::collection::vec(1_u32..50, 2..12),
        seed: u64,
    ) {
        let balancer = balancer(Policy::RoundRobin, &weights);
        let mut rng = seeded(seed);
        let round: u32 = weights.iter().sum();
        let sequence: Vec<usize> =
            (0..round).map(|_| balancer.pick(None, &[], NOW, &mut rng).unwrap()).collect();
        for (at, run) in longest_runs(&sequence, weights.len()).into_iter().enumerate() {
            let others = weights.iter().enumerate().filter(|(other, _)| *other != at);
            let heaviest = others.map(|(_, weight)| *weight).max().unwrap();
            let bound = (weights[at] / heaviest + 1) as usize;
            prop_assert!(run <= bound, "{run} turns of {at} in a row, weights {weights:?}");
        }
    }

    #[test]
    fn round_robin_with_equal_weights_never_repeats(
        count in 2_usize..100,
        weight in 1_u32..1_000,
        seed: u64,
    ) {
        let balancer = balancer(Policy::RoundRobin, &vec![weight; count]);
        let mut rng = seeded(seed);
        let mut previous = None;
        for _ in 0..3 * count {
            let at = balancer.pick(None, &[], NOW, &mut rng);
            prop_assert_ne!(at, previous);
            previous = at;
        }
    }

    #[test]
    fn rendezvous_shares_by_weight(
        weights in prop::collection::vec(1_u32..20, 1..12),
        seed: u64,
    ) {
        let counts = counts(&balancer(Policy::Rendezvous, &weights), 5_000, &mut seeded(seed));
        prop_assert!(fits_by_chance(&counts, &weights), "{counts:?} for {weights:?}");
    }
}

#[test]
fn maglev_shares_by_weight() {
    for weights in [&[1; 10][..], &[1, 2, 3, 4], &[1, 100], &[7]] {
        let counts = counts(&balancer(Policy::Maglev, weights), 20_000, &mut seeded(1));
        assert!(
            fits_by_chance(&counts, weights),
            "{counts:?} for {weights:?}"
        );
    }
}

#[test]
fn ring_shares_by_weight_but_scatters() {
    for weights in [&[1; 10][..], &[1, 2, 3, 4], &[1, 20], &[7]] {
        let counts = counts(&balancer(Policy::RingHash, weights), 50_000, &mut seeded(1));
        let deviation = worst_deviation(&counts, weights);
        assert!(
            deviation < 0.25,
            "{deviation} for {weights:?}: three times the 8 % of 160 points"
        );
    }
}

#[test]
fn every_policy_uses_all_of_a_large_pool() {
    for policy in Policy::ALL
        .into_iter()
        .filter(|policy| *policy != Policy::Rendezvous)
    {
        let counts = counts(&balancer(policy, &[1; 2_000]), 60_000, &mut seeded(2));
        let unused = counts.iter().filter(|count| **count == 0).count();
        assert_eq!(unused, 0, "{policy:?}");
    }
}

#[test]
fn round_robin_keeps_shares_of_weights_that_add_up_to_too_many_turns() {
    let weights: Vec<u32> = (0..100).map(|number| 99_991 + 1_009 * number).collect();
    let counts = counts(
        &balancer(Policy::RoundRobin, &weights),
        16_384,
        &mut seeded(3),
    );
    let deviation = worst_deviation(&counts, &weights);
    assert!(
        deviation < 0.012,
        "{deviation}: a turn of the least weight is 1 of 109"
    );
}

#[test]
fn extreme_weights_build_and_pick() {
    for policy in Policy::ALL {
        let balancer = balancer(policy, &[u32::MAX, 1, u32::MAX, 1, 7]);
        let counts = counts(&balancer, 10_000, &mut seeded(4));
        let light = f64::from(counts[1] + counts[3] + counts[4]) / 10_000.0;
        assert!(light < 0.01, "{policy:?}: {counts:?}");
    }
}

#[test]
fn replicas_start_round_robin_at_different_places() {
    let first = |seed| {
        balancer(Policy::RoundRobin, &[1; 1_000])
            .pick(None, &[], NOW, &mut seeded(seed))
            .unwrap()
    };
    let mut firsts: Vec<usize> = (0..20).map(first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert!(firsts.len() > 15, "{firsts:?}");
}
