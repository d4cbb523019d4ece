//! A pick allocates nothing: of a server, whatever the policy, at 10,000 candidates; of a region, at 50.

use std::sync::Arc;
use std::time::Duration;

use lb_core::balance::hash::stable_hash;
use lb_core::balance::{Balancer, Candidate, EndpointId, Load, Policy, PoolLoad, Weight};
use lb_core::config::model::RegionOrder;
use lb_core::region::{self, Ask, Condition, Factors, Ranking};
use lb_core::time::Instant;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

const CANDIDATES: u32 = 10_000;
const NOW: Instant = Instant::from_millis(1);

fn balancer(policy: Policy) -> Balancer {
    let pool = PoolLoad::new();
    let candidate = |number: u32| Candidate {
        id: EndpointId(number),
        load: Arc::new(Load::in_pool(NOW, Arc::clone(&pool))),
        weight: Weight::new(1 + number % 5).unwrap_or(Weight::ONE),
        key_hash: stable_hash(&number.to_be_bytes()),
    };
    Balancer::new(policy, (0..CANDIDATES).map(candidate).collect())
}

#[test]
fn no_policy_allocates_per_pick() {
    for policy in Policy::ALL {
        let balancer = balancer(policy);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let tried = [EndpointId(1), EndpointId(2)];
        let counted = allocation_counter::measure(|| {
            for key in 0..200 {
                assert!(balancer.pick(None, &[], NOW, &mut rng).is_some());
                let at = balancer.pick(Some(key), &tried, NOW, &mut rng).unwrap();
                let guard = balancer.candidates()[at].load.begin();
                guard.load().observe(Duration::from_millis(key), NOW);
                guard.load().penalize(NOW);
            }
        });
        assert_eq!(counted.count_total, 0, "{policy:?}");
    }
}

#[test]
fn the_choice_of_a_region_allocates_nothing() {
    let region = |index: u32| region::Candidate {
        priority: index / 10,
        weight: 1,
        condition: Condition::from_healthy_share(if index == 3 { 0.1 } else { 0.6 }),
        latency: None,
        location: None,
        factors: Factors {
            spill: 0.4,
            room: 0.05,
            ..Factors::default()
        },
    };
    let regions: Vec<_> = (0..50).map(region).collect();
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let counted = allocation_counter::measure(|| {
        for client in 0..1000 {
            let ask = Ask {
                client: Some(client),
                ..Ask::default()
            };
            std::hint::black_box(ranking.choose(&regions, &ask, |index| index == 5, &mut rng));
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn the_counter_sees_allocations() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1);
}
