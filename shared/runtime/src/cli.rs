//! The command line that both tiers' programs share.

use crate::plan::Tier;
use crate::process::{self, Start};
use crate::reload;
use crate::tier::TierProgram;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use lb_core::config::scalar::DurationText;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code of a configuration that is at fault.
const INVALID: u8 = 3;

#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until SIGTERM.
    Run(Run),
    /// Check a configuration and tell every fault.
    Check(Check),
    /// Write the manual pages into a directory: for packages.
    #[command(hide = true)]
    Man {
        /// The directory.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// The configuration file; it is read again when it changes, and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take over from the process that serves from the same run directory, as `lbctl upgrade` does.
    #[arg(long)]
    upgrade: bool,
    /// How long that may take until this process is ready; then it gives up, and the other one serves on.
    #[arg(long, value_parser = duration, default_value = "60s", value_name = "DURATION")]
    upgrade_timeout: Duration,
    /// How long this process stands by after it has handed over: for tests.
    #[arg(long, value_parser = duration, hide = true)]
    probation: Option<Duration>,
    /// End when the process of this id does: for tests.
    #[arg(long, hide = true)]
    exit_with_pid: Option<u32>,
    /// End when standard input does: for tests and demonstrations.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Debug, Args)]
struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "file")]
    config: Option<PathBuf>,
    /// The same without the option's name.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
}

/// Runs a tier's program by its command line.
#[must_use]
pub fn main<T: TierProgram>() -> ExitCode {
    let (name, about) = match T::TIER {
        Tier::Global => (
            "global-lb",
            "Choose a region for each request, then a replica in it",
        ),
        Tier::Regional => (
            "regional-lb",
            "Choose a server of the region for each request",
        ),
    };
    let command = Cli::command().name(name).about(about);
    let matches = command.clone().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    env_logger::Builder::from_env(
        env_logger::Env::new().filter_or("LB_LOG", "info,pingora=off,pingora_core=off"),
    )
    .init();
    match cli.verb {
        Verb::Run(run) => match process::run::<T>(&run.config, &run.start()) {
            Ok(()) => {
                // Requests past the deadline are on threads of their own; the process ends them.
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        Verb::Man { directory } => match clap_mangen::generate_to(command, directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.into()),
        },
        Verb::Check(check) => {
            // clap sees to it that one of both is there.
            let file = check.config.or(check.file).unwrap_or_default();
            match reload::load::<T>(&file) {
                Ok((_, hash)) => {
                    let _ = writeln!(std::io::stdout(), "{}: good ({hash})", file.display());
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error.into()),
            }
        }
    }
}

// === impl Run ===

impl Run {
    fn start(&self) -> Start {
        Start {
            upgrade: self.upgrade.then_some(self.upgrade_timeout),
            probation: self.probation,
            exit_with_parent: self.exit_with_parent,
            exit_with_pid: self.exit_with_pid,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = DurationText::try_from(text.to_owned());
    parsed
        .map(|duration| duration.get())
        .map_err(|error| error.to_string())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{error:#}");
    if error.is::<reload::LoadError>() {
        ExitCode::from(INVALID)
    } else {
        ExitCode::FAILURE
    }
}
