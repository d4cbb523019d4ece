//! Properties that hold for several policies, or need several parts at once.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::hash::stable_hash;
use super::*;

mod affinity;
mod bounds;
mod choices;
mod loads;
mod shares;
mod simulation;

const NOW: Instant = Instant::from_millis(1_000);

fn seeded(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Candidates named `server-0` and so on, idle, in one counted pool.
fn candidates(weights: &[u32]) -> Vec<Candidate> {
    let pool = PoolLoad::new();
    weights
        .iter()
        .zip(0..)
        .map(|(weight, number)| Candidate {
            id: EndpointId(number),
            load: Arc::new(Load::in_pool(NOW, Arc::clone(&pool))),
            weight: Weight::new(*weight).unwrap(),
            key_hash: stable_hash(format!("server-{number}").as_bytes()),
        })
        .collect()
}

fn balancer(policy: Policy, weights: &[u32]) -> Balancer {
    Balancer::new(policy, candidates(weights))
}

/// How often each candidate is chosen in `picks` picks with random keys.
fn counts(balancer: &Balancer, picks: usize, rng: &mut impl Rng) -> Vec<u32> {
    let mut counts = vec![0; balancer.candidates().len()];
    for _ in 0..picks {
        counts[balancer.pick(Some(rng.next_u64()), &[], NOW, rng).unwrap()] += 1;
    }
    counts
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(&Policy::ALL[..])
}

fn hash_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::RingHash, Policy::Maglev, Policy::Rendezvous])
}

#[test]
fn names_are_those_of_the_configuration() {
    for policy in Policy::ALL {
        let text = format!("\"{}\"", policy.name());
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }
    assert_eq!(Policy::default(), Policy::P2c);
    assert!(Weight::new(0).is_none(), "drained is a state, not a weight");
}
