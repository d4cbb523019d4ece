//! Holds the operators' pages against the tables that the programs really use.
//!
//! A page that names what is not there, or leaves out what is, sends somebody the wrong way at night.

use lb_core::reason::Reason;
use lb_runtime::metrics::Families;
use std::collections::BTreeSet;

const METRICS: &str = include_str!("../../../docs/metrics.md");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
const TROUBLESHOOTING: &str = include_str!("../../../docs/troubleshooting.md");
const ACCESS_LOG: &str = include_str!("../src/access_log.rs");

/// The first cells of all table rows, without backticks.
fn first_cells(page: &str) -> Vec<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('`').nth(1)).collect()
}

#[test]
fn every_metric_family_is_described_once() {
    let told: Vec<_> = first_cells(METRICS)
        .into_iter()
        .filter(|c| c.starts_with("lb_") && !c.contains(' '))
        .collect();
    let unique: BTreeSet<_> = told.iter().map(|name| (*name).to_owned()).collect();
    let real: BTreeSet<_> = Families::table()
        .iter()
        .map(|(name, _)| format!("lb_{name}"))
        .collect();
    assert_eq!(
        unique, real,
        "docs/metrics.md (left) and metrics/families.rs (right) differ"
    );
    assert_eq!(
        told.len(),
        real.len(),
        "docs/metrics.md describes a family twice"
    );
}

#[test]
fn metrics_named_in_any_example_exist() {
    let names: BTreeSet<_> = Families::table()
        .iter()
        .map(|(name, _)| format!("lb_{name}"))
        .collect();
    for page in [METRICS, OPERATIONS, TROUBLESHOOTING] {
        let words = page.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        for word in words.filter(|word| word.starts_with("lb_") && *word != "lb_") {
            let known = names.contains(word) || ["lb_core", "lb_runtime"].contains(&word);
            assert!(known, "{word} is no metric");
        }
    }
}

#[test]
fn every_reason_has_its_row_with_status_and_flag() {
    let rows: Vec<_> = TROUBLESHOOTING
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for reason in Reason::all() {
        let status = reason
            .status()
            .map_or("–".to_owned(), |status| status.to_string());
        let start = format!("| `{}` | {status} | `{}` |", reason.label(), reason.flag());
        let count = rows.iter().filter(|row| row.starts_with(&start)).count();
        assert_eq!(
            count, 1,
            "docs/troubleshooting.md must have one row that starts with {start}"
        );
    }
    let known: BTreeSet<_> = Reason::all().iter().map(|reason| reason.label()).collect();
    for row in rows {
        let label = row.split('`').nth(1).unwrap_or_default();
        let head = lb_core::http::head::HeadFault::ALL
            .iter()
            .any(|fault| fault.label() == label);
        let chunk = lb_core::http::chunk::ChunkFault::ALL
            .iter()
            .any(|fault| fault.label() == label);
        let ours = known.contains(label) || head || chunk || label == "slow_head";
        assert!(
            ours,
            "docs/troubleshooting.md has a row for {label}, which is no reason"
        );
    }
}

#[test]
fn every_refusal_of_a_head_or_chunk_is_listed() {
    let heads = lb_core::http::head::HeadFault::ALL.iter();
    let heads = heads.map(|fault| (fault.label(), fault.status()));
    let chunks = lb_core::http::chunk::ChunkFault::ALL.iter();
    let chunks = chunks.map(|fault| (fault.label(), 400));
    for (label, status) in heads.chain(chunks) {
        let start = format!("| `{label}` | {status} |");
        let count = TROUBLESHOOTING
            .lines()
            .filter(|line| line.starts_with(&start))
            .count();
        assert_eq!(
            count, 1,
            "docs/troubleshooting.md must have one row that starts with {start}"
        );
    }
}

#[test]
fn every_field_of_the_access_log_is_described() {
    let line = ACCESS_LOG
        .split("pub struct Line")
        .nth(1)
        .unwrap_or_default();
    let line = line.split("\n}").next().unwrap_or_default();
    let fields = line
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub "));
    let fields: Vec<_> = fields.filter_map(|field| field.split(':').next()).collect();
    assert!(fields.len() > 20, "the fields were not found: {fields:?}");
    let told = first_cells(OPERATIONS);
    for field in fields {
        assert!(
            told.contains(&field),
            "docs/operations.md does not describe {field}"
        );
    }
}
