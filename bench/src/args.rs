//! The command line.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};

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
        /// Contenders to compare; strata-off is Strata without its protections
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contender::USUAL)]
        contenders: Vec<Contender>,
        /// Chain lengths to compare
        #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_parser = one_or_two())]
        tiers: Vec<usize>,
        #[command(flatten)]
        common: Common,
    },
    /// Compare the two threading models of regional-lb; the load shares the proxy's CPUs
    Threads {
        /// Worker threads of the proxy, on as many CPUs from 0 on
        #[arg(long, default_value_t = 2, value_parser = count(1..=64))]
        threads: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Start one contender and keep it running until Ctrl-C, for profiling and other clients
    Hold {
        /// The contender
        #[arg(value_enum)]
        contender: Contender,
        /// Proxies in the chain
        #[arg(long, default_value_t = 1, value_parser = one_or_two())]
        tiers: usize,
        /// Worker threads of each proxy
        #[arg(long, default_value_t = 1, value_parser = count(1..=64))]
        threads: usize,
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

/// Options that the verbs share.
#[derive(Debug, Clone, Args)]
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
    /// Seconds that the run may take longer to find quiet moments [default: 600, with --quick 60]
    #[arg(long)]
    pub(crate) patience: Option<f64>,
    /// Run the peers without protections and header edits
    #[arg(long)]
    pub(crate) bare: bool,
    /// CPUs of the proxies [default: 1; for threads, one a thread]
    #[arg(long)]
    pub(crate) proxy_cpus: Option<String>,
    /// CPUs of the load generator and the test servers [default: 0; for threads, the proxy's]
    #[arg(long)]
    pub(crate) load_cpus: Option<String>,
    /// Directory of our programs [default: where this program is]
    #[arg(long)]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Directory of the configuration templates [default: bench/peers]
    #[arg(long)]
    pub(crate) templates: Option<PathBuf>,
    /// File for the result [default: bench/results/latest.json or threading.json]
    #[arg(long)]
    pub(crate) result: Option<PathBuf>,
    /// Keep the filled configurations and logs, and say where they are
    #[arg(long)]
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

    /// Extra time to find quiet moments, in seconds, at least 0.
    pub(crate) fn patience(&self) -> f64 {
        let default = if self.quick { 60.0 } else { 600.0 };
        self.patience.unwrap_or(default).clamp(0.0, 86_400.0)
    }

    /// Idle connections to open.
    pub(crate) fn idle(&self) -> usize {
        self.idle.unwrap_or(if self.quick { 2_000 } else { 10_000 })
    }
}

fn count(range: std::ops::RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

fn one_or_two() -> RangedU64ValueParser<usize> {
    count(1..=2)
}

fn body_size() -> RangedU64ValueParser<usize> {
    count(1..=64 * 1024)
}
