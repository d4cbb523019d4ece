//! The programs: where they are, what they are called with, which version they are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Contender, Row};

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Our own programs.
    pub(crate) own: PathBuf,
    /// What `bench/install-peers.sh` made.
    pub(crate) peers: PathBuf,
}

/// A program that can stand in a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Haproxy,
    Nginx,
    Envoy,
    Regional,
    Global,
}

/// A program that is not there.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// What was looked for, and how to get it.
    pub(crate) hint: String,
}

// === impl Program ===

impl Program {
    /// The programs of a row, innermost tier first.
    pub(crate) fn chain(row: &Row) -> Vec<Self> {
        let (inner, outer) = match row.contender {
            Contender::Direct => return Vec::new(),
            Contender::Haproxy => (Self::Haproxy, Self::Haproxy),
            Contender::Nginx => (Self::Nginx, Self::Nginx),
            Contender::Envoy => (Self::Envoy, Self::Envoy),
            Contender::Strata | Contender::StrataOff => (Self::Regional, Self::Global),
        };
        if row.tiers < 2 {
            vec![inner]
        } else {
            vec![inner, outer]
        }
    }

    /// The name of the executable.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Regional => "regional-lb",
            Self::Global => "global-lb",
        }
    }

    /// The file name of its configuration template.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy.cfg.tmpl",
            Self::Nginx => "nginx.conf.tmpl",
            Self::Envoy => "envoy.yaml.tmpl",
            Self::Regional => "strata-regional.yaml.tmpl",
            Self::Global => "strata-global.yaml.tmpl",
        }
    }

    /// Whether it says on an admin listener when it is ready; the others are ready when a request
    /// gets through.
    pub(crate) fn has_readyz(self) -> bool {
        matches!(self, Self::Regional | Self::Global)
    }

    /// The arguments that run it in the foreground with `config`.
    pub(crate) fn arguments(self, config: &Path, threads: usize) -> Vec<OsString> {
        let config = config.as_os_str().to_owned();
        match self {
            Self::Haproxy => vec!["-db".into(), "-f".into(), config],
            Self::Nginx => vec!["-c".into(), config],
            Self::Envoy => vec![
                "--concurrency".into(),
                threads.to_string().into(),
                "--disable-hot-restart".into(),
                "--log-level".into(),
                "warn".into(),
                "--config-path".into(),
                config,
            ],
            Self::Regional | Self::Global => vec!["run".into(), "--config".into(), config],
        }
    }

    /// The executable's path, or what to do to get one.
    pub(crate) fn locate(self, places: &Places) -> Result<PathBuf, Missing> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let candidates: Vec<PathBuf> = match self {
            Self::Regional | Self::Global => vec![places.own.clone()],
            _ => std::iter::once(places.peers.join("bin"))
                .chain(std::env::split_paths(&path))
                .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
                .collect(),
        };
        let found = candidates
            .iter()
            .map(|dir| dir.join(self.name()))
            .find(|file| file.is_file());
        found.ok_or_else(|| Missing { hint: self.hint() })
    }

    /// What it says of its version, on one line and without its path.
    pub(crate) fn version(self, executable: &Path) -> String {
        let argument = match self {
            Self::Haproxy | Self::Nginx => "-v",
            _ => "--version",
        };
        let Ok(output) = Command::new(executable).arg(argument).output() else {
            return "unknown".to_owned();
        };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("unknown");
        line.rsplit_once("version:")
            .map_or(line, |(_, version)| version)
            .trim()
            .to_owned()
    }

    fn hint(self) -> String {
        match self {
            Self::Regional | Self::Global => {
                format!("not built: cargo build --release -p {}", self.name())
            }
            _ => format!("{} not found: run bench/install-peers.sh", self.name()),
        }
    }
}
