//! Who is compared: the contenders, their programs, and a running stack of one or two tiers.

pub(crate) mod program;
pub(crate) mod stack;
mod template;

use clap::ValueEnum;
use serde::Serialize;

/// One side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// No proxy: the generator asks a test server.
    Direct,
    /// HAProxy, Debian's package.
    Haproxy,
    /// nginx, Debian's package.
    Nginx,
    /// Envoy, from `bench/install-peers.sh`.
    Envoy,
    /// Ours: `regional-lb` alone, or behind `global-lb`.
    Strata,
    /// Ours with the protections off that the configuration can switch off, to see what they cost.
    StrataOff,
}

/// How our programs spread connections over threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Threading {
    /// N single-threaded services, each with a listening socket and a pool of its own.
    PerCore,
    /// One service whose threads steal work from each other.
    WorkStealing,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// Whose line it is.
    pub(crate) contender: Contender,
    /// Proxies in a chain: 0 for direct, else 1 or 2.
    pub(crate) tiers: usize,
    /// Worker threads of each proxy.
    pub(crate) threads: usize,
    /// Our threading model, where it is the question; `None` takes the program's default.
    pub(crate) threading: Option<Threading>,
}

// === impl Contender ===

impl Contender {
    /// Who is compared unless the user chooses, in the order of the table.
    pub(crate) const USUAL: [Self; 5] = [
        Self::Direct,
        Self::Haproxy,
        Self::Nginx,
        Self::Envoy,
        Self::Strata,
    ];

    /// The name used in options, tables and file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Strata => "strata",
            Self::StrataOff => "strata-off",
        }
    }
}

// === impl Threading ===

impl Threading {
    /// The value of the configuration key `threading`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PerCore => "per_core",
            Self::WorkStealing => "work_stealing",
        }
    }
}

// === impl Row ===

impl Row {
    /// A line of the main table: one worker thread, the program's own threading model.
    pub(crate) fn new(contender: Contender, tiers: usize) -> Self {
        Self {
            contender,
            tiers,
            threads: 1,
            threading: None,
        }
    }

    /// The name of the line.
    pub(crate) fn label(&self) -> String {
        match (self.threading, self.tiers) {
            (Some(threading), _) => format!("{} {}", self.contender.name(), threading.name()),
            (None, _) if self.contender == Contender::Direct => self.contender.name().to_owned(),
            (None, tiers) => format!("{} x{tiers}", self.contender.name()),
        }
    }
}
