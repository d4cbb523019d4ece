//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::contender::Contender;

/// Side-by-side measurements of Strata, HAProxy, nginx and Envoy in one run.
#[derive(Debug, Parser)]
#[command(name = "strata-bench", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Compare all contenders, one tier and two tiers of each
    All {
        /// Contenders to compare
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contender::ALL)]
        contenders: Vec<Contender>,
        /// Chain lengths to compare
        #[arg(long, value_delimiter = ',', default_values_t = [1, 2],
              value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=2))]
        tiers: Vec<usize>,
        /// Run the peers without protections and header edits
        #[arg(long)]
        bare: bool,
        /// CPU of the proxies
        #[arg(long, default_value = "1")]
        proxy_cpus: String,
        /// CPU of the load generator and the test servers
        #[arg(long, default_value = "0")]
        load_cpus: String,
        #[command(flatten)]
        common: Common,
    },
    /// Compare the two threading models of regional-lb
    Threads {
        /// Worker threads of the proxy
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// CPUs of the proxy
        #[arg(long, default_value = "0-1")]
        proxy_cpus: String,
        /// CPUs of the load generator and the test servers
        #[arg(long, default_value = "0-1")]
        load_cpus: String,
        #[command(flatten)]
        common: Common,
    },
    /// Serve a fixed answer on free loopback ports until stopped (the servers behind the proxies)
    Upstream {
        /// How many addresses to serve
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// Size of the answer's body in bytes
        #[arg(long, default_value_t = 128, value_parser = body_size())]
        body: usize,
    },
}

/// Options that both comparisons share.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Common {
    /// Interleaved rounds [default: 5, with --quick 3]
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Length of each window in seconds [default: 5, with --quick 1]
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// A rough look: short windows, few rounds, 2,000 idle connections
    #[arg(long)]
    pub(crate) quick: bool,
    /// Kept-alive connections of the load
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Requests per second of the open loop
    #[arg(long, default_value_t = 4000.0)]
    pub(crate) rate: f64,
    /// From which wait on an answer counts as late, in milliseconds
    #[arg(long, default_value_t = 10.0)]
    pub(crate) late_ms: f64,
    /// Idle connections, 0 for none [default: 10000, with --quick 2000]
    #[arg(long)]
    pub(crate) idle: Option<usize>,
    /// Size of the answer's body in bytes
    #[arg(long, default_value_t = 128, value_parser = body_size())]
    pub(crate) body: usize,
    /// Directory of our programs [default: where this program is]
    #[arg(long)]
    #[serde(skip)]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Directory of the configuration templates [default: bench/peers]
    #[arg(long)]
    #[serde(skip)]
    pub(crate) templates: Option<PathBuf>,
    /// File for the result [default: bench/results/latest.json or threading.json]
    #[arg(long)]
    #[serde(skip)]
    pub(crate) result: Option<PathBuf>,
    /// Keep the filled configurations and logs, and say where they are
    #[arg(long)]
    #[serde(skip)]
    pub(crate) keep: bool,
}

// === impl Common ===

impl Common {
    /// Rounds to run, at least 1.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    /// Length of a window in seconds, at least 0.1.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
            .unwrap_or(if self.quick { 1.0 } else { 5.0 })
            .max(0.1)
    }

    /// Idle connections to open.
    pub(crate) fn idle(&self) -> usize {
        self.idle.unwrap_or(if self.quick { 2_000 } else { 10_000 })
    }
}

fn body_size() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=64 * 1024)
}
