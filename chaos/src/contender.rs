//! Who is compared, and where their programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use strata_tests::process::Launch;

use crate::control::Off;
use crate::scenario::Scenario;

/// One side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// Ours.
    Strata,
    /// Ours, without what protects it in the scenario: the negative control.
    Control,
    /// Envoy, from `bench/install-peers.sh`.
    Envoy,
    /// HAProxy, Debian's package.
    Haproxy,
}

/// Who is tried, and what of it is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Whose programs and templates.
    pub contender: Contender,
    /// What is off; nothing but for the control.
    pub off: Off,
}

/// A tier of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Chooses a region.
    Global,
    /// Chooses a server.
    Regional,
}

/// Directories to look into.
#[derive(Debug, Clone)]
pub struct Places {
    /// Our programs.
    pub strata: PathBuf,
    /// Where `bench/install-peers.sh` puts its programs.
    pub peers: PathBuf,
    /// Templates of configurations.
    pub templates: PathBuf,
}

// === impl Contender ===

impl Contender {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Strata, Self::Control, Self::Envoy, Self::Haproxy];

    /// The name in options and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strata => "strata",
            Self::Control => "control",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
        }
    }

    /// The name in tables for readers.
    pub fn title(self) -> &'static str {
        match self {
            Self::Strata => "Strata",
            Self::Control => "control",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
        }
    }

    /// It, as it is tried in a scenario.
    pub fn in_scenario(self, scenario: Scenario) -> Subject {
        let off = match self {
            Self::Control => scenario.control(),
            _ => Off::default(),
        };
        Subject {
            contender: self,
            off,
        }
    }

    /// Name of the configuration template of a tier.
    pub fn template(self, tier: Tier) -> String {
        let (stem, extension) = match self {
            Self::Strata | Self::Control => (Self::Strata.name(), "yaml"),
            Self::Envoy => (self.name(), "yaml"),
            Self::Haproxy => (self.name(), "cfg"),
        };
        format!("{stem}-{}.{extension}.tmpl", tier.name())
    }

    /// The program of a tier.
    ///
    /// # Errors
    ///
    /// When it is not there; says how to get it.
    pub fn program(self, tier: Tier, places: &Places) -> Result<PathBuf> {
        match self {
            Self::Strata | Self::Control => {
                let name = format!("{}-lb", tier.name());
                let file = places.strata.join(&name);
                let remedy = format!("cargo build --release -p {name}");
                ensure!(file.is_file(), "{} is missing: {remedy}", file.display());
                Ok(file)
            }
            Self::Envoy => {
                let file = places.peers.join("bin/envoy");
                let found = file
                    .is_file()
                    .then_some(file)
                    .or_else(|| strata_tests::tools::find("envoy"));
                found.context("envoy is missing: run bench/install-peers.sh")
            }
            Self::Haproxy => strata_tests::tools::find("haproxy")
                .context("haproxy is missing: run bench/install-peers.sh"),
        }
    }

    /// How the program is started in the foreground with this configuration.
    ///
    /// # Errors
    ///
    /// As [`Contender::program`].
    pub fn launch(self, tier: Tier, name: &str, config: &Path, places: &Places) -> Result<Launch> {
        let launch = Launch::new(name, self.program(tier, places)?);
        Ok(match self {
            Self::Strata | Self::Control => launch.args(["run", "--config"]).arg(config),
            Self::Envoy => launch
                .args(["--concurrency", "1", "--disable-hot-restart"])
                .args(["--log-level", "warn", "--config-path"])
                .arg(config),
            Self::Haproxy => launch.args(["-db", "-f"]).arg(config),
        })
    }
}

// === impl Tier ===

impl Tier {
    /// As in names of files and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Regional => "regional",
        }
    }
}
