use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

fn region(priority: u32, weight: u32, condition: Condition) -> Candidate {
    Candidate {
        priority,
        weight,
        condition,
        latency: None,
        location: None,
    }
}

fn shares(order: RegionOrder, regions: &[Candidate]) -> Vec<f64> {
    let ranking = Ranking::new(order, regions, |_| true, None);
    let mut rng = SmallRng::seed_from_u64(3);
    let mut counts = vec![0u32; regions.len()];
    for _ in 0..20_000 {
        counts[ranking.pick(regions, |_| false, &mut rng).unwrap().index] += 1;
    }
    counts
        .into_iter()
        .map(|c| f64::from(c) / 20_000.0)
        .collect()
}

#[test]
fn the_best_priority_takes_all_and_equals_share_by_weight() {
    let regions = [
        region(1, 1, Condition::Healthy),
        region(1, 3, Condition::Healthy),
        region(2, 9, Condition::Healthy),
    ];
    let shares = shares(RegionOrder::Priority, &regions);
    assert!(
        (shares[0] - 0.25).abs() < 0.02 && (shares[1] - 0.75).abs() < 0.02,
        "{shares:?}"
    );
    assert_eq!(shares[2], 0.0);
}

#[test]
fn a_degraded_region_keeps_its_share_and_the_rest_moves_on() {
    let regions = [
        region(1, 1, Condition::from_healthy_share(0.5)),
        region(2, 1, Condition::Healthy),
    ];
    let shares = shares(RegionOrder::Priority, &regions);
    assert!((shares[0] - 0.7).abs() < 0.02, "1.4 × 0.5: {shares:?}");
}

#[test]
fn drained_and_unhealthy_regions_get_nothing_while_another_is_usable() {
    let regions = [
        region(1, 5, Condition::Drained),
        region(1, 5, Condition::Unhealthy),
        region(3, 1, Condition::Healthy),
    ];
    assert_eq!(shares(RegionOrder::Weighted, &regions), [0.0, 0.0, 1.0]);
}

#[test]
fn the_last_resort_is_drained_before_unhealthy() {
    let regions = [
        region(1, 1, Condition::Unhealthy),
        region(2, 0, Condition::Drained),
    ];
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
    let mut rng = SmallRng::seed_from_u64(1);
    let first = ranking.pick(&regions, |_| false, &mut rng).unwrap();
    assert_eq!(
        first,
        Picked {
            index: 1,
            last_resort: true
        }
    );
    let second = ranking.pick(&regions, |i| i == 1, &mut rng).unwrap();
    assert_eq!(
        second,
        Picked {
            index: 0,
            last_resort: true
        }
    );
    assert_eq!(ranking.pick(&regions, |_| true, &mut rng), None);
}

#[test]
fn latency_groups_by_a_band_of_20_ms() {
    let with = |latency| Candidate {
        latency: Some(Duration::from_millis(latency)),
        ..region(1, 1, Condition::Healthy)
    };
    let shares = shares(RegionOrder::Latency, &[with(10), with(29), with(60)]);
    assert!(
        (shares[0] - 0.5).abs() < 0.02 && (shares[1] - 0.5).abs() < 0.02,
        "{shares:?}"
    );
}

#[test]
fn geo_takes_the_nearest_usable_region() {
    let at = |latitude, longitude| Location {
        latitude,
        longitude,
    };
    let with = |location| Candidate {
        location: Some(location),
        ..region(1, 1, Condition::Healthy)
    };
    let regions = [
        with(at(50.0, 8.0)),
        with(at(39.0, -77.0)),
        with(at(1.3, 103.8)),
    ];
    let lisbon = Some(at(38.7, -9.1));
    let ranking = Ranking::new(RegionOrder::Geo, &regions, |_| true, lisbon);
    let mut rng = SmallRng::seed_from_u64(1);
    assert_eq!(
        ranking.pick(&regions, |_| false, &mut rng).unwrap().index,
        0
    );
    assert_eq!(
        ranking.pick(&regions, |i| i == 0, &mut rng).unwrap().index,
        1
    );
}

#[test]
fn explain_names_why_a_region_is_passed_over() {
    let regions = [
        region(1, 1, Condition::Unhealthy),
        region(2, 1, Condition::Healthy),
        region(3, 1, Condition::Healthy),
        region(1, 1, Condition::Healthy),
    ];
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |index| index != 3, None);
    assert_eq!(
        ranking.explain(&regions),
        [
            Some(Removal::Unhealthy),
            None,
            Some(Removal::WorseRank),
            Some(Removal::NotAllowed)
        ]
    );
}

fn conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Healthy),
        (0.0f64..1.0).prop_map(Condition::Degraded),
        Just(Condition::Unhealthy),
        Just(Condition::Drained),
    ]
}

proptest! {
    #[test]
    fn a_pick_is_allowed_untried_and_usable_when_one_is(
        parts in proptest::collection::vec((0u32..3, 1u32..10, conditions()), 1..8),
        tried in any::<u8>(),
        allowed in any::<u8>(),
        seed in any::<u64>(),
    ) {
        let regions: Vec<_> = parts.into_iter().map(|(p, w, c)| region(p, w, c)).collect();
        let bit = |mask: u8, index: usize| mask >> index & 1 == 1;
        let ranking = Ranking::new(RegionOrder::Priority, &regions, |i| bit(allowed, i), None);
        let mut rng = SmallRng::seed_from_u64(seed);
        let open: Vec<usize> =
            (0..regions.len()).filter(|i| bit(allowed, *i) && !bit(tried, *i)).collect();
        match ranking.pick(&regions, |i| bit(tried, i), &mut rng) {
            None => prop_assert!(open.is_empty()),
            Some(picked) => {
                prop_assert!(open.contains(&picked.index));
                let usable = |i: &usize| regions[*i].condition.is_usable();
                prop_assert_eq!(picked.last_resort, !usable(&picked.index));
                prop_assert!(!picked.last_resort || !open.iter().any(usable));
            }
        }
    }
}
