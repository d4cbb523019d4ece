//! Interleaved rounds over all rows.
//!
//! A machine drifts: clocks change, neighbours come and go. Measuring one contender after the other
//! would hand that drift to whoever ran last. So every round measures every row once, each round
//! starts with another row, and ratios are taken within a round.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contender::Row;
use crate::contender::program::Program;
use crate::contender::stack::{Bed, TestServers};
use crate::interrupt::Interrupted;
use crate::measure::{Plan, Sample, sample};
use crate::quiet::{FOREIGN_LIMIT, Patience};

/// What became of one row.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    /// By round, counted from 0.
    pub(crate) samples: BTreeMap<usize, Sample>,
    /// Why there are fewer samples than rounds: the last failure, or what is missing.
    pub(crate) trouble: Option<String>,
}

/// Measures `rows` in `rounds` rounds. A row that fails is noted and the others go on; only a signal
/// ends the campaign early.
pub(crate) fn run(
    bed: &Bed,
    servers: &TestServers,
    rows: &[Row],
    plan: &Plan,
    rounds: usize,
    patience: &mut Patience,
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = rows.iter().map(|row| prepare(bed, row)).collect();
    for round in 0..rounds {
        for step in 0..outcomes.len() {
            let index = (round + step) % outcomes.len();
            let Some(outcome) = outcomes.get_mut(index) else {
                continue;
            };
            if outcome.samples.is_empty() && outcome.trouble.is_some() {
                continue;
            }
            bed.interrupt.check()?;
            let what = format!("round {}/{rounds} {:<22}", round + 1, outcome.row.label());
            match sample(bed, servers, &outcome.row, plan, patience) {
                Ok(sample) => {
                    eprintln!("{what} {}", brief(&sample));
                    outcome.samples.insert(round, sample);
                }
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => {
                    eprintln!("{what} failed: {error:#}");
                    outcome.trouble = Some(format!("failed: {error:#}"));
                }
            }
        }
    }
    Ok(outcomes)
}

/// A row whose programs are missing gets no samples but says how to get them.
fn prepare(bed: &Bed, row: &Row) -> Outcome {
    let missing = Program::chain(row)
        .into_iter()
        .find_map(|p| p.locate(&bed.places).err());
    Outcome {
        row: *row,
        samples: BTreeMap::new(),
        trouble: missing.map(|missing| missing.hint),
    }
}

fn brief(sample: &Sample) -> String {
    let rate = sample.closed.answers as f64 / sample.closed.seconds;
    let cpu = sample.closed_cost.proxy_s * 1e6 / sample.closed.answers.max(1) as f64;
    let p99 = sample
        .open
        .latency
        .map_or(f64::NAN, |latency| latency.p99_us);
    let foreign = 100.0 * sample.closed_cost.foreign_share();
    let foreign = if foreign > 100.0 * FOREIGN_LIMIT {
        format!("  (others {foreign:.0} %)")
    } else {
        String::new()
    };
    format!("{rate:>8.0} req/s  {cpu:>6.2} us CPU/req  p99 {p99:>6.0} us{foreign}")
}
