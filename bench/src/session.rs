//! Everything around a campaign: directories, limits, pinning, the file at the end.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::args::Common;
use crate::contender::Row;
use crate::contender::program::Places;
use crate::contender::stack::{Bed, Stack, TestServers};
use crate::interrupt::Interrupt;
use crate::measure::Plan;
use crate::quiet::Patience;
use crate::report::environment::Environment;
use crate::report::{Report, Versus, table};
use crate::{campaign, choice, sys};

/// Descriptors beyond the idle connections that the generator and a proxy need.
const SPARE_FILES: u64 = 600;

/// One comparison to be made.
pub(crate) struct Session<'a> {
    pub(crate) common: &'a Common,
    pub(crate) rows: Vec<Row>,
    pub(crate) versus: &'a [Versus],
    /// CPUs of the proxies, and of the load, unless the user gives others.
    pub(crate) cpus: (String, String),
    /// Name of the result's file unless the user gives one.
    pub(crate) file: &'a str,
    /// Whether to ask for the choice time too.
    pub(crate) with_choice: bool,
}

/// A directory that goes away with the run.
struct Scratch {
    path: PathBuf,
    keep: bool,
}

// === impl Scratch ===

impl Scratch {
    fn create(parent: &Path, keep: bool) -> anyhow::Result<Self> {
        let runs = parent.join("bench-run");
        let path = runs.join(std::process::id().to_string());
        fs::create_dir_all(&path).context("creating a directory for the run")?;
        for old in fs::read_dir(&runs).into_iter().flatten().flatten() {
            // Left by a run that was killed, as its process is gone; failing to tidy up is no harm.
            if !keep && !Path::new("/proc").join(old.file_name()).exists() {
                let _ = fs::remove_dir_all(old.path());
            }
        }
        Ok(Self { path, keep })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("configurations and logs: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("bench: removing {}: {error}", self.path.display());
        }
    }
}

// === impl Session ===

impl Session<'_> {
    /// Measures, prints the table and writes the file.
    pub(crate) fn run(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let plan = self.plan()?;
        let places = self.places()?;
        let environment = Environment::look(&self.rows, &places);
        let (bed, _scratch) = self.bed(places, interrupt)?;
        if plan.idle as u64 + SPARE_FILES > bed.open_files {
            let (idle, allowed) = (plan.idle, bed.open_files);
            bail!("{idle} idle connections need more than the {allowed} open files allowed");
        }
        let choice = match self.with_choice {
            true => choice::measure(&bed.places.own, self.proxy_cpus())?,
            false => None,
        };
        sys::pin_self(self.load_cpus())?;
        let servers = TestServers::start(&bed, self.common.body)?;
        let mut patience = Patience::new(Duration::from_secs_f64(self.common.patience()));
        let (rows, rounds) = (&self.rows, self.common.rounds());
        let outcomes = campaign::run(&bed, &servers, rows, &plan, rounds, &mut patience)?;
        drop(servers);
        let report = Report::new(environment, self.options(), outcomes, self.versus, choice);
        self.publish(&report)
    }

    /// Starts the first row, says where it is and keeps it until a signal comes.
    pub(crate) fn hold(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let (bed, _scratch) = self.bed(self.places()?, interrupt)?;
        let row = self.rows.first().context("nothing to start")?;
        let servers = TestServers::start(&bed, self.common.body)?;
        let mut stack = Stack::start(&bed, &servers, row)?;
        let (address, pids) = (stack.address(), stack.pids());
        writeln!(
            std::io::stdout(),
            "{} on http://{address}/ pids {pids:?}",
            row.label()
        )?;
        loop {
            interrupt.wait(Duration::from_millis(200))?;
            stack.check()?;
        }
    }

    fn proxy_cpus(&self) -> &str {
        self.common.proxy_cpus.as_deref().unwrap_or(&self.cpus.0)
    }

    fn load_cpus(&self) -> &str {
        self.common.load_cpus.as_deref().unwrap_or(&self.cpus.1)
    }

    fn places(&self) -> anyhow::Result<Places> {
        let program = std::env::current_exe().context("finding this program")?;
        let beside = program.parent().context("this program has no directory")?;
        let own = self
            .common
            .bin_dir
            .clone()
            .unwrap_or_else(|| beside.to_owned());
        Ok(Places {
            own,
            peers: beside.parent().unwrap_or(beside).join("peers"),
        })
    }

    fn bed(&self, places: Places, interrupt: &Interrupt) -> anyhow::Result<(Bed, Scratch)> {
        sys::parse_cpus(self.proxy_cpus())?;
        sys::parse_cpus(self.load_cpus())?;
        let parent = places.peers.parent().unwrap_or(&places.peers);
        let scratch = Scratch::create(parent, self.common.keep)?;
        let bed = Bed {
            places,
            templates: self
                .common
                .templates
                .clone()
                .unwrap_or_else(|| home().join("peers")),
            scratch: scratch.path.clone(),
            proxy_cpus: self.proxy_cpus().to_owned(),
            load_cpus: self.load_cpus().to_owned(),
            open_files: sys::raise_open_files(),
            bare: self.common.bare,
            interrupt: interrupt.clone(),
        };
        Ok((bed, scratch))
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let common = self.common;
        if !(common.rate > 0.0 && common.rate < 1e6) || common.connections == 0 {
            bail!("the rate must lie between 0 and 1,000,000 and there must be a connection");
        }
        Ok(Plan {
            connections: common.connections,
            warm_up: Duration::from_secs_f64((common.seconds() / 4.0).min(1.0)),
            window: Duration::from_secs_f64(common.seconds()),
            rate: common.rate,
            late_after: Duration::from_secs_f64(common.late_ms.max(0.0) / 1e3),
            idle: common.idle(),
        })
    }

    fn options(&self) -> Value {
        json!({
            "rounds": self.common.rounds(),
            "seconds": self.common.seconds(),
            "connections": self.common.connections,
            "patience": self.common.patience(),
            "rate": self.common.rate,
            "late_ms": self.common.late_ms,
            "idle": self.common.idle(),
            "body": self.common.body,
            "bare_peers": self.common.bare,
            "proxy_cpus": self.proxy_cpus(),
            "load_cpus": self.load_cpus(),
        })
    }

    fn publish(&self, report: &Report) -> anyhow::Result<()> {
        let labels: Vec<&'static str> = self.versus.iter().map(|versus| versus.label).collect();
        let text = table::render(report, &labels, self.with_choice);
        let file = self
            .common
            .result
            .clone()
            .unwrap_or_else(|| home().join("results").join(self.file));
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).context("creating the directory of the result")?;
        }
        let json = serde_json::to_string_pretty(report).context("writing the result as JSON")?;
        fs::write(&file, json + "\n").with_context(|| format!("writing {}", file.display()))?;
        writeln!(std::io::stdout(), "\n{text}\nwritten to {}", file.display())
            .context("printing the table")
    }
}

/// The package's own directory, for its templates and results.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
