//! Tables for people, in Markdown: one row a scenario with the contenders side by side, and one row a run with all numbers.

use std::fmt::Write as _;

use serde::Serialize;

use crate::contender::Contender;
use crate::measures::{Bound, Check, Measures};
use crate::scenario::Scenario;
use crate::stats::Recovery;

/// One scenario with one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was played.
    pub scenario: Scenario,
    /// With whom.
    pub contender: Contender,
    /// What came of it.
    pub measures: Option<Measures>,
    /// Why nothing did.
    pub error: Option<String>,
    /// Keys of the mechanisms that were off.
    pub off: Vec<&'static str>,
    /// Whether every target was met.
    pub is_met: bool,
}

// === impl Row ===

impl Row {
    /// The row of a scenario that was played, or could not be.
    pub fn new(scenario: Scenario, contender: Contender, played: anyhow::Result<Measures>) -> Self {
        let (measures, error) = match played {
            Ok(measures) => (Some(measures), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self {
            scenario,
            contender,
            off: contender.in_scenario(scenario).off.keys(),
            is_met: measures.as_ref().is_some_and(Measures::is_met),
            measures,
            error,
        }
    }
}

/// One line a run, for whoever waits.
pub fn progress(row: &Row) -> String {
    let who = format!("{:<18} {:<8}", row.scenario.name(), row.contender.name());
    match (&row.error, &row.measures) {
        (Some(error), _) => format!("{who} could not be played: {error}"),
        (None, None) => who,
        (None, Some(measures)) => {
            let notes = measures.notes.iter();
            let notes: String = notes.map(|(k, v)| format!(", {k} {}", short(*v))).collect();
            let kinds = measures.failures.iter();
            let kinds: String = kinds.map(|(k, n)| format!(", {n} × {k}")).collect();
            let percent = measures.success_percent;
            format!(
                "{who} {} ({percent:.2} % of {}{notes}{kinds})",
                verdict(row),
                measures.sent
            )
        }
    }
}

/// One row a scenario: its target, and for each contender the numbers that decide, ✓ or ✗. The control's cell says what was
/// off, and when it met the target all the same.
pub fn side_by_side(rows: &[Row], contenders: &[Contender]) -> String {
    let mut text = String::from("| scenario | target |");
    for contender in contenders {
        let _ = write!(text, " {} |", contender.title());
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(contenders.len()));
    text.push('\n');
    for scenario in Scenario::ALL {
        if !rows.iter().any(|row| row.scenario == scenario) {
            continue;
        }
        let _ = write!(text, "| `{}` | {} |", scenario.name(), scenario.target());
        for contender in contenders {
            let is_it = |row: &&Row| row.scenario == scenario && row.contender == *contender;
            let cell = rows.iter().find(is_it).map_or_else(|| "–".into(), verdict);
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

/// One row a run, with all numbers.
pub fn details(rows: &[Row]) -> String {
    let mut text = String::from(
        "| scenario | contender | success % | recovered s | amplification | p99 × | healthy p99 ms | failed GET/POST | late | repeated POSTs | lag ms |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = write!(
            text,
            "| {} | {} |",
            row.scenario.name(),
            row.contender.name()
        );
        let Some(m) = &row.measures else {
            let _ = writeln!(text, " – | – | – | – | – | – | – | – | – |");
            continue;
        };
        let _ = writeln!(
            text,
            " {:.2} | {} | {} | {} | {:.0} | {}/{} | {} | {} | {:.0} |",
            m.success_percent,
            recovered(m.recovery),
            optional(m.amplification, 2),
            optional(m.p99_ratio, 2),
            m.healthy_p99_ms,
            m.failed_gets,
            m.failed_posts,
            m.late,
            m.repeated_posts,
            m.generator_lag_ms,
        );
    }
    text
}

/// Writing to a string cannot fail, hence the ignored results in this file.
fn verdict(row: &Row) -> String {
    let Some(measures) = &row.measures else {
        return "could not be played".to_owned();
    };
    let sign = if row.is_met { "✓" } else { "✗" };
    let checks: Vec<String> = measures.checks.iter().map(judged).collect();
    format!("{sign} {}{}", checks.join(", "), without(row))
}

/// What was off, for a control. One that meets the target shows that the row proves nothing of what was off.
fn without(row: &Row) -> String {
    if row.contender != Contender::Control {
        return String::new();
    }
    let off = row.scenario.control().words();
    if row.is_met {
        format!("; control also meets it: this row proves nothing; without {off}")
    } else {
        format!("; without {off}")
    }
}

fn judged(check: &Check) -> String {
    let value = check.value.map_or_else(|| "never".to_owned(), short);
    let missed = match (check.is_met(), check.bound) {
        (true, _) => String::new(),
        (false, Bound::AtMost) => format!(" (> {})", short(check.limit)),
        (false, Bound::AtLeast) => format!(" (< {})", short(check.limit)),
    };
    format!("{} {value}{missed}", check.what)
}

fn short(value: f64) -> String {
    let digits = if value.fract() == 0.0 { 0 } else { 2 };
    format!("{value:.digits$}")
}

fn recovered(recovery: Option<Recovery>) -> String {
    match recovery {
        None => "–".to_owned(),
        Some(Recovery::Never) => "never".to_owned(),
        Some(Recovery::After(seconds)) => format!("{seconds:.1}"),
    }
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(contender: Contender, failed: f64) -> Row {
        let mut measures = Measures {
            success_percent: 99.5,
            recovery: Some(Recovery::After(0.25)),
            amplification: Some(1.0),
            ..Measures::default()
        };
        measures.at_most("failed GETs", failed, 0.0);
        Row::new(Scenario::ServerKilled, contender, Ok(measures))
    }

    #[test]
    fn contenders_stand_side_by_side_with_what_they_missed() {
        let rows = [row(Contender::Strata, 0.0), row(Contender::Envoy, 3.0)];
        let table = side_by_side(&rows, &Contender::ALL);
        let last = table.lines().last().unwrap();
        assert!(last.starts_with("| `server-killed` |"), "{last}");
        assert!(last.contains("| ✓ failed GETs 0 |"), "{last}");
        assert!(last.contains("| ✗ failed GETs 3 (> 0) |"), "{last}");
        assert!(last.ends_with("| – |"), "not played with HAProxy: {last}");
        assert_eq!(table.lines().count(), 3);
    }

    #[test]
    fn a_control_says_what_was_off_and_when_that_made_no_difference() {
        let shown = |row: Row| side_by_side(&[row], &[Contender::Control]);
        let missed = shown(row(Contender::Control, 7.0));
        let words = "✗ failed GETs 7 (> 0); without retries, ejection by traffic |";
        assert!(missed.contains(words), "{missed}");
        let met = shown(row(Contender::Control, 0.0));
        assert!(met.contains("control also meets it"), "{met}");
    }

    #[test]
    fn details_have_as_many_cells_as_their_head() {
        let failed = Row::new(
            Scenario::ServerKilled,
            Contender::Haproxy,
            Err(anyhow::anyhow!("no program")),
        );
        let table = details(&[row(Contender::Strata, 0.0), failed]);
        let cells: Vec<usize> = table.lines().map(|l| l.matches('|').count()).collect();
        assert_eq!(cells, [12; 4], "{table}");
    }

    #[test]
    fn what_never_came_about_is_named() {
        let mut measures = Measures {
            recovery: Some(Recovery::Never),
            ..Measures::default()
        };
        measures.recovers_within(3.0);
        let row = Row::new(Scenario::RegionCut, Contender::Haproxy, Ok(measures));
        let table = side_by_side(&[row], &[Contender::Haproxy]);
        assert!(table.contains("✗ recovered, s never (> 3)"), "{table}");
    }
}
