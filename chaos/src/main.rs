//! `strata-chaos`: plays failures on two tiers of each contender, one after the other, and prints what came of it.
#![allow(clippy::print_stdout, reason = "the tables are this program's product")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use strata_chaos::contender::{Contender, Places, Tier};
use strata_chaos::scenario::Scenario;
use strata_chaos::table::{self, Row};
use strata_chaos::trial::Bed;
use tokio::signal::unix::{SignalKind, signal};

/// The same failures for Strata, Strata without what protects it (control), Envoy and HAProxy, side by side.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Scenarios to play [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Contenders to play them with
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contender::ALL)]
    contenders: Vec<Contender>,
    /// Half-length measuring spans, where the scenario allows it
    #[arg(long)]
    quick: bool,
    /// Also write all numbers to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write the table of contenders side by side to this file, as Markdown
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Directory with global-lb and regional-lb [default: target/release, else target/debug]
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Directory of the peers that bench/install-peers.sh installed [default: target/peers]
    #[arg(long)]
    peers_dir: Option<PathBuf>,
    /// Directory of the configuration templates
    #[arg(long)]
    templates: Option<PathBuf>,
    /// Exit with status 1 when Strata misses a target
    #[arg(long)]
    strict: bool,
    /// List the scenarios with their targets, and do nothing
    #[arg(long)]
    list: bool,
}

/// The file of `--json`.
#[derive(Debug, Serialize)]
struct Record<'a> {
    is_quick: bool,
    rows: &'a [Row],
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.list {
        for scenario in Scenario::ALL {
            println!("{:<18} {}", scenario.name(), scenario.target());
            println!("{:<18} control: without {}", "", scenario.control().words());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            played = Box::pin(play(&args)) => played,
            // Dropping the scenario ends its processes.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
            _ = term.recv() => Ok(ExitCode::from(143)),
        }
    })
}

async fn play(args: &Args) -> Result<ExitCode> {
    let places = places(args)?;
    let wanted = if args.only.is_empty() {
        Scenario::ALL.to_vec()
    } else {
        args.only.clone()
    };
    for contender in &args.contenders {
        for tier in [Tier::Global, Tier::Regional] {
            contender.program(tier, &places)?;
        }
    }
    let mut rows = Vec::new();
    for scenario in wanted {
        for contender in &args.contenders {
            let row = one(scenario, *contender, &places, args.quick).await;
            eprintln!("{}", table::progress(&row));
            rows.push(row);
            write(args, &rows)?;
        }
    }
    println!("{}", table::side_by_side(&rows, &args.contenders));
    println!("{}", table::details(&rows));
    let is_ours_missed = rows
        .iter()
        .any(|row| row.contender == Contender::Strata && !row.is_met);
    let is_broken = rows.iter().any(|row| row.error.is_some());
    Ok(ExitCode::from(u8::from(
        is_broken || (args.strict && is_ours_missed),
    )))
}

async fn one(scenario: Scenario, contender: Contender, places: &Places, is_quick: bool) -> Row {
    let bed = Bed {
        places: places.clone(),
        subject: contender.in_scenario(scenario),
        is_quick,
    };
    Row::new(scenario, contender, scenario.play(&bed).await)
}

/// After each row, so that a run that is ended early leaves what it found.
fn write(args: &Args, rows: &[Row]) -> Result<()> {
    let write = |file: &Path, text: String| {
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    };
    if let Some(file) = &args.json {
        let is_quick = args.quick;
        write(
            file,
            serde_json::to_string_pretty(&Record { is_quick, rows })?,
        )?;
    }
    if let Some(file) = &args.markdown {
        write(file, table::side_by_side(rows, &args.contenders))?;
    }
    Ok(())
}

fn places(args: &Args) -> Result<Places> {
    let target = strata_tests::tools::target_dir()?;
    let has = |dir: &PathBuf| dir.join("global-lb").is_file() && dir.join("regional-lb").is_file();
    let built = ["release", "debug"].map(|profile| target.join(profile));
    let [release, _] = &built;
    let strata = match &args.bin_dir {
        Some(dir) => dir.clone(),
        None => built.iter().find(|dir| has(dir)).unwrap_or(release).clone(),
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let or = |given: &Option<PathBuf>, usual: PathBuf| given.clone().unwrap_or(usual);
    Ok(Places {
        strata,
        peers: or(&args.peers_dir, target.join("peers")),
        templates: or(&args.templates, package.join("peers")),
    })
}
