//! Which of two candidates is the better one.

use super::*;

/// A pool in which candidate `n` has `in_flight[n]` requests; the guards keep them there.
fn busy(policy: Policy, weights: &[u32], in_flight: &[u32]) -> (Balancer, Vec<InFlight>) {
    let balancer = balancer(policy, weights);
    let guards = balancer
        .candidates()
        .iter()
        .zip(in_flight)
        .flat_map(|(c, count)| (0..*count).map(|_| c.load.begin()).collect::<Vec<_>>())
        .collect();
    (balancer, guards)
}

fn observe(balancer: &Balancer, latencies_ms: &[u64]) {
    for (candidate, latency) in balancer.candidates().iter().zip(latencies_ms) {
        candidate.load.observe(Duration::from_millis(*latency), NOW);
    }
}

proptest! {
    #[test]
    fn the_most_loaded_of_all_is_never_chosen(
        policy in prop::sample::select(vec![Policy::P2c, Policy::LeastRequest]),
        count in 2_usize..50,
        seed: u64,
    ) {
        // With a pair that is not distinct it would be, now and then.
        let in_flight: Vec<u32> = (0..count as u32).collect();
        let (balancer, _guards) = busy(policy, &vec![1; count], &in_flight);
        let chosen = counts(&balancer, 2_000, &mut seeded(seed));
        prop_assert_eq!(chosen[count - 1], 0);
    }

    #[test]
    fn of_two_the_less_loaded_for_its_weight_is_chosen(
        policy in prop::sample::select(vec![Policy::P2c, Policy::LeastRequest]),
        weights in prop::array::uniform2(1_u32..10),
        in_flight in prop::array::uniform2(0_u32..50),
        seed: u64,
    ) {
        let (balancer, _guards) = busy(policy, &weights, &in_flight);
        let load = [in_flight[0] * weights[1], in_flight[1] * weights[0]];
        let chosen = counts(&balancer, 200, &mut seeded(seed));
        match load[0].cmp(&load[1]) {
            std::cmp::Ordering::Less => prop_assert_eq!(chosen, [200, 0]),
            std::cmp::Ordering::Greater => prop_assert_eq!(chosen, [0, 200]),
            std::cmp::Ordering::Equal => prop_assert!(chosen.iter().all(|count| *count > 0)),
        }
    }
}

#[test]
fn p2c_prefers_the_faster() {
    let balancer = balancer(Policy::P2c, &[1, 1]);
    observe(&balancer, &[50, 5]);
    assert_eq!(counts(&balancer, 100, &mut seeded(1)), [0, 100]);
}

#[test]
fn p2c_weighs_latency_against_load() {
    let (balancer, _guards) = busy(Policy::P2c, &[1, 1], &[0, 20]);
    observe(&balancer, &[50, 5]);
    assert_eq!(
        counts(&balancer, 100, &mut seeded(1)),
        [100, 0],
        "1 x 50 ms against 21 x 5 ms"
    );
}

#[test]
fn p2c_calls_near_latencies_equal() {
    let balancer = balancer(Policy::P2c, &[1, 3]);
    observe(&balancer, &[20, 25]);
    let chosen = counts(&balancer, 4_000, &mut seeded(1));
    assert!(
        (800..1_200).contains(&chosen[0]),
        "by weight, not by noise: {chosen:?}"
    );
}

#[test]
fn p2c_explores_an_endpoint_that_has_not_answered_yet() {
    let (balancer, _guards) = busy(Policy::P2c, &[1, 1, 1], &[1, 1, 0]);
    observe(&balancer, &[1, 1]);
    let chosen = counts(&balancer, 3_000, &mut seeded(1));
    assert!(
        chosen[2] > 1_800,
        "the new one wins both of its pairs: {chosen:?}"
    );
}

#[test]
fn p2c_does_not_rush_to_an_endpoint_that_has_not_answered_yet() {
    let (balancer, _guards) = busy(Policy::P2c, &[1, 1], &[1, 2]);
    observe(&balancer, &[100]);
    assert_eq!(counts(&balancer, 100, &mut seeded(1)), [100, 0]);
}

#[test]
fn failures_repel() {
    for policy in [Policy::P2c, Policy::LeastRequest] {
        let (balancer, _guards) = busy(policy, &[1, 1], &[2, 0]);
        balancer.candidates()[1].load.penalize(NOW);
        assert_eq!(
            counts(&balancer, 100, &mut seeded(1)),
            [100, 0],
            "{policy:?}"
        );
    }
}

#[test]
fn least_request_scans_a_small_pool() {
    let (balancer, _guards) = busy(Policy::LeastRequest, &[1; 8], &[3, 3, 3, 2, 3, 3, 3, 3]);
    assert_eq!(counts(&balancer, 100, &mut seeded(1))[3], 100);
}
