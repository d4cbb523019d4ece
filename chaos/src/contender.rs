//! Who is compared, and where their programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use strata_tests::process::Launch;

/// One side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// Ours.
    Strata,
    /// Envoy, from `bench/install-peers.sh`.
    Envoy,
    /// HAProxy, Debian's package.
    Haproxy,
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
    pub const ALL: [Self; 3] = [Self::Strata, Self::Envoy, Self::Haproxy];

    /// The name in options and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strata => "strata",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
        }
    }

    /// Name of the configuration template of a tier.
    pub fn template(self, tier: Tier) -> String {
        let extension = if self == Self::Haproxy { "cfg" } else { "yaml" };
        format!("{}-{}.{extension}.tmpl", self.name(), tier.name())
    }

    /// The program of a tier.
    ///
    /// # Errors
    ///
    /// When it is not there; says how to get it.
    pub fn program(self, tier: Tier, places: &Places) -> Result<PathBuf> {
        match self {
            Self::Strata => {
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
            Self::Strata => launch.args(["run", "--config"]).arg(config),
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
