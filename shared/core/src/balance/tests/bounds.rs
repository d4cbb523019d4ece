//! What a pick never does: return a tried endpoint, or overload one for the sake of a key.

use super::*;

/// The bound of a candidate when `total` requests are in flight; four are always allowed.
fn bound(all: &[Candidate], at: usize, total: usize) -> u32 {
    let weights: f64 = all.iter().map(|c| f64::from(c.weight.get())).sum();
    (1.25 * total as f64 * f64::from(all[at].weight.get()) / weights)
        .ceil()
        .max(4.0) as u32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tried_endpoints_are_never_returned(
        policy in any_policy(),
        weights in prop::collection::vec(prop_oneof![4 => 1_u32..10, 1 => 1_000_u32..100_000], 0..12),
        tried in prop::collection::vec(0_u32..12, 0..12),
        seed: u64,
    ) {
        let balancer = balancer(policy, &weights);
        let tried: Vec<EndpointId> = tried.into_iter().map(EndpointId).collect();
        let left = balancer.candidates().iter().filter(|c| !tried.contains(&c.id)).count();
        let mut rng = seeded(seed);
        for key in 0..50 {
            match balancer.pick(Some(key), &tried, NOW, &mut rng) {
                Some(at) => prop_assert!(!tried.contains(&balancer.candidates()[at].id)),
                None => prop_assert_eq!(left, 0, "an untried endpoint was not found"),
            }
        }
    }

    #[test]
    fn hashing_keeps_the_load_bound(
        policy in hash_policy(),
        weights in prop::collection::vec(1_u32..10, 1..30),
        counted: bool,
        keys in 1_u64..5,
        seed: u64,
    ) {
        let mut all = candidates(&weights);
        if !counted {
            all.iter_mut().for_each(|c| c.load = Arc::new(Load::new(NOW)));
        }
        let balancer = Balancer::new(policy, all);
        let all = balancer.candidates();
        let mut rng = seeded(seed);
        let mut running = Vec::new();
        for _ in 0..300 {
            // Three begin for each two that end, all with the same few keys.
            if rng.next_u64() % 5 < 2 && !running.is_empty() {
                drop(running.swap_remove(rng.next_u64() as usize % running.len()));
                continue;
            }
            let at = balancer.pick(Some(rng.next_u64() % keys), &[], NOW, &mut rng).unwrap();
            running.push(all[at].load.begin());
            let (held, bound) = (all[at].load.in_flight(), bound(all, at, running.len()));
            // A walk that meets only full ones takes the least loaded of those that it met.
            let slack = 1 + bound / 4;
            prop_assert!(held <= bound + slack, "{held} in flight, bound {bound}, of {}", running.len());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_trace(
        policy in any_policy(),
        weights in prop::collection::vec(1_u32..10, 1..30),
        seed: u64,
    ) {
        let trace = || {
            let balancer = balancer(policy, &weights);
            let mut rng = seeded(seed);
            let mut running = Vec::new();
            let mut now = NOW;
            let mut trace = Vec::new();
            for step in 0..200 {
                now += Duration::from_millis(7);
                let at = balancer.pick(None, &[], now, &mut rng).unwrap();
                let load = &balancer.candidates()[at].load;
                running.push(load.begin());
                load.observe(Duration::from_millis(rng.next_u64() % 100), now);
                if step % 3 == 0 {
                    running.swap_remove(rng.next_u64() as usize % running.len()).load().penalize(now);
                }
                trace.push(at);
            }
            trace
        };
        prop_assert_eq!(trace(), trace());
    }
}

#[test]
fn a_popular_key_spreads_over_the_pool() {
    for policy in Policy::ALL.into_iter().filter(|policy| policy.needs_key()) {
        let balancer = balancer(policy, &[1; 10]);
        let mut rng = seeded(6);
        let mut running = Vec::new();
        for _ in 0..1_000 {
            let at = balancer.pick(Some(42), &[], NOW, &mut rng).unwrap();
            running.push(balancer.candidates()[at].load.begin());
        }
        let most = balancer
            .candidates()
            .iter()
            .map(|c| c.load.in_flight())
            .max()
            .unwrap();
        assert_eq!(most, 125, "{policy:?}: 1.25 x the fair share of 100");
    }
}

#[test]
fn an_empty_pool_has_no_choice() {
    for policy in Policy::ALL {
        assert_eq!(
            balancer(policy, &[]).pick(Some(1), &[], NOW, &mut seeded(7)),
            None
        );
        assert_eq!(
            balancer(policy, &[]).pick(None, &[EndpointId(0)], NOW, &mut seeded(7)),
            None
        );
    }
}

#[test]
fn a_single_candidate_is_chosen_once() {
    for policy in Policy::ALL {
        let balancer = balancer(policy, &[3]);
        let mut rng = seeded(8);
        assert_eq!(balancer.pick(None, &[], NOW, &mut rng), Some(0));
        assert_eq!(balancer.pick(None, &[EndpointId(0)], NOW, &mut rng), None);
    }
}

#[test]
fn of_two_candidates_the_retry_takes_the_other() {
    for policy in Policy::ALL {
        let balancer = balancer(policy, &[1_000_000, 1]);
        let mut rng = seeded(9);
        for _ in 0..100 {
            assert_eq!(
                balancer.pick(None, &[EndpointId(0)], NOW, &mut rng),
                Some(1),
                "{policy:?}"
            );
        }
    }
}

#[test]
fn a_client_with_two_requests_keeps_its_endpoint_in_an_idle_pool() {
    for policy in [Policy::RingHash, Policy::Maglev, Policy::Rendezvous] {
        let balancer = balancer(policy, &[1, 1, 1]);
        let mut rng = seeded(7);
        for key in 0..50 {
            let mut pick = || balancer.pick(Some(key), &[], NOW, &mut rng).unwrap();
            let first = pick();
            let _running = balancer.candidates()[first].load.begin();
            assert_eq!(pick(), first, "{policy:?} moved key {key}");
        }
    }
}
