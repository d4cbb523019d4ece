//! `lbctl status`: one row a replica; of a single replica also its configuration, listeners and routes.

use crate::args::Options;
use crate::client::Client;
use crate::drain;
use crate::failure::Failure;
use crate::output::View;
use crate::present::{self, Answered};
use crate::table::{Cell, Table, Tone, clean, number, paint, text};
use crate::words;
use lb_core::status::{ConfigStatus, Status};
use std::fmt::Write;

/// Shows the status of all replicas.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let client = Client::new(options)?;
    let told = |answers: &[Answered<Status>], view| {
        draw(answers, view) + &drain::list::line(&client, answers, view)
    };
    present::show(options, "/api/v1/status", told, |status: &Status| {
        vec![format!("{}/{}", status.tier.as_str(), status.replica)]
    })
}

fn draw(answers: &[Answered<Status>], view: View) -> String {
    let mut drawn = replicas(answers).draw(view);
    if let [(_, only)] = answers {
        drawn += &config(&only.config, view.colour);
        drawn += &overload(only, view.colour);
        drawn += &peers(only);
        drawn += &orders(only);
        drawn += &section(&listeners(only), view);
        drawn += &section(&routes(only), view);
    }
    drawn
}

fn replicas(answers: &[Answered<Status>]) -> Table {
    let mut table = Table::new([
        text("REPLICA"),
        text("TIER"),
        text("REGION"),
        text("STATE"),
        number("UP"),
        number("CONNS"),
        number("INFLIGHT"),
        number("REQUESTS"),
        number("FAILED"),
        number("RETRIED"),
        number("CONFIG"),
        text("HASH"),
        text("ADMIN").wide(),
        number("PID").wide(),
        number("THREADS").wide(),
        text("VERSION").wide(),
    ]);
    for (admin, status) in answers {
        table.row([
            Cell::from(&status.replica),
            status.tier.as_str().into(),
            words::or_dash(status.region.as_deref()).into(),
            words::stage(status),
            words::age(status.uptime_ms).into(),
            status.connections.to_string().into(),
            status.inflight.to_string().into(),
            status.requests_total.to_string().into(),
            words::faults(status.failures_total),
            words::faults(status.retries_total),
            status.config.generation.to_string().into(),
            short(&status.config.hash).into(),
            admin.into(),
            status.pid.to_string().into(),
            status.threads.to_string().into(),
            (&status.version).into(),
        ]);
    }
    table
}

fn config(config: &ConfigStatus, colour: bool) -> String {
    let mut told = String::new();
    let counts = config.reloads_total;
    // Writing to a string can't fail.
    let _ = writeln!(
        told,
        "\nconfig  {} (generation {}; reloads: {} ok, {} refused)",
        clean(&config.file),
        config.generation,
        counts.ok,
        counts.failed
    );
    if let Some(faults) = &config.error {
        let head = "✖ the file was refused; the last good one serves:";
        let _ = writeln!(told, "  {}", paint(head, Tone::Bad, colour));
        for fault in faults {
            let _ = writeln!(told, "    {}", clean(&fault.to_string()));
        }
    }
    for deferred in &config.deferred {
        let mark = paint("▲ needs a restart:", Tone::Warn, colour);
        let _ = writeln!(told, "  {mark} {}", clean(deferred));
    }
    told
}

/// What the process does less; nothing while it does all.
fn overload(status: &Status, colour: bool) -> String {
    let pressing = &status.overload;
    if matches!(pressing.level.as_str(), "" | "normal") {
        return String::new();
    }
    let told = format!(
        "▲ overload: {} (event loops lag {:.0} ms, memory {} MiB)",
        clean(&pressing.level),
        pressing.lag_ms,
        pressing.memory_bytes >> 20
    );
    format!("\n{}\n", paint(&told, Tone::Bad, colour))
}

/// Who shares the rate limits; nothing without peers.
fn peers(status: &Status) -> String {
    if status.peers.is_empty() {
        return String::new();
    }
    let told = status.peers.iter().map(|peer| {
        let name = peer.replica.as_deref().unwrap_or(&peer.address);
        clean(&format!("{name} {}", peer.state.as_str()))
    });
    let told: Vec<String> = told.collect();
    format!(
        "\npeers   {} live, and this one ({})\n",
        status.peers_live,
        told.join(", ")
    )
}

/// Where orders of operators are, and who has them; nothing from a replica that doesn't know.
fn orders(status: &Status) -> String {
    let state = &status.state;
    if state.store.is_empty() {
        return String::new();
    }
    let durable = if state.durable {
        "durable"
    } else {
        "not durable"
    };
    let faults: String = state
        .faults
        .iter()
        .map(|fault| format!("        {}\n", clean(fault)))
        .collect();
    format!(
        "\norders  {} in {}, {durable}, the same at {}/{} peers\n{faults}",
        state.records,
        clean(&state.store),
        state.applied,
        state.peers.len(),
    )
}

fn listeners(status: &Status) -> Table {
    let mut table = Table::new([
        text("LISTENER"),
        text("ADDRESS"),
        text("PROTOCOLS"),
        number("CONNS"),
        number("ACCEPTED"),
    ]);
    for listener in &status.listeners {
        let tls = if listener.tls { " over TLS" } else { "" };
        table.row([
            Cell::from(&listener.name),
            (&listener.address).into(),
            format!("{}{tls}", listener.protocols.join(",")).into(),
            listener.connections.to_string().into(),
            listener.accepted_total.to_string().into(),
        ]);
    }
    table
}

fn routes(status: &Status) -> Table {
    let mut table = Table::new([
        text("ROUTE"),
        text("MATCHES"),
        text("LEADS TO"),
        number("REQUESTS"),
        number("FAILED"),
        number("RETRIED"),
    ]);
    for route in &status.routes {
        table.row([
            Cell::from(&route.name),
            (&route.matches).into(),
            (&route.target).into(),
            route.requests_total.to_string().into(),
            words::faults(route.failures_total),
            words::faults(route.retries_total),
        ]);
    }
    table
}

fn section(table: &Table, view: View) -> String {
    let drawn = table.draw(view);
    if drawn.is_empty() {
        drawn
    } else {
        format!("\n{drawn}")
    }
}

/// The start of a hash, as much as tells two apart.
fn short(hash: &str) -> String {
    hash.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_single_replica_is_shown_in_full() {
        let answers = [("127.0.0.1:9901".to_owned(), fixtures::regional())];
        insta::assert_snapshot!(draw(&answers, View::default()));
    }

    #[test]
    fn several_replicas_are_rows() {
        let mut second = fixtures::regional();
        second.replica = "eu-west-2".to_owned();
        second.config.hash = "ffff00001111".to_owned();
        let answers = [
            ("127.0.0.1:9901".to_owned(), fixtures::regional()),
            ("127.0.0.1:9902".to_owned(), second),
            ("127.0.0.1:9911".to_owned(), fixtures::global()),
        ];
        let view = View {
            wide: true,
            colour: false,
        };
        insta::assert_snapshot!(draw(&answers, view));
    }
}
