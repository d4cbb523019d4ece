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
use crate::contender::stack::{Bed, TestServers};
use crate::interrupt::Interrupt;
use crate::measure::Plan;
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
    pub(crate) proxy_cpus: &'a str,
    pub(crate) load_cpus: &'a str,
    pub(crate) bare: bool,
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
        let path = parent
            .join("bench-run")
            .join(std::process::id().to_string());
        fs::create_dir_all(&path).context("creating a directory for the run")?;
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
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::current_exe().context("finding this program")?;
        let beside = program.parent().context("this program has no directory")?;
        let target = beside.parent().unwrap_or(beside);
        let common = self.common;
        let places = Places {
            own: common.bin_dir.clone().unwrap_or_else(|| beside.to_owned()),
            peers: target.join("peers"),
        };
        let environment = Environment::look(&self.rows, &places);
        let plan = self.plan()?;
        let open_files = sys::raise_open_files();
        if plan.idle as u64 + SPARE_FILES > open_files {
            bail!(
                "{} idle connections need more than the {open_files} open files allowed",
                plan.idle
            );
        }
        sys::parse_cpus(self.proxy_cpus)?;
        sys::pin_self(self.load_cpus)?;
        let scratch = Scratch::create(target, common.keep)?;
        let bed = Bed {
            places,
            templates: common
                .templates
                .clone()
                .unwrap_or_else(|| home.join("peers")),
            scratch: scratch.path.clone(),
            proxy_cpus: self.proxy_cpus.to_owned(),
            load_cpus: self.load_cpus.to_owned(),
            open_files,
            bare: self.bare,
            interrupt: interrupt.clone(),
        };
        let choice = match self.with_choice {
            true => choice::measure(&bed.places.own, self.proxy_cpus)?,
            false => None,
        };
        let servers = TestServers::start(&bed, common.body)?;
        let outcomes = campaign::run(&bed, &servers, &self.rows, &plan, common.rounds())?;
        drop(servers);
        let report = Report::new(environment, self.options(), outcomes, self.versus, choice);
        self.publish(&report, home)
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
            "rate": self.common.rate,
            "late_ms": self.common.late_ms,
            "idle": self.common.idle(),
            "body": self.common.body,
            "bare_peers": self.bare,
            "proxy_cpus": self.proxy_cpus,
            "load_cpus": self.load_cpus,
        })
    }

    fn publish(&self, report: &Report, home: &Path) -> anyhow::Result<()> {
        let labels: Vec<&'static str> = self.versus.iter().map(|versus| versus.label).collect();
        let text = table::render(report, &labels, self.with_choice);
        let file = self
            .common
            .result
            .clone()
            .unwrap_or_else(|| home.join("results").join(self.file));
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).context("creating the directory of the result")?;
        }
        let json = serde_json::to_string_pretty(report).context("writing the result as JSON")?;
        fs::write(&file, json + "\n").with_context(|| format!("writing {}", file.display()))?;
        writeln!(std::io::stdout(), "\n{text}\nwritten to {}", file.display())
            .context("printing the table")
    }
}
