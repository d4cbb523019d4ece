//! The command line as types.

use crate::drain::{RegionVerb, ServerVerb};
use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use lb_core::config::scalar::DurationText;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line makes no sense
  3  a configuration is invalid
  4  refused as unsafe
  5  a deadline passed, or only some of several replicas answered
  6  no admin listener answered";

/// Look at and steer a Strata platform.
#[derive(Debug, Parser)]
#[command(name = "lbctl", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Admin addresses of the replicas to ask, separated by commas: address:port, or unix:/path.
    #[arg(
        long,
        global = true,
        env = "LB_ADMIN",
        value_delimiter = ',',
        default_value = "127.0.0.1:9900",
        value_name = "ADDR"
    )]
    pub(crate) admin: Vec<String>,
    /// Form of the data on standard output.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Say nothing but data and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Time for one replica to answer.
    #[arg(long, global = true, value_parser = duration, default_value = "3s", value_name = "DURATION")]
    pub(crate) timeout: Duration,
    /// File with the token that allows changes; a unix socket needs none.
    #[arg(long, global = true, env = "LB_TOKEN_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
}

/// Form of the data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with room: all columns.
    Wide,
    /// As the admin API gives it; from several replicas a list of {admin, answer or error}.
    Json,
    /// The same as YAML.
    Yaml,
    /// Names only, one a line.
    Name,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show whether replicas serve, with which configuration and load.
    Status,
    /// Show the regions and their replicas (global tier).
    Regions,
    /// Show the pools and their servers (regional tier).
    Pools,
    /// Drain a region, dial its share, turn it off, bring it back (global tier).
    #[command(disable_help_subcommand = true)]
    Region {
        #[command(subcommand)]
        verb: RegionVerb,
    },
    /// Drain a server and bring it back (regional tier).
    #[command(disable_help_subcommand = true)]
    Server {
        #[command(subcommand)]
        verb: ServerVerb,
    },
    /// Show which route, region and server a request would get, and why not the others.
    Explain(ExplainArgs),
    /// Work on configuration files.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Replace a running process on this host by another binary or configuration without losing a connection.
    Upgrade(UpgradeArgs),
    /// Start a successor for `upgrade`, and end so that it is nobody's child.
    #[command(hide = true)]
    UpgradeStart(UpgradeStartArgs),
    /// Start the whole platform on loopback; Ctrl-C stops it and leaves nothing.
    Demo(DemoArgs),
    /// A server of the demo.
    #[command(hide = true)]
    DemoServer(DemoServerArgs),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Work on configuration files.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Check files and show every fault.
    Check {
        /// The files.
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// The tier that they are for. Default: told from their keys.
        #[arg(long, value_enum)]
        tier: Option<TierArg>,
    },
}

/// A tier on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TierArg {
    /// A file of `regional-lb`.
    Regional,
    /// A file of `global-lb`.
    Global,
}

/// The request to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The request's URL, or its path alone.
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) target: String,
    /// The request's method.
    #[arg(short = 'X', long, default_value = "GET")]
    pub(crate) method: String,
    /// The `Host` field, in place of the URL's.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// A header field, such as `x-canary: 1`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE")]
    pub(crate) headers: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "ADDR")]
    pub(crate) client: Option<IpAddr>,
}

/// How to run the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// First of the ports (up to 322 above it are used). Default: the first free range from 18000 on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub(crate) base_port: Option<u16>,
    /// Where `global-lb` and `regional-lb` are. Default: beside this program.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Stop after this time. Default: on Ctrl-C.
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    pub(crate) run_for: Option<Duration>,
    /// Time for all to become ready.
    #[arg(long, value_parser = duration, default_value = "30s", value_name = "DURATION")]
    pub(crate) ready_timeout: Duration,
}

/// Which process to replace, and by what.
#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArgs {
    /// `run_directory` of the process that serves.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_directory: PathBuf,
    /// The program to start. Default: the file from which the process was started, as it is now.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) binary: Option<PathBuf>,
    /// Its configuration. Default: the file that the process was started with, as it is now.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Time for the new process to become ready; then it is ended, and the old one serves on.
    #[arg(long, value_parser = duration, default_value = "60s", value_name = "DURATION")]
    pub(crate) ready_timeout: Duration,
    /// Don't wait until the old process has finished its work, only until the new one has proved itself.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Check everything, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What to start.
#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeStartArgs {
    /// The process whose output it gets.
    #[arg(long, value_name = "PID")]
    pub(crate) like: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) program: Vec<OsString>,
}

/// A server of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoServerArgs {
    /// The name that it answers with.
    #[arg(long)]
    pub(crate) name: String,
    /// The region that it answers with.
    #[arg(long, default_value = "")]
    pub(crate) region: String,
    /// Where it listens.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Exit when standard input ends, which it does with the parent.
    #[arg(long)]
    pub(crate) exit_with_parent: bool,
}

/// A time that is more than nothing.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = DurationText::try_from(text.to_owned()).map_err(|error| error.to_string())?;
    if parsed.0.is_zero() {
        return Err("must be more than nothing".to_owned());
    }
    Ok(parsed.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert!(duration("30").is_err() && duration("0s").is_err());
    }

    #[test]
    fn help_is_reviewed() {
        let mut help = String::new();
        let mut command = Args::command().mut_args(|arg| arg.hide_env_values(true));
        help.push_str(&command.render_long_help().to_string());
        for verb in ["explain", "upgrade", "demo"] {
            let verb = command.find_subcommand_mut(verb).unwrap();
            let text = verb.render_long_help();
            help.push_str(&format!("\n==== {}\n{text}", verb.get_name()));
        }
        insta::assert_snapshot!(help);
    }

    #[test]
    fn help_on_orders_is_reviewed() {
        let mut help = String::new();
        for path in ["region", "region drain", "region undrain", "region dial"]
            .into_iter()
            .chain(["region offline", "server", "server drain", "server undrain"])
        {
            let mut command = Args::command();
            for name in path.split(' ') {
                command = command.find_subcommand_mut(name).unwrap().clone();
            }
            help.push_str(&format!("==== {path}\n{}\n", command.render_help()));
        }
        insta::assert_snapshot!(help);
    }
}
