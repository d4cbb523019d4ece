//! `strata-bench`: what a proxied request costs with us and with our peers.
//!
//! Problem: absolute figures of different days and machines compare nothing. Choice: one run
//! measures all contenders with the same load, the same test servers, the same core and equivalent
//! protections, in interleaved rounds, and reports medians, their spread and ratios. It depends on
//! no other crate of the workspace and treats our programs like any other contender's. What the
//! configurations have in common is in `bench/README.md`.

mod args;
mod campaign;
mod choice;
mod clock;
mod contender;
mod http1;
mod interrupt;
mod load;
mod measure;
mod process;
mod procfs;
mod quiet;
mod report;
mod session;
mod stats;
mod sys;
mod upstream;

use std::process::ExitCode;

use args::{Cli, Common, Verb};
use clap::Parser as _;
use contender::{Contender, Row, Threading};
use interrupt::{Interrupt, Interrupted};
use report::Versus;
use session::Session;

/// What a shell reports for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match run(&Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("strata-bench: interrupted, everything is stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("strata-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Upstream { count, body } => upstream::serve(*count, *body),
        Verb::All {
            contenders,
            tiers,
            common,
        } => all(contenders, tiers, common),
        Verb::Threads { threads, common } => compare_threading(*threads, common),
        Verb::Hold {
            contender,
            tiers,
            threads,
            common,
        } => Session {
            common,
            rows: vec![Row {
                threads: *threads,
                ..Row::new(*contender, *tiers)
            }],
            versus: &[],
            cpus: ("1".to_owned(), "0".to_owned()),
            file: "",
            with_choice: false,
        }
        .hold(&Interrupt::install()?),
    }
}

fn all(contenders: &[Contender], tiers: &[usize], common: &Common) -> anyhow::Result<()> {
    let mut versus = vec![
        Versus {
            label: "HAProxy",
            is_reference: |row| row.contender == Contender::Haproxy,
        },
        Versus {
            label: "Envoy",
            is_reference: |row| row.contender == Contender::Envoy,
        },
        Versus {
            label: "strata-off",
            is_reference: |row| row.contender == Contender::StrataOff,
        },
    ];
    let rows = rows(contenders, tiers);
    versus.retain(|versus| rows.iter().any(versus.is_reference));
    let session = Session {
        common,
        rows,
        versus: &versus,
        cpus: ("1".to_owned(), "0".to_owned()),
        file: "latest.json",
        with_choice: true,
    };
    session.run(&Interrupt::install()?)
}

fn compare_threading(threads: usize, common: &Common) -> anyhow::Result<()> {
    let row = |model| Row {
        threads,
        threading: Some(model),
        ..Row::new(Contender::Strata, 1)
    };
    let cpus = format!("0-{}", threads.saturating_sub(1));
    let session = Session {
        common,
        rows: vec![row(Threading::PerCore), row(Threading::WorkStealing)],
        versus: &[Versus {
            label: "work_stealing",
            is_reference: |row| row.threading == Some(Threading::WorkStealing),
        }],
        cpus: (cpus.clone(), cpus),
        file: "threading.json",
        with_choice: false,
    };
    session.run(&Interrupt::install()?)
}

/// Direct once, every other contender once per chain length.
fn rows(contenders: &[Contender], tiers: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for contender in contenders {
        match contender {
            Contender::Direct => rows.push(Row::new(Contender::Direct, 0)),
            _ => rows.extend(tiers.iter().map(|tiers| Row::new(*contender, *tiers))),
        }
    }
    rows
}
