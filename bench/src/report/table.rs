//! The table for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Metric, Report, RowReport};
use crate::quiet::FOREIGN_LIMIT;
use crate::stats::Spread;

/// A proxy that was less busy than this was not the limit of its closed loop.
const BUSY_LIMIT_PERCENT: f64 = 90.0;

/// The report as text, ratios under the names of `versus`, with or without the choice time.
pub(crate) fn render(report: &Report, versus: &[&'static str], with_choice: bool) -> String {
    let mut lines = vec![header(versus)];
    lines.extend(report.rows.iter().map(|row| cells(row, versus)));
    let mut text = align(&lines);
    for row in &report.rows {
        for note in notes(row) {
            let _ = writeln!(text, "  {}: {note}", row.label);
        }
    }
    match &report.choice {
        Some(choice) => text.push_str(&render_choice(choice)),
        None if !with_choice => {}
        None => text.push_str(
            "\nchoice of a server: not built: cargo build --release -p lb-core --example pick_time\n",
        ),
    }
    text
}

fn header(versus: &[&'static str]) -> Vec<String> {
    let mut cells = vec![
        "".to_owned(),
        "req/s".into(),
        "CPU us/req".into(),
        "[min..max]".into(),
    ];
    cells.extend(versus.iter().map(|label| format!("x {label}")));
    let rest = [
        "at rate",
        "p50 us",
        "p99 us",
        "late",
        "errors",
        "MiB/10k idle",
        "proxy %",
    ];
    cells.extend(rest.map(str::to_owned));
    cells
}

fn cells(row: &RowReport, versus: &[&'static str]) -> Vec<String> {
    let mut cells = vec![row.label.clone()];
    if row.samples.is_empty() {
        return cells;
    }
    let cpu = row.metric(Metric::CpuPerRequest);
    cells.push(median(row.metric(Metric::RequestsPerSecond), 0));
    cells.push(median(cpu, 2));
    cells.push(cpu.map_or("-".into(), |s| format!("{:.1}..{:.1}", s.min, s.max)));
    cells.extend(
        versus
            .iter()
            .map(|label| median(row.cpu_ratios.get(label), 2)),
    );
    cells.push(median(row.metric(Metric::CpuPerRequestAtRate), 2));
    cells.push(median(row.metric(Metric::P50), 0));
    cells.push(median(row.metric(Metric::P99), 0));
    cells.push(median(row.metric(Metric::LateAnswers), 0));
    cells.push(median(row.metric(Metric::Errors), 0));
    let idle = row
        .metric(Metric::IdlePss)
        .map(|spread| spread.median * 1e4 / 1_048_576.0);
    cells.push(idle.map_or("-".to_owned(), |mebibytes| format!("{mebibytes:.1}")));
    let busy = row
        .metric(Metric::ProxyBusy)
        .filter(|spread| spread.max > 0.0);
    cells.push(median(busy, 0));
    cells
}

fn notes(row: &RowReport) -> Vec<String> {
    let mut notes: Vec<String> = row.trouble.iter().cloned().collect();
    let of = |metric| row.metric(metric).map_or(0.0, |spread| spread.median);
    if of(Metric::ForeignBusy) > 100.0 * FOREIGN_LIMIT {
        let share = of(Metric::ForeignBusy);
        notes.push(format!(
            "others used {share:.0} % of a CPU meanwhile; repeat on a quiet machine"
        ));
    }
    let busy = of(Metric::ProxyBusy);
    if busy > 0.0 && busy < BUSY_LIMIT_PERCENT {
        notes.push(format!(
            "req/s is not its limit: the proxy used {busy:.0} % of its CPU"
        ));
    }
    if of(Metric::IdleClosed) > 0.0 {
        let closed = of(Metric::IdleClosed);
        notes.push(format!(
            "{closed:.0} idle connections were closed, so their memory is missing"
        ));
    }
    notes
}

fn median(spread: Option<&Spread>, decimals: usize) -> String {
    spread.map_or("-".to_owned(), |spread| {
        format!("{:.decimals$}", spread.median)
    })
}

/// First column to the left, all others to the right.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match index {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        let kept = text.trim_end().len();
        text.truncate(kept);
        text.push('\n');
    }
    text
}

/// Nanoseconds per choice by policy and pool size; the bare JSON if it has another shape by now.
fn render_choice(choice: &Value) -> String {
    let rows = choice_rows(choice);
    let body = rows.map_or_else(|| format!("{choice}\n"), |rows| align(&rows));
    format!("\nchoice of a server, ns\n{body}")
}

fn choice_rows(choice: &Value) -> Option<Vec<Vec<String>>> {
    let sizes: Vec<String> = choice
        .get("sizes")?
        .as_array()?
        .iter()
        .map(Value::to_string)
        .collect();
    let mut lines = vec![
        std::iter::once("servers".to_owned())
            .chain(sizes.clone())
            .collect(),
    ];
    for row in choice.get("rows")?.as_array()? {
        let weighted = if row.get("weighted")?.as_bool()? {
            ", weighted"
        } else {
            ""
        };
        let mut line = vec![format!("{}{weighted}", row.get("policy")?.as_str()?)];
        for size in &sizes {
            line.push(format!(
                "{:.1}",
                row.get("pick_nanos")?.get(size)?.as_f64()?
            ));
        }
        lines.push(line);
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_short_rows_are_allowed() {
        let line = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let text = align(&[
            line(&["", "req/s"]),
            line(&["direct", "9"]),
            line(&["envoy"]),
        ]);
        assert_eq!(text, "        req/s\ndirect      9\nenvoy\n");
    }

    #[test]
    fn choice_is_a_table_or_else_what_was_printed() {
        let choice = serde_json::json!({
            "sizes": [10, 100],
            "rows": [{ "policy": "p2c", "weighted": true, "pick_nanos": { "10": 1.25, "100": 2 } }],
        });
        let text = render_choice(&choice);
        assert!(text.contains("p2c, weighted  1.2  2.0"), "{text}");
        assert!(render_choice(&serde_json::json!({ "new": 1 })).contains(r#"{"new":1}"#));
    }
}
