//! Prints what one pick costs, per policy and size of pool.
//!
//! `cargo run --release -p lb-core --example pick_time [-- --output json]`
//!
//! Each figure is the median of several batches of picks with random keys over endpoints that have
//! measured latencies, a few requests in flight and, for every tenth, a recent failure. The last
//! column is the time to build the tables of the largest pool.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lb_core::balance::hash::{mix, stable_hash};
use lb_core::balance::{Balancer, Candidate, EndpointId, InFlight, Load, Policy, PoolLoad, Weight};
use lb_core::time::Instant;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use serde_json::json;

const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];
/// Many short ones, so that the median is a batch that was not interrupted.
const BATCHES: usize = 101;
const NOW: Instant = Instant::from_millis(60_000);

/// The figures of one policy.
struct Row {
    policy: Policy,
    weighted: bool,
    /// Nanoseconds per pick, for each of [`SIZES`].
    pick_nanos: [f64; SIZES.len()],
    /// Milliseconds to build the tables of the largest size.
    build_millis: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = Policy::ALL
        .iter()
        .flat_map(|policy| [false, true].map(|w| row(*policy, w)));
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => print_table(rows),
        ["--output", "json"] => print_json(rows),
        _ => return Err("usage: pick_time [--output json]".into()),
    }
    Ok(())
}

fn row(policy: Policy, weighted: bool) -> Row {
    let mut build_millis = 0.0;
    let pick_nanos = SIZES.map(|size| {
        let (candidates, _in_flight) = pool(size, weighted);
        let (balancer, build) = timed(|| Balancer::new(policy, candidates));
        build_millis = build.as_secs_f64() * 1e3;
        nanos_per_pick(&balancer)
    });
    Row {
        policy,
        weighted,
        pick_nanos,
        build_millis,
    }
}

fn pool(size: u32, weighted: bool) -> (Vec<Candidate>, Vec<InFlight>) {
    let pool = PoolLoad::new();
    let mut in_flight = Vec::new();
    let candidate = |number: u32| {
        let load = Arc::new(Load::in_pool(NOW, Arc::clone(&pool)));
        let random = mix(u64::from(number));
        load.observe(Duration::from_micros(1_000 + random % 20_000), NOW);
        in_flight.extend((0..random % 8).map(|_| load.begin()));
        if number % 10 == 9 {
            load.penalize(NOW);
        }
        let weight = if weighted {
            Weight::new(1 + number % 10)
        } else {
            None
        };
        Candidate {
            id: EndpointId(number),
            load,
            weight: weight.unwrap_or(Weight::ONE),
            key_hash: stable_hash(format!("server-{number}").as_bytes()),
        }
    };
    ((0..size).map(candidate).collect(), in_flight)
}

fn nanos_per_pick(balancer: &Balancer) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let now = NOW + Duration::from_secs(1);
    let mut batch = |picks: u32| {
        let (sum, took) = timed(|| {
            (0..picks).fold(0, |sum: usize, _| {
                let key = Some(rng.next_u64());
                sum.wrapping_add(balancer.pick(key, &[], now, &mut rng).unwrap_or_default())
            })
        });
        std::hint::black_box(sum);
        took.as_nanos() as f64 / f64::from(picks)
    };
    // A batch takes about 2 ms, whatever a pick takes.
    let picks = (2e6 / batch(1_000)).clamp(20.0, 1e6) as u32;
    let mut figures = [(); BATCHES].map(|()| batch(picks));
    figures.sort_by(f64::total_cmp);
    figures.get(BATCHES / 2).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::disallowed_methods, reason = "this program measures real time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}

#[allow(clippy::print_stdout, reason = "the table is this program's output")]
fn print_table(rows: impl Iterator<Item = Row>) {
    print!("{:<15}{:<10}", "policy", "weights");
    SIZES
        .iter()
        .for_each(|size| print!("{:>11}", format!("{size} [ns]")));
    println!("{:>13}", "build [ms]");
    for row in rows {
        let weights = if row.weighted { "1 to 10" } else { "equal" };
        print!("{:<15}{weights:<10}", row.policy.name());
        row.pick_nanos
            .iter()
            .for_each(|nanos| print!("{nanos:>11.1}"));
        println!("{:>13.2}", row.build_millis);
    }
}

#[allow(clippy::print_stdout, reason = "the document is this program's output")]
fn print_json(rows: impl Iterator<Item = Row>) {
    let rows: Vec<_> = rows
        .map(|row| {
            let picks: serde_json::Map<_, _> = SIZES
                .iter()
                .map(ToString::to_string)
                .zip(row.pick_nanos.map(Into::into))
                .collect();
            json!({
                "policy": row.policy.name(),
                "weighted": row.weighted,
                "pick_nanos": picks,
                "build_millis": row.build_millis,
            })
        })
        .collect();
    println!("{}", json!({ "sizes": SIZES, "rows": rows }));
}
