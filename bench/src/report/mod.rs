//! From samples to medians, ratios, a table and a file.

pub(crate) mod environment;
mod metric;
pub(crate) mod table;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::campaign::Outcome;
use crate::contender::Row;
use crate::measure::Sample;
use crate::stats::Spread;
use environment::Environment;
pub(crate) use metric::Metric;

/// Version of the report's shape; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Whom the others are compared with.
pub(crate) struct Versus {
    /// The name of the ratio.
    pub(crate) label: &'static str,
    /// Whether a row is the reference; the reference of a row also has as many tiers.
    pub(crate) is_reference: fn(&Row) -> bool,
}

/// The whole result.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    environment: Environment,
    /// The options that shaped the run.
    options: Value,
    pub(crate) rows: Vec<RowReport>,
    /// What the choice benchmark of lb-core printed; `null` if it is not built.
    pub(crate) choice: Option<Value>,
}

/// One line.
#[derive(Debug, Serialize)]
pub(crate) struct RowReport {
    label: String,
    #[serde(flatten)]
    row: Row,
    /// Why there are fewer samples than rounds.
    trouble: Option<String>,
    /// Medians and spreads by name.
    metrics: BTreeMap<&'static str, Spread>,
    /// CPU per request against a reference with as many tiers, within each round.
    cpu_ratios: BTreeMap<&'static str, Spread>,
    /// The raw samples by round.
    samples: BTreeMap<usize, Sample>,
}

// === impl Report ===

impl Report {
    /// Summarises `outcomes`, comparing each with the rows that `versus` names.
    pub(crate) fn new(
        environment: Environment,
        options: Value,
        outcomes: Vec<Outcome>,
        versus: &[Versus],
        choice: Option<Value>,
    ) -> Self {
        let ratios: Vec<_> = outcomes
            .iter()
            .map(|one| cpu_ratios(one, &outcomes, versus))
            .collect();
        let rows = outcomes
            .into_iter()
            .zip(ratios)
            .map(|(outcome, cpu_ratios)| RowReport::new(outcome, cpu_ratios))
            .collect();
        Self {
            schema: SCHEMA,
            environment,
            options,
            rows,
            choice,
        }
    }
}

// === impl RowReport ===

impl RowReport {
    fn new(outcome: Outcome, cpu_ratios: BTreeMap<&'static str, Spread>) -> Self {
        let Outcome {
            row,
            samples,
            trouble,
        } = outcome;
        let spread = |metric: Metric| {
            let values = samples.values().filter_map(|sample| metric.of(sample));
            Some((metric.name(), Spread::of(values)?))
        };
        let metrics = Metric::ALL.into_iter().filter_map(spread).collect();
        Self {
            label: row.label(),
            row,
            trouble,
            metrics,
            cpu_ratios,
            samples,
        }
    }

    fn metric(&self, metric: Metric) -> Option<&Spread> {
        self.metrics.get(metric.name())
    }
}

fn cpu_ratios(one: &Outcome, all: &[Outcome], versus: &[Versus]) -> BTreeMap<&'static str, Spread> {
    let against = |versus: &Versus| {
        let reference = all
            .iter()
            .find(|other| other.row.tiers == one.row.tiers && (versus.is_reference)(&other.row))?;
        let ratio = |(round, sample): (&usize, &Sample)| {
            let theirs = Metric::CpuPerRequest.of(reference.samples.get(round)?)?;
            Some(Metric::CpuPerRequest.of(sample)? / theirs)
        };
        Some((
            versus.label,
            Spread::of(one.samples.iter().filter_map(ratio))?,
        ))
    };
    versus.iter().filter_map(against).collect()
}
