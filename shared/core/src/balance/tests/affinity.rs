//! What hash policies promise: agreement, and few keys moved.

use rand::seq::SliceRandom;

use super::*;

const KEYS: u64 = 5_000;

/// The name hash of each key's endpoint.
fn owners(policy: Policy, candidates: &[Candidate]) -> Vec<u64> {
    let balancer = Balancer::new(policy, candidates.to_vec());
    let owner = |key: u64| {
        let key = stable_hash(&key.to_be_bytes());
        let at = balancer
            .pick(Some(key), &[], NOW, &mut seeded(key))
            .unwrap();
        balancer.candidates()[at].key_hash
    };
    (0..KEYS).map(owner).collect()
}

/// The share of keys that moved although their endpoint is in both sets.
fn moved_needlessly(policy: Policy, all: &[Candidate], gone: usize) -> f64 {
    let mut rest = all.to_vec();
    let gone = rest.remove(gone).key_hash;
    let (before, after) = (owners(policy, all), owners(policy, &rest));
    let needless = before
        .iter()
        .zip(&after)
        .filter(|(b, a)| **b != gone && a != b)
        .count();
    needless as f64 / KEYS as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn replicas_agree_however_the_pool_is_listed(
        policy in hash_policy(),
        weights in prop::collection::vec(1_u32..10, 1..40),
        seed: u64,
    ) {
        let listed = candidates(&weights);
        let mut shuffled = listed.clone();
        shuffled.shuffle(&mut seeded(seed));
        prop_assert_eq!(owners(policy, &listed), owners(policy, &shuffled));
    }

    // Leaving and joining are the same pair of sets, looked at from either side.

    #[test]
    fn rendezvous_moves_only_what_it_must(
        weights in prop::collection::vec(1_u32..10, 2..40),
        gone: prop::sample::Index,
    ) {
        let all = candidates(&weights);
        prop_assert_eq!(moved_needlessly(Policy::Rendezvous, &all, gone.index(all.len())), 0.0);
    }

    #[test]
    fn ring_moves_only_what_it_must(
        weights in prop::collection::vec(1_u32..10, 2..40),
        gone: prop::sample::Index,
    ) {
        // Two of the least weight, so that it stays when one of them goes.
        let all = candidates(&[vec![1, 1], weights].concat());
        prop_assert_eq!(moved_needlessly(Policy::RingHash, &all, gone.index(all.len())), 0.0);
    }

    #[test]
    fn maglev_moves_little_more_than_it_must(
        weights in prop::collection::vec(1_u32..10, 2..40),
        gone: prop::sample::Index,
    ) {
        let all = candidates(&weights);
        let moved = moved_needlessly(Policy::Maglev, &all, gone.index(all.len()));
        prop_assert!(moved < 0.1, "{moved}");
    }
}

#[test]
fn owners_stay_the_same_in_later_versions() {
    let all = candidates(&[1, 2, 3, 4, 5]);
    for (policy, golden) in [
        (Policy::RingHash, "4231424143442243214413423140402230423042"),
        (Policy::Maglev, "2434344044324324304433202432232134404443"),
        (
            Policy::Rendezvous,
            "4044133242404434131424332313323234003323",
        ),
    ] {
        let names: Vec<u64> = all.iter().map(|c| c.key_hash).collect();
        let owner = |hash: &u64| {
            names
                .iter()
                .position(|name| name == hash)
                .unwrap()
                .to_string()
        };
        let text: String = owners(policy, &all).iter().take(40).map(owner).collect();
        assert_eq!(text, golden, "{policy:?}: keys would move at an upgrade");
    }
}

#[test]
fn requests_without_key_are_spread() {
    for policy in Policy::ALL.into_iter().filter(|policy| policy.needs_key()) {
        let balancer = balancer(policy, &[1; 5]);
        let mut rng = seeded(5);
        let mut counts = [0; 5];
        for _ in 0..1_000 {
            counts[balancer.pick(None, &[], NOW, &mut rng).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| *count > 100),
            "{policy:?}: {counts:?}"
        );
    }
}

#[test]
fn replicas_agree_on_the_retry_too() {
    for policy in Policy::ALL.into_iter().filter(|policy| policy.needs_key()) {
        let (listed, mut turned) = (candidates(&[3; 10]), candidates(&[3; 10]));
        turned.reverse();
        let (one, other) = (Balancer::new(policy, listed), Balancer::new(policy, turned));
        for key in 0..500 {
            let second = |balancer: &Balancer, seed| {
                let all = balancer.candidates();
                let first = balancer
                    .pick(Some(key), &[], NOW, &mut seeded(seed))
                    .unwrap();
                let tried = [all[first].id];
                all[balancer
                    .pick(Some(key), &tried, NOW, &mut seeded(seed))
                    .unwrap()]
                .key_hash
            };
            assert_eq!(second(&one, 1), second(&other, 2), "{policy:?}, key {key}");
        }
    }
}
