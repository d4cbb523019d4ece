use super::simulation::{Outcome, Service, Simulation, Stretch};
use super::{AdaptiveLimit, End, Phase, Rules, Sample};
use crate::time::Instant;
use std::time::Duration;

/// Workers and mean service time: capacities from 10 to 10,000 requests a second.
const POOLS: [(u32, f64); 6] = [
    (5, 0.5),
    (5, 0.05),
    (50, 0.05),
    (20, 0.01),
    (200, 0.2),
    (500, 0.05),
];

/// A pool under test; loads are relative to its capacity, times to its service time where that is long.
struct Case {
    workers: u32,
    service: f64,
    sim: Simulation,
}

impl Case {
    fn new((workers, service): (u32, f64), spread: Service, seed: u64) -> Self {
        let sim = Simulation::new(workers, spread, true, seed);
        Self {
            workers,
            service,
            sim,
        }
    }

    fn run(&mut self, load: f64, seconds: f64, skip: f64) -> Outcome {
        let unit = (self.service * 20.0).max(1.0);
        let stretch = Stretch {
            seconds: seconds * unit,
            offered_rps: load * self.capacity(),
            service: self.service,
        };
        self.sim.run(stretch, skip * unit)
    }

    fn capacity(&self) -> f64 {
        f64::from(self.workers) / self.service
    }
}

fn sample(latency: Duration, in_flight: u32, dropped: bool) -> Sample {
    Sample {
        latency,
        met: in_flight,
        in_flight,
        end: if dropped { End::Dropped } else { End::Answered },
    }
}

fn shed(outcome: &Outcome) -> f64 {
    outcome.shed as f64 / outcome.offered.max(1) as f64
}

fn assert_overload(pool: (u32, f64), spread: Service, goodput: f64) {
    for seed in 0..2 {
        for load in [2.0, 5.0] {
            let mut case = Case::new(pool, spread, seed);
            let before = case.run(0.5, 10.0, 0.0);
            let over = case.run(load, 20.0, 3.0);
            let what = format!("{pool:?} {spread:?} seed {seed} load {load}");
            let share = over.goodput() / case.capacity();
            assert!(share >= goodput, "{what}: goodput {share}");
            let mean = over.mean() / before.mean();
            assert!(mean <= 2.0, "{what}: mean latency {mean} times the usual");
            case.run(0.5, 5.0, 0.0);
            let after = case.run(0.5, 5.0, 0.0);
            assert!(after.mean() <= 1.5 * before.mean(), "{what}: normal again");
            assert!(shed(&after) < 0.05, "{what}: {} shed after", shed(&after));
        }
    }
}

#[test]
fn an_overload_leaves_goodput_and_latency_with_constant_work() {
    for pool in POOLS {
        assert_overload(pool, Service::Constant, 0.9);
    }
}

#[test]
fn an_overload_leaves_goodput_and_latency_with_uneven_work() {
    for pool in [(50, 0.05), (20, 0.01), (500, 0.05)] {
        assert_overload(pool, Service::Exponential, 0.9);
    }
}

#[test]
fn an_overload_leaves_goodput_with_rare_slow_work() {
    for pool in [(50, 0.05), (20, 0.01), (500, 0.05)] {
        assert_overload(pool, Service::Bimodal, 0.9);
    }
}

#[test]
fn impatient_clients_do_not_hide_an_overload() {
    for (workers, service, patience) in [(18, 0.1, 1.0), (50, 0.05, 0.5), (200, 0.2, 1.0)] {
        for (usual, load) in [(0.6, 2.0), (0.6, 5.0), (0.9, 2.0), (0.9, 1.4)] {
            for seed in 0..5 {
                let mut case = Case::new((workers, service), Service::Constant, seed);
                case.sim.patience = patience;
                case.run(usual, 6.0, 0.0);
                let over = case.run(load, 20.0, 4.0);
                let (share, mean) = (over.goodput() / case.capacity(), over.mean() / service);
                let what = format!("{workers} of {service} s from {usual} to {load} seed {seed}");
                assert!(share >= 0.9, "{what}: goodput {share}");
                assert!(mean <= 2.2, "{what}: mean latency {mean}");
            }
        }
    }
}

#[test]
fn without_a_limit_every_answer_is_late() {
    let mut sim = Simulation::new(50, Service::Constant, false, 1);
    let stretch = Stretch {
        seconds: 20.0,
        offered_rps: 2000.0,
        service: 0.05,
    };
    let over = sim.run(stretch, 3.0);
    assert!(
        over.mean() > 20.0 * 0.05,
        "the negative control must see the queue: {}",
        over.mean()
    );
}

#[test]
fn the_99th_percentile_stays_within_twice_the_usual() {
    for pool in [(50, 0.05), (20, 0.01), (500, 0.05)] {
        let mut case = Case::new(pool, Service::Constant, 3);
        case.run(0.5, 10.0, 0.0);
        let p99 = case.run(2.0, 20.0, 3.0).quantile(0.99) / pool.1;
        assert!(p99 <= 2.0, "{pool:?}: {p99}");
    }
}

#[test]
fn nothing_is_shed_at_half_load() {
    for pool in POOLS {
        for (spread, most) in [
            (Service::Constant, 0.0),
            (Service::Exponential, if pool.0 < 20 { 0.03 } else { 0.0 }),
        ] {
            for seed in 0..3 {
                let shed = shed(&Case::new(pool, spread, seed).run(0.5, 20.0, 0.0));
                assert!(shed <= most, "{pool:?} {spread:?} seed {seed}: {shed}");
            }
        }
    }
}

#[test]
fn a_pool_that_becomes_slower_is_not_locked_out() {
    for pool in [(5, 0.05), (50, 0.05), (200, 0.2)] {
        let mut case = Case::new(pool, Service::Constant, 5);
        case.run(0.25, 20.0, 0.0);
        case.service *= 3.0;
        case.run(0.25, 10.0, 0.0);
        let slow = case.run(0.25, 10.0, 0.0);
        assert!(shed(&slow) < 0.01, "{pool:?}: {} shed", shed(&slow));
        let over = case.run(2.0, 20.0, 5.0);
        let share = over.goodput() / case.capacity();
        assert!(
            share >= 0.9,
            "{pool:?}: goodput {share} of the new capacity"
        );
    }
}

/// So many workers that nothing ever waits: what is slow lies behind them.
const UNLIMITED: u32 = 100_000;

/// What is shed in the 10 s after the latency of each request, or of one in `part`, has become `factor` times as long, and in 10 s
/// after those.
fn shed_when_slower(
    rps: f64,
    usual: f64,
    factor: f64,
    part: u32,
    spread: Service,
    seed: u64,
) -> (f64, f64) {
    let mut sim = Simulation::new(UNLIMITED, spread, true, seed);
    let stretch = |seconds| Stretch {
        seconds,
        offered_rps: rps,
        service: usual,
    };
    sim.run(stretch(20.0), 0.0);
    sim.slow = (part, factor);
    let change = sim.run(stretch(10.0), 0.0);
    (shed(&change), shed(&sim.run(stretch(10.0), 0.0)))
}

#[test]
fn slowness_without_a_queue_sheds_nothing() {
    let (mut cases, mut faults) = (0, Vec::new());
    for rps in [50.0, 300.0, 2000.0] {
        for spread in [Service::Constant, Service::Exponential, Service::Bimodal] {
            for factor in [2.5, 5.0] {
                for seed in 0..10 {
                    let (change, after) = shed_when_slower(rps, 0.02, factor, 1, spread, seed);
                    cases += 1;
                    if change > 0.02 || after > 0.0 {
                        faults.push(format!(
                            "{rps}/s {spread:?} x{factor} seed {seed}: {change} shed, then {after}"
                        ));
                    }
                }
            }
        }
    }
    // By chance, what is slow and rare may look like a queue, and is cut once.
    assert!(faults.len() <= cases / 20, "{faults:#?}");
}

/// What round robin makes of one very slow server.
#[test]
fn one_slow_server_of_four_sheds_nothing() {
    let mut faults = Vec::new();
    for rps in [50.0, 300.0, 1000.0] {
        for factor in [10.0, 50.0] {
            for seed in 0..10 {
                let (change, after) =
                    shed_when_slower(rps, 0.01, factor, 4, Service::Constant, seed);
                if change > 0.02 || after > 0.0 {
                    faults.push(format!(
                        "{rps}/s x{factor} seed {seed}: {change} shed, then {after}"
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_baseline_that_holds_a_queue_is_found_out() {
    // The overload is there from the first request on.
    let mut case = Case::new((50, 0.05), Service::Constant, 2);
    case.run(2.0, 40.0, 0.0);
    let over = case.run(2.0, 20.0, 0.0);
    assert!(over.goodput() >= 0.9 * case.capacity());
    assert!(over.mean() <= 2.0 * 0.05, "{} s", over.mean());
}

#[test]
fn time_outs_alone_bring_the_limit_down_to_its_bound() {
    let rules = Rules { min: 3, max: 100 };
    let limit = AdaptiveLimit::new(rules, 1, Instant::ZERO);
    for i in 0..20_000u64 {
        let now = Instant::from_millis(i * 10);
        limit.on_sample(&sample(Duration::from_secs(5), limit.limit(), true), now);
    }
    assert_eq!(limit.limit(), 3);
    limit.reconfigure(Rules { min: 7, max: 100 });
    assert_eq!(limit.limit(), 7);
}

#[test]
fn silence_opens_the_limit() {
    let limit = AdaptiveLimit::new(Rules::default(), 1, Instant::ZERO);
    let mut now = Instant::ZERO;
    for i in 0..3000u32 {
        now += Duration::from_millis(2);
        let latency = if i < 1000 {
            10
        } else {
            10 + u64::from(i - 1000)
        };
        let latency = Duration::from_millis(latency);
        let under_way = latency.as_millis() as u32 / 2;
        limit.on_sample(&sample(latency, under_way, false), now);
    }
    assert_eq!(limit.snapshot().phase, Phase::Limited);
    for _ in 0..3 {
        now += Duration::from_secs(20);
        limit.tick(now);
    }
    assert_eq!(limit.snapshot().phase, Phase::Open);
    assert!(limit.limit() > 10);
}

#[test]
fn any_samples_keep_the_limit_within_its_bounds() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(9);
    for round in 0..50 {
        let rules = Rules { min: 4, max: 64 };
        let limit = AdaptiveLimit::new(rules, round, Instant::ZERO);
        let mut now = Instant::ZERO;
        for _ in 0..5000 {
            now += Duration::from_micros(rng.random_range(0..20_000));
            let latency = Duration::from_secs_f64(rng.random::<f64>().powi(8) * 1e4);
            let dropped = rng.random_range(0..10) == 0;
            limit.on_sample(&sample(latency, rng.random_range(0..200), dropped), now);
            assert!((4..=64).contains(&limit.limit()), "{}", limit.limit());
        }
    }
}

#[test]
#[ignore = "a measurement, for release builds"]
fn time_per_answer() {
    let limit = AdaptiveLimit::new(Rules::default(), 1, Instant::ZERO);
    let begin = std::hint::black_box(10_000_000u64);
    let start = std::time::Instant::elapsed;
    #[allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]
    let clock = std::time::Instant::now();
    for i in 0..begin {
        let latency = Duration::from_micros(900 + i % 200);
        limit.on_sample(&sample(latency, 10, false), Instant::from_nanos(i * 10_000));
    }
    println!("{:.1} ns", start(&clock).as_secs_f64() * 1e9 / begin as f64);
}

#[test]
fn fast_pools_are_not_shed_for_a_millisecond() {
    let mut case = Case::new((10, 0.001), Service::Exponential, 4);
    case.run(0.5, 5.0, 0.0);
    case.service = 0.003;
    let slower = case.run(0.5, 5.0, 0.0);
    assert_eq!(slower.shed, 0, "3 ms instead of 1 is no overload");
    let over = case.run(2.0, 10.0, 2.0);
    assert!(over.goodput() >= 0.9 * case.capacity());
    assert!(over.mean() <= 0.012, "{} s", over.mean());
}

#[test]
fn a_sudden_overload_builds_a_short_queue_before_it_is_seen() {
    for (workers, load, most) in [
        (9, 5.0, 7.0),
        (18, 5.0, 7.0),
        (50, 5.0, 5.0),
        (18, 2.0, 5.0),
    ] {
        for seed in 0..4 {
            let mut case = Case::new((workers, 0.1), Service::Constant, seed);
            case.sim.patience = 2.0;
            case.run(0.5, 3.0, 0.0);
            let over = case.run(load, 5.0, 0.0);
            let (share, p99) = (over.goodput() / case.capacity(), over.quantile(0.99) / 0.1);
            let what = format!("{workers} workers x{load} seed {seed}");
            assert!(share >= 0.9, "{what}: goodput {share} with the onset");
            assert!(
                p99 <= most,
                "{what}: p99 {p99} times the usual with the onset"
            );
        }
    }
}

/// More and more may be under way as answers show that it does no harm.
#[test]
fn a_jump_within_the_capacity_is_let_in() {
    for (workers, usual, load) in [(20, 0.1, 0.8), (100, 0.2, 0.9), (100, 0.1, 0.8)] {
        for seed in 0..4 {
            let mut case = Case::new((workers, 0.1), Service::Exponential, seed);
            case.run(usual, 10.0, 0.0);
            let jump = case.run(load, 0.5, 0.0);
            let what = format!("{workers} workers {usual} to {load} seed {seed}");
            assert!(shed(&jump) <= 0.03, "{what}: {} shed", shed(&jump));
        }
    }
}

/// Each sees the others' queue as its own, and what it gives up the others take.
#[test]
fn replicas_that_share_a_pool_take_no_queue_for_slowness() {
    const SEEDS: u64 = 24;
    for (spread, load, slower) in [
        (Service::Constant, 2.0, 2.1),
        (Service::Constant, 5.0, 2.1),
        (Service::Exponential, 2.0, 1.4),
    ] {
        let (mut goodput, mut p99) = (0.0, 0.0);
        for seed in 0..SEEDS {
            let sim = Simulation::shared((2, 3), 6, spread, seed);
            let mut case = Case {
                workers: 18,
                service: 0.1,
                sim,
            };
            case.sim.patience = 2.0;
            let before = case.run(0.5, 3.0, 0.0);
            let over = case.run(load, 15.0, 3.0);
            goodput += over.goodput() / case.capacity() / SEEDS as f64;
            p99 += over.quantile(0.99) / before.quantile(0.99) / SEEDS as f64;
        }
        let what = format!("{spread:?} x{load}");
        assert!(goodput >= 0.85, "{what}: goodput {goodput}");
        println!("{what}: goodput {goodput:.2} p99 {p99:.2}");
        assert!(p99 <= slower, "{what}: p99 {p99} times the usual");
    }
}
