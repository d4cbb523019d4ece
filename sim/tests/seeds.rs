//! Many seeds, each a topology, a load and a script of faults of its own.
//!
//! `LB_SIM_SEEDS` sets how many (default 2000), `LB_SIM_SEED` plays one, `LB_SIM_STEPS` sets how many faults each script has.

use lb_core::balance::Policy;
use lb_sim::{Fault, Setup, World};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long after the last fault the world must be well again.
const CONVERGED: Duration = Duration::from_secs(25);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn draw(seed: u64) -> (Setup, Vec<Fault>) {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x5eed);
    let regions = rng.random_range(2..=5);
    // What one region carries, the others must have room for.
    let most = 0.8 * (regions - 1) as f64 / regions as f64;
    let policies = [
        Policy::P2c,
        Policy::P2c,
        Policy::LeastRequest,
        Policy::RoundRobin,
        Policy::Maglev,
    ];
    let setup = Setup {
        globals: rng.random_range(1..=3),
        regions,
        replicas: rng.random_range(1..=3),
        servers: rng.random_range(2..=6),
        slots: rng.random_range(1..=3),
        service: Duration::from_millis(rng.random_range(60..200)),
        policy: policies[rng.random_range(0..policies.len())],
        length: Duration::from_secs(85),
        ..Setup::new(seed)
    }
    .at(rng.random_range(0.1..0.7) * most);
    let steps = number("LB_SIM_STEPS").unwrap_or_else(|| rng.random_range(1..=4));
    let faults = (0..steps).map(|_| Fault::draw(&setup, &mut rng)).collect();
    (setup, faults)
}

fn play(seed: u64) -> World {
    let (setup, faults) = draw(seed);
    let over = faults
        .iter()
        .map(|fault| fault.until)
        .max()
        .unwrap_or_default();
    let told = number("LB_SIM_SEED").is_some();
    if told {
        eprintln!("{setup:#?}\n{faults:#?}");
    }
    let world = World::new(setup, faults).run();
    if told {
        eprintln!("{}", world.story());
    }
    let (from, until) = ((over + CONVERGED).as_secs() as usize, 85);
    let (good, bad) = world.ledger.ended(from, until);
    // One of a thousand; of few requests, one.
    let most = ((good + bad) / 1000).max(1);
    assert!(
        bad <= most,
        "{bad} of {} requests failed from second {from} on",
        good + bad
    );
    world
}

#[test]
fn any_seed_keeps_the_invariants_and_converges() {
    let (first, count) = match number("LB_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("LB_SIM_SEEDS").unwrap_or(2000)),
    };
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let run = |worker: u64| {
        let (mut failed, mut requests) = (Vec::new(), 0);
        for seed in (first..first + count).filter(|seed| seed % workers == worker % workers) {
            match catch_unwind(AssertUnwindSafe(|| play(seed).ledger.requests)) {
                Ok(count) => requests += count,
                Err(_) => failed.push(seed),
            }
        }
        (failed, requests)
    };
    let results: Vec<(Vec<u64>, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || run(worker)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let requests: u64 = results.iter().map(|(_, requests)| requests).sum();
    let failed: Vec<u64> = results.into_iter().flat_map(|(failed, _)| failed).collect();
    eprintln!("{count} seeds, {requests} requests");
    let replay = failed.first().map(|seed| {
        format!("replay: LB_SIM_SEED={seed} cargo test -p lb-sim --test seeds -- --nocapture")
    });
    assert!(
        failed.is_empty(),
        "{} seeds failed: {failed:?}\n{}",
        failed.len(),
        replay.unwrap_or_default()
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        assert_eq!(
            play(seed).ledger.digest,
            play(seed).ledger.digest,
            "seed {seed}"
        );
    }
    assert_ne!(play(1).ledger.digest, play(2).ledger.digest);
}
