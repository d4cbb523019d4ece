use super::*;
use crate::config::model::RegionOrder;
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
        factors: Factors::default(),
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
            home: None,
            bound: false,
            last_resort: true
        }
    );
    let second = ranking.pick(&regions, |i| i == 1, &mut rng).unwrap();
    assert_eq!(
        second,
        Picked {
            index: 0,
            home: None,
            bound: false,
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

// === Factors, home and room ===

fn ask(client: u64) -> Ask {
    Ask {
        client: Some(client),
        ..Ask::default()
    }
}

fn with(factors: Factors) -> Candidate {
    Candidate {
        factors,
        ..region(1, 1, Condition::Healthy)
    }
}

/// Where each of 10,000 clients goes; none: refused.
fn places(order: RegionOrder, regions: &[Candidate], spill: f64) -> Vec<Option<usize>> {
    let ranking = Ranking::new(order, regions, |_| true, None);
    let mut rng = SmallRng::seed_from_u64(3);
    let place = |client| {
        let ask = Ask {
            spill,
            ..ask(client)
        };
        match ranking.choose(regions, &ask, |_| false, &mut rng) {
            Choice::Region(picked) => Some(picked.index),
            Choice::Full(_) => None,
            Choice::Exhausted => panic!("nothing was tried"),
        }
    };
    (0..10_000).map(place).collect()
}

fn share_of(places: &[Option<usize>], region: Option<usize>) -> f64 {
    places.iter().filter(|place| **place == region).count() as f64 / places.len() as f64
}

fn second() -> Candidate {
    region(2, 1, Condition::Healthy)
}

#[test]
fn spill_leaves_with_the_same_clients_and_only_more_of_them_as_it_grows() {
    let at = |spill| {
        let first = with(Factors {
            spill,
            ..Factors::default()
        });
        places(RegionOrder::Priority, &[first, second()], 1.0)
    };
    let (little, much) = (at(0.2), at(0.5));
    assert!((share_of(&little, Some(1)) - 0.2).abs() < 0.02);
    assert!((share_of(&much, Some(1)) - 0.5).abs() < 0.02);
    let bounced = little
        .iter()
        .zip(&much)
        .filter(|(a, b)| **a == Some(1) && **b != Some(1));
    assert_eq!(bounced.count(), 0);
    assert_eq!(little, at(0.2), "a client stays where it is");
}

#[test]
fn a_route_limits_or_forbids_spill_but_not_failover() {
    let first = with(Factors {
        spill: 0.8,
        ..Factors::default()
    });
    let regions = [first, second()];
    let limited = places(RegionOrder::Priority, &regions, 0.1);
    assert!((share_of(&limited, Some(1)) - 0.1).abs() < 0.02);
    let forbidden = places(RegionOrder::Priority, &regions, 0.0);
    assert_eq!(share_of(&forbidden, Some(1)), 0.0);
    let dead = [region(1, 1, Condition::Unhealthy), second()];
    assert_eq!(
        share_of(&places(RegionOrder::Priority, &dead, 0.0), Some(1)),
        1.0
    );
}

#[test]
fn a_dead_regions_requests_fill_the_ranks_in_order_and_the_rest_is_refused() {
    let room = |priority, room| Candidate {
        priority,
        ..with(Factors {
            room,
            ..Factors::default()
        })
    };
    let regions = [
        region(1, 1, Condition::Unhealthy),
        room(2, 0.3),
        room(3, 0.1),
        room(3, 0.2),
    ];
    let places = places(RegionOrder::Priority, &regions, 1.0);
    for (region, share) in [(Some(1), 0.3), (Some(2), 0.1), (Some(3), 0.2), (None, 0.4)] {
        let got = share_of(&places, region);
        assert!((got - share).abs() < 0.02, "{region:?}: {got}");
    }
}

#[test]
fn what_finds_no_room_stays_at_a_home_that_lives() {
    let full = with(Factors {
        spill: 1.0,
        spare: 0.0,
        ..Factors::default()
    });
    let regions = [full.clone(), full];
    let places = places(RegionOrder::Weighted, &regions, 1.0);
    assert_eq!(share_of(&places, None), 0.0);
    assert!((share_of(&places, Some(0)) - 0.5).abs() < 0.02);
}

#[test]
fn requests_without_a_home_and_spilled_ones_have_a_share_of_room_each() {
    let receiver = with(Factors {
        room: 0.8,
        spare: 0.2,
        ..Factors::default()
    });
    let spilling = with(Factors {
        spill: 1.0,
        ..Factors::default()
    });
    let out = region(1, 1, Condition::Unhealthy);
    let below = Candidate {
        priority: 2,
        ..receiver
    };
    let lost = places(RegionOrder::Priority, &[out, below.clone()], 1.0);
    assert!((share_of(&lost, Some(1)) - 0.8).abs() < 0.02);
    assert!((share_of(&lost, None) - 0.2).abs() < 0.02);
    let spilled = places(RegionOrder::Priority, &[spilling, below], 1.0);
    assert!((share_of(&spilled, Some(1)) - 0.2).abs() < 0.02);
    assert!((share_of(&spilled, Some(0)) - 0.8).abs() < 0.02);
}

#[test]
fn a_sister_that_is_out_does_not_overfill_the_rest_of_its_rank() {
    let tight = with(Factors {
        room: 0.1,
        ..Factors::default()
    });
    let regions = [region(1, 1, Condition::Unhealthy), tight.clone(), tight];
    let places = places(RegionOrder::Weighted, &regions, 1.0);
    assert!((share_of(&places, Some(1)) - (1.0 + 0.1) / 3.0).abs() < 0.02);
    assert!((share_of(&places, None) - 0.8 / 3.0).abs() < 0.02);
}

#[test]
fn dial_ramp_and_shift_multiply_and_sisters_take_the_rest() {
    let part = with(Factors {
        dial: 0.5,
        ramp: 0.8,
        shift: 0.5,
        ..Factors::default()
    });
    let regions = [part, region(1, 1, Condition::Healthy), second()];
    let places = places(RegionOrder::Priority, &regions, 1.0);
    assert!((share_of(&places, Some(0)) - 0.1).abs() < 0.02);
    assert!((share_of(&places, Some(1)) - 0.9).abs() < 0.02);
}

#[test]
fn a_region_that_ramps_up_takes_its_room_before_anything_is_refused() {
    let ramping = with(Factors {
        ramp: 0.1,
        ..Factors::default()
    });
    let regions = [region(1, 1, Condition::Unhealthy), ramping];
    let places = places(RegionOrder::Weighted, &regions, 1.0);
    assert_eq!(share_of(&places, Some(1)), 1.0);
}

#[test]
fn a_dial_of_zero_drains() {
    let off = with(Factors {
        dial: 0.0,
        ..Factors::default()
    });
    let regions = [off, second()];
    assert_eq!(
        share_of(&places(RegionOrder::Priority, &regions, 1.0), Some(1)),
        1.0
    );
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
    assert_eq!(ranking.explain(&regions), [Some(Removal::Drained), None]);
}

#[test]
fn bound_users_stay_in_a_drained_region_that_honors_them() {
    for (condition, honors, stays) in [
        (Condition::Drained, true, true),
        (Condition::Drained, false, false),
        (Condition::Offline, true, false),
    ] {
        let mut drained = region(1, 1, condition);
        drained.factors.dial = 0.0;
        drained.factors.honors = honors;
        let regions = [drained, second()];
        let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
        let mut rng = SmallRng::seed_from_u64(1);
        let mut index = |sticky| {
            let ask = Ask { sticky, ..ask(1) };
            match ranking.choose(&regions, &ask, |_| false, &mut rng) {
                Choice::Region(picked) => picked.index,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(index(Some(0)) == 0, stays, "{condition:?} {honors}");
        assert_eq!(index(None), 1, "nobody new");
    }
}

#[test]
fn homes_are_the_best_rank_in_service_by_weight() {
    let drained = with(Factors {
        dial: 0.0,
        ..Factors::default()
    });
    let regions = [
        drained,
        region(1, 3, Condition::Healthy),
        region(1, 1, Condition::Unhealthy),
        second(),
    ];
    let homes = |order| Ranking::new(order, &regions, |_| true, None).homes(&regions);
    assert_eq!(homes(RegionOrder::Priority), [0.0, 0.75, 0.25, 0.0]);
    assert_eq!(homes(RegionOrder::Weighted), [0.0, 0.6, 0.2, 0.2]);
}

#[test]
fn a_cookie_binds_while_its_region_is_usable_and_a_header_whatever_it_is() {
    let regions = [
        region(1, 1, Condition::Healthy),
        second(),
        region(3, 1, Condition::Unhealthy),
        region(4, 1, Condition::Offline),
    ];
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
    let mut rng = SmallRng::seed_from_u64(1);
    let mut index = |sticky, demanded| {
        let ask = Ask {
            sticky,
            demanded,
            ..ask(1)
        };
        match ranking.choose(&regions, &ask, |_| false, &mut rng) {
            Choice::Region(picked) => picked.index,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(index(Some(1), None), 1);
    assert_eq!(index(Some(2), None), 0, "an unhealthy region binds nobody");
    assert_eq!(index(Some(1), Some(2)), 2, "the header demands it");
    assert_eq!(index(None, Some(3)), 0, "offline is offline");
    assert_eq!(index(Some(99), Some(99)), 0);
}

/// Shares of those that a cookie binds to the first region, and of the others, that it keeps.
fn kept(factors: Factors, spill: f64) -> (f64, f64) {
    let regions = [with(factors), second()];
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
    let mut rng = SmallRng::seed_from_u64(5);
    let mut share = |sticky: Option<usize>| {
        let stays = (0..10_000).filter(|client| {
            let ask = Ask {
                sticky,
                spill,
                ..ask(*client)
            };
            let choice = ranking.choose(&regions, &ask, |_| false, &mut rng);
            let Choice::Region(picked) = choice else {
                panic!("{choice:?}")
            };
            assert_eq!((picked.home, picked.bound), (Some(0), sticky.is_some()));
            picked.index == 0
        });
        stays.count() as f64 / 10_000.0
    };
    (share(Some(0)), share(None))
}

#[test]
fn requests_with_a_cookie_are_the_last_to_leave_and_the_sum_is_what_was_asked_for() {
    for (bound, spill, expected) in [
        (0.0, 0.3, (1.0, 0.7)),
        (0.5, 0.3, (1.0, 0.4)),
        (0.5, 0.5, (1.0, 0.0)),
        (0.5, 0.8, (0.4, 0.0)),
        (1.0, 0.3, (0.7, 0.0)),
        (0.9, 1.0, (0.0, 0.0)),
        (1.0, 0.0, (1.0, 1.0)),
    ] {
        let factors = Factors {
            spill,
            bound,
            ..Factors::default()
        };
        let (stay, others) = kept(factors, 1.0);
        let close = (stay - expected.0).abs() < 0.02 && (others - expected.1).abs() < 0.02;
        assert!(close, "{bound} bound, {spill} to go: {stay} {others}");
        if bound > 0.0 {
            let all = bound * stay + (1.0 - bound) * others;
            assert!((all - (1.0 - spill)).abs() < 0.02, "{all} of {spill}");
        }
    }
    let limited = Factors {
        spill: 0.9,
        bound: 0.5,
        ..Factors::default()
    };
    assert!(kept(limited, 0.1).0 == 1.0, "the route limits what leaves");
}

proptest! {
    #[test]
    fn a_region_keeps_what_it_should_whatever_is_bound(
        bound in 0.0f64..=1.0, spill in 0.0f64..=1.0, ramp in 0.1f64..=1.0, limit in 0.0f64..=1.0
    ) {
        let candidate = with(Factors { bound, spill, ramp, ..Factors::default() });
        let (stay, others) = (candidate.keeps(limit, true), candidate.keeps(limit, false));
        prop_assert!((0.0..=1.0).contains(&stay) && (0.0..=1.0).contains(&others));
        prop_assert!(stay >= others - 1e-9);
        let all = bound * stay + (1.0 - bound) * others;
        prop_assert!((all - ramp * (1.0 - spill.min(limit))).abs() < 1e-6);
    }
}

#[test]
fn offline_is_never_a_last_resort() {
    let regions = [region(1, 1, Condition::Offline)];
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |_| true, None);
    let mut rng = SmallRng::seed_from_u64(1);
    let choice = ranking.choose(&regions, &Ask::default(), |_| false, &mut rng);
    assert_eq!(choice, Choice::Exhausted);
}

#[test]
fn a_trace_names_each_step() {
    let regions = [
        with(Factors {
            dial: 0.5,
            ramp: 0.2,
            spill: 0.3,
            ..Factors::default()
        }),
        region(1, 0, Condition::Drained),
        region(2, 1, Condition::Unhealthy),
        region(2, 1, Condition::Offline),
        second(),
    ];
    let ranking = Ranking::new(RegionOrder::Priority, &regions, |index| index != 4, None);
    let ask = Ask {
        sticky: Some(2),
        ..Ask::default()
    };
    let lines: Vec<String> = ranking
        .trace(&regions, &ask)
        .iter()
        .map(|note| format!("{} {}: {:?}", note.step.label(), note.index, note.remark))
        .collect();
    let expected = [
        "allowed 4: Removed(NotAllowed)",
        "offline 3: Removed(Offline)",
        "sticky 2: NotAvailable",
        "order 0: Rank(0)",
        "order 1: Rank(0)",
        "order 2: Rank(1)",
        "dial 0: Keeps(0.5)",
        "dial 1: Removed(Drained)",
        "capacity 0: Flow { spill: 0.3, room: 1.0, spare: 1.0 }",
        "health 0: Keeps(0.2)",
        "health 2: Removed(Unhealthy)",
    ];
    assert_eq!(lines, expected);
}
