//! Orders and forecasts for people.

use super::sight::Sights;
use crate::output::View;
use crate::table::{Cell, Table, Tone, clean, number, paint, text};
use crate::words;
use lb_core::drain::{Action, Fit, Forecast, Receiver, Record, Refusal, Rule};

/// An order in one line: what, how fast, by whom and why, until when.
pub(crate) fn order(record: &Record, now_ms: u64) -> String {
    let ramp = match record.ramp_s {
        0 => " at once".to_owned(),
        seconds => format!(" over {}", words::age(u64::from(seconds) * 1000)),
    };
    let what = match record.action {
        Action::Drain | Action::Dial => {
            format!(
                "{} to {}%{ramp}",
                record.action.as_str(),
                record.keep_percent
            )
        }
        Action::Offline => "offline".to_owned(),
        Action::Undrain => format!("undrain{ramp}"),
    };
    let scope = &record.scope;
    clean(&format!("{scope}: {what}, {}", author(record, now_ms)))
}

/// By whom, why, and until when.
pub(crate) fn author(record: &Record, now_ms: u64) -> String {
    let mut told = format!("by {}", record.actor);
    if !record.reason.is_empty() {
        told += &format!(": {}", record.reason);
    }
    if let Some(ticket) = &record.ticket {
        told += &format!(" ({ticket})");
    }
    if record.action != Action::Undrain {
        told += &format!(", {}", end(record, now_ms));
    }
    clean(&told)
}

/// When it ends.
pub(crate) fn end(record: &Record, now_ms: u64) -> String {
    match record.expires_ms {
        _ if record.action == Action::Undrain => "over".to_owned(),
        None => "never expires".to_owned(),
        Some(at) if at <= now_ms => "expired".to_owned(),
        Some(at) => format!("expires in {}", words::age(at - now_ms)),
    }
}

/// Where the requests would go, and what speaks against it. `may_break` are rules that the order may break.
pub(crate) fn forecast(forecast: &Forecast, may_break: &[Rule], view: View) -> String {
    let moves = match forecast.moves_rps {
        Some(rps) => format!("{rps:.1} requests/s move"),
        None => "how many requests move is unknown".to_owned(),
    };
    let mut told = format!("{}: {moves}\n", forecast.region);
    told += &receivers(&forecast.receivers).draw(view);
    let (text, tone) = match forecast.survives_one_more {
        Some(true) => ("● N+1: one more region may fail", Tone::Good),
        Some(false) => (
            "▲ N+1 is lost: if one more region fails, not all can be served",
            Tone::Warn,
        ),
        None => ("○ N+1: unknown, as a capacity is", Tone::Dim),
    };
    told += &format!("{}\n", paint(text, tone, view.colour));
    told + &refusals(&forecast.refusals, may_break, view)
}

fn receivers(receivers: &[Receiver]) -> Table {
    let mut table = Table::new([
        text("RECEIVER"),
        number("BEFORE"),
        number("AFTER"),
        number("TAKES/S"),
        text("FIT"),
    ]);
    for receiver in receivers {
        table.row([
            Cell::from(receiver.region.as_str()),
            words::percent(receiver.before).into(),
            words::percent(receiver.after).into(),
            format!("{:.1}", receiver.takes_rps).into(),
            fit(receiver.fit),
        ]);
    }
    table
}

fn fit(fit: Fit) -> Cell {
    match fit {
        Fit::Fits => Cell::new("● fits", Tone::Good),
        Fit::Tight => Cell::new("▲ tight", Tone::Warn),
        Fit::Over => Cell::new("✖ over", Tone::Bad),
        Fit::Unknown => Cell::new("○ unknown", Tone::Dim),
    }
}

/// Broken rules, each with what breaks it.
pub(crate) fn refusals(refusals: &[Refusal], may_break: &[Rule], view: View) -> String {
    let told = refusals.iter().map(|refusal| {
        let (why, name) = (clean(&refusal.why), refusal.rule.as_str());
        let (line, tone) = if may_break.contains(&refusal.rule) {
            (format!("▲ {why}: overridden ({name})"), Tone::Warn)
        } else {
            (format!("✖ {why}: --override {name}"), Tone::Bad)
        };
        paint(&line, tone, view.colour) + "\n"
    });
    told.collect()
}

/// The option that breaks all of `refusals` that the order may not break.
pub(crate) fn override_option(refusals: &[Refusal], may_break: &[Rule]) -> Option<String> {
    let open = refusals.iter().map(|refusal| refusal.rule);
    let mut rules: Vec<Rule> = open.filter(|rule| !may_break.contains(rule)).collect();
    rules.sort_unstable();
    rules.dedup();
    let names: Vec<&str> = rules.into_iter().map(Rule::as_str).collect();
    (!names.is_empty()).then(|| format!("--override {}", names.join(",")))
}

/// What each replica makes of the order.
pub(crate) fn replicas(sights: &Sights) -> Table {
    let mut table = Table::new([
        text("REPLICA"),
        text("APPLIED"),
        text("STAGE"),
        number("SHARE"),
        number("INFLIGHT"),
        number("LEFT"),
        text("HELD BY"),
        text("ADMIN").wide(),
        text("WHY"),
    ]);
    for sight in &sights.0 {
        let status = sight.status.as_ref();
        let applied = if sight.is_applied() {
            Cell::new("● yes", Tone::Good)
        } else {
            Cell::new("✖ no", Tone::Bad)
        };
        table.row([
            Cell::from(&sight.member.name),
            applied,
            status.map_or_else(|| "-".into(), |status| words::drain(status.stage)),
            words::percent(status.map(|status| status.share)).into(),
            words::or_dash(status.map(|status| status.in_flight)).into(),
            words::or_dash(status.map(|status| words::age(status.left_ms))).into(),
            words::or_dash(status.and_then(|status| status.held_by.as_deref())).into(),
            words::or_dash(sight.member.admin.as_deref()).into(),
            sight.error().unwrap_or_default().into(),
        ]);
    }
    table
}

#[cfg(test)]
#[path = "tell_tests.rs"]
mod tests;
