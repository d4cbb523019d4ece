//! The dangerous cases by name. Each comes with its negative control: with the mechanism off, the same assertion fails.

use lb_core::balance::Policy;
use lb_sim::{Fault, Kind, Mechanisms, Setup, World};
use std::panic::catch_unwind;
use std::time::Duration;

const ALL: Mechanisms = Mechanisms::ALL;

fn run(setup: Setup, on: Mechanisms, faults: &[Fault]) -> World {
    World::new(Setup { on, ..setup }, faults.to_vec()).run()
}

fn everywhere(setup: &Setup, kind: Kind, from: u64, until: u64) -> Vec<Fault> {
    (0..setup.regions)
        .map(|region| Fault::new(kind, region, from, until))
        .collect()
}

#[test]
fn checks_that_flap_across_half_of_the_fleet_remove_no_capacity() {
    let setup = Setup {
        regions: 4,
        ..Setup::new(1)
    }
    .at(0.65);
    let faults: Vec<Fault> = (0..2)
        .map(|at| Fault::new(Kind::Flapping(1.0, 0.8), at, 20, 60))
        .collect();
    let success = |on| run(setup.clone(), on, &faults).ledger.success(20, 60);
    let with = success(ALL);
    assert!(with >= 0.999, "{with}");
    let off = Mechanisms {
        panic: false,
        traffic: false,
        removal: false,
        ..ALL
    };
    let without = success(off);
    assert!(without < 0.99, "the control sees nothing: {without}");
}

#[test]
fn checks_that_fail_everywhere_while_traffic_works_change_nothing() {
    let setup = Setup::new(2).at(0.6);
    let faults = everywhere(&setup, Kind::ChecksFail, 20, 60);
    let success = |on| run(setup.clone(), on, &faults).ledger.success(20, 60);
    let with = success(ALL);
    assert!(with >= 0.9999, "{with}");
    let off = Mechanisms {
        panic: false,
        traffic: false,
        removal: false,
        ..ALL
    };
    let without = success(off);
    assert!(without < 0.9, "the control sees nothing: {without}");
}

#[test]
fn all_servers_failing_are_not_ejected_and_retries_stay_bounded() {
    let setup = Setup {
        servers: 20,
        ..Setup::new(3)
    }
    .at(0.4);
    let faults = everywhere(&setup, Kind::Errors(1.0, 1.0), 20, 60);
    let amplification = |on| {
        let before = run(setup.clone(), on, &[]).ledger;
        let world = run(setup.clone(), on, &faults);
        // Of the 40 s: what the run without faults had is taken off.
        let extra = world.ledger.server_tries as f64 - before.server_tries as f64;
        1.0 + extra / (setup.rps * 40.0)
    };
    let with = amplification(ALL);
    assert!(with <= 1.2, "{with}");
    // Ejection and refusals bound it, too: without them, the budget alone must do.
    let alone = Mechanisms {
        ejection: false,
        traffic: false,
        waterfall: false,
        ..ALL
    };
    let budget = amplification(alone);
    assert!(budget <= 1.2, "{budget}");
    let without = amplification(Mechanisms {
        budget: false,
        ..alone
    });
    assert!(without > 2.5, "the control sees nothing: {without}");
}

/// Over many seeds: which servers and replicas are convicted at the end of an outage is chance, and one run says little.
#[test]
fn clients_that_retry_hard_recover_after_a_total_outage() {
    let (mut served, mut needless) = ((0, 0), 0);
    for seed in 0..40 {
        let setup = Setup::new(seed).at(0.5);
        let mut faults = everywhere(&setup, Kind::Errors(1.0, 1.0), 20, 40);
        faults.push(Fault::new(Kind::Storm(4), 0, 20, 40));
        let ledger = run(setup, ALL, &faults).ledger;
        let (good, bad) = ledger.ended(43, 80);
        served = (served.0 + good, served.1 + bad);
        needless += ledger.needless(43, 80);
    }
    let all = (served.0 + served.1) as f64;
    let (success, needless) = (served.0 as f64 / all, needless as f64 / all);
    assert!(success >= 0.99, "three seconds after the end: {success}");
    assert!(
        needless <= 0.002,
        "refused beside a region with room: {needless}"
    );
}

#[test]
fn a_server_that_fails_fast_attracts_no_load() {
    let setup = Setup {
        regions: 1,
        servers: 8,
        policy: Policy::LeastRequest,
        ..Setup::new(5)
    }
    .at(0.7);
    let faults = [Fault::new(Kind::BlackHole(0.1), 0, 10, 85)];
    let share = |on| {
        let world = run(setup.clone(), on, &faults);
        let tries: Vec<u64> = world.places[0].servers.iter().map(|s| s.tries).collect();
        let hole = world.places[0].servers.iter().position(|s| s.black_hole);
        let hole = hole.or_else(|| {
            let fair = tries.iter().sum::<u64>() / 8;
            (0..8).max_by_key(|at| tries[*at].abs_diff(fair))
        });
        tries[hole.unwrap()] as f64 / tries.iter().sum::<u64>() as f64 * 8.0
    };
    let with = share(ALL);
    assert!(with < 0.5, "{with} of its fair share");
    let off = Mechanisms {
        penalty: false,
        ejection: false,
        ..ALL
    };
    let without = share(off);
    assert!(without > 1.5, "the control sees nothing: {without}");
}

#[test]
fn p2c_with_two_candidates_leaves_the_slow_one() {
    let setup = Setup {
        regions: 1,
        servers: 2,
        slots: 4,
        ..Setup::new(6)
    }
    .at(0.08);
    let faults = [Fault::new(Kind::Slow(0.5, 10.0), 0, 20, 89)];
    let slow = |policy| {
        let setup = Setup {
            policy,
            ..setup.clone()
        };
        run(setup, ALL, &faults).ledger.latency(0.95, 25, 85)
    };
    let with = slow(Policy::P2c);
    assert!(with < 150.0, "{with} ms");
    let without = slow(Policy::RoundRobin);
    assert!(without > 300.0, "the control sees nothing: {without} ms");
}

#[test]
fn weight_0_everywhere_sends_nothing_anywhere_and_ends() {
    let setup = Setup::new(7).at(0.4);
    let faults = everywhere(&setup, Kind::DrainServers(1.0), 20, 40);
    let world = run(setup.clone(), ALL, &faults);
    assert_eq!(
        world.ledger.success(22, 39),
        0.0,
        "there is nobody to serve"
    );
    let after = world.ledger.success(50, 85);
    assert!(after >= 0.999, "{after}");
    let off = Mechanisms {
        drain: false,
        ..ALL
    };
    let control = catch_unwind(|| run(setup, off, &faults).ledger.requests);
    assert!(control.is_err(), "the control sees nothing");
}

#[test]
fn a_region_that_returns_at_once_gets_a_growing_share() {
    let setup = Setup::new(8).at(0.5);
    let faults = [Fault::new(Kind::Kill, 0, 20, 40)];
    let early = |on| {
        let world = run(setup.clone(), on, &faults);
        let fair = setup.rps / 3.0;
        let first = (41..85).find(|at| world.ledger.rate(0, *at, *at + 1) > 0.02 * fair);
        let first = first.expect("it comes back");
        world.ledger.rate(0, first, first + 5) / fair
    };
    let with = early(ALL);
    assert!(with < 0.5, "{with} of its fair share");
    let without = early(Mechanisms { ramp: false, ..ALL });
    assert!(without > 0.7, "the control sees nothing: {without}");
}

/// Where the survivors can't take everything, they get a little more than they can serve and refuse it: not all of it.
#[test]
fn a_region_that_dies_at_90_per_cent_of_three_fills_the_others_and_fells_none() {
    let setup = Setup {
        servers: 10,
        ..Setup::new(9)
    }
    .at(0.9);
    let faults = [Fault::new(Kind::Kill, 0, 40, 85)];
    let of = |on| {
        let ledger = run(setup.clone(), on, &faults).ledger;
        let (good, _) = ledger.ended(50, 84);
        let capacity = setup.region_capacity();
        let sent = [1, 2].map(|region| ledger.rate(region, 50, 84) / capacity);
        let served = good as f64 / 34.0 / (2.0 * capacity);
        let slower = ledger.latency(0.99, 50, 84) / ledger.latency(0.99, 10, 40);
        (served, slower, sent[0].max(sent[1]))
    };
    let (served, slower, sent) = of(ALL);
    assert!(served > 0.9, "the survivors fill: {served}");
    // A place is waited for as long as a request takes, at most.
    assert!(slower < 2.5, "none falls: {slower} times as slow");
    assert!(
        sent < 1.3,
        "{sent} times what a region can do is sent there"
    );
    let (_, _, sent) = of(Mechanisms {
        waterfall: false,
        ..ALL
    });
    assert!(sent > 1.35, "the control sees nothing: {sent} times");
}

#[test]
fn a_region_that_turns_five_times_slower_loses_its_share_and_gets_it_back() {
    let setup = Setup {
        length: Duration::from_secs(240),
        servers: 6,
        ..Setup::new(10)
    }
    .at(0.15);
    let faults = [Fault::new(Kind::Slow(1.0, 5.0), 0, 60, 120)];
    let share = |on, from, until| {
        let ledger = run(setup.clone(), on, &faults).ledger;
        ledger.rate(0, from, until) / setup.rps
    };
    let with = share(ALL, 100, 120);
    assert!(with < 0.10, "{with}");
    let back = share(ALL, 200, 240);
    assert!(back > 0.28, "{back}");
    let off = Mechanisms {
        latency_shift: false,
        ..ALL
    };
    let without = share(off, 100, 120);
    assert!(without > 0.28, "the control sees nothing: {without}");
}

#[test]
fn a_replica_that_alone_sees_the_regions_down_calls_itself_isolated_and_others_do_not() {
    let setup = Setup::new(11).at(0.3);
    let cut = |regions| -> Vec<Fault> {
        (0..regions)
            .map(|at| Fault::new(Kind::Partition(0), at, 20, 200))
            .collect()
    };
    let world = run(setup.clone(), ALL, &cut(3));
    let isolated: Vec<bool> = world
        .globals
        .iter()
        .map(|global| global.isolation.is_isolated())
        .collect();
    assert_eq!(isolated, [true, false]);
    let world = run(setup, ALL, &cut(1));
    assert!(
        !world.globals[0].isolation.is_isolated(),
        "one region is not all"
    );
    let success = world.ledger.success(25, 85);
    assert!(success >= 0.999, "{success}");
}

#[test]
fn all_replicas_of_a_region_killed_or_frozen_are_absorbed() {
    let setup = Setup::new(12).at(0.4);
    for (kind, most, gone) in [(Kind::Kill, 0.999, 2), (Kind::FreezeReplicas, 0.98, 4)] {
        let world = run(setup.clone(), ALL, &[Fault::new(kind, 0, 20, 80)]);
        let success = world.ledger.success(20, 80);
        assert!(success >= most, "{kind:?}: {success}");
        let later = world.ledger.success(20 + gone, 80);
        assert!(later >= 0.999, "{kind:?}: {later}");
    }
}

#[test]
fn fifty_regions_of_two_hundred_servers_lose_twenty_and_recover() {
    let setup = Setup {
        regions: 50,
        servers: 200,
        slots: 1,
        service: Duration::from_millis(500),
        clients: 100_000,
        length: Duration::from_secs(60),
        ..Setup::new(13)
    }
    .at(0.15);
    let faults: Vec<Fault> = (0..20)
        .map(|at| Fault::new(Kind::Kill, at, 15, 30))
        .collect();
    let world = run(setup, ALL, &faults);
    let success = world.ledger.success(35, 60);
    assert!(success >= 0.999, "{success}");
}

#[test]
fn two_hours_with_a_fault_each_minute_keep_the_invariants() {
    let setup = Setup {
        length: Duration::from_secs(7200),
        ..Setup::new(14)
    }
    .at(0.12);
    let kinds = [
        Kind::Kill,
        Kind::Slow(0.5, 8.0),
        Kind::Errors(1.0, 0.5),
        Kind::FreezeOne,
        Kind::Flapping(1.0, 0.7),
    ];
    let faults: Vec<Fault> = (0..118)
        .map(|at| {
            Fault::new(
                kinds[at % 5],
                at % 3,
                at as u64 * 60 + 10,
                at as u64 * 60 + 40,
            )
        })
        .collect();
    let world = run(setup, ALL, &faults);
    let success = world.ledger.success(0, 7200);
    assert!(success >= 0.995, "{success}");
}
