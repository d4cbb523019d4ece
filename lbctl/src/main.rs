//! `lbctl`, the operator's tool.
//!
//! This file owns the process's exit code, and nothing else decides it: verbs return a [`Failure`]
//! that carries one. Data goes to standard output and everything else to standard error, so that a
//! pipe gets data only. A reader that closes the pipe early (`| head`) is no error.

mod args;
mod client;
mod completions;
mod config_check;
mod demo;
mod demo_server;
mod drain;
mod explain;
mod failure;
#[cfg(test)]
mod fixtures;
mod output;
mod pools;
mod present;
mod regions;
mod status;
mod table;
mod token;
mod unix;
mod upgrade;
mod words;

use args::{Args, ConfigVerb, Verb};
use clap::Parser;
use failure::{Exit, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help that nobody reads to its end is no fault.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return exit.into();
        }
    };
    match run(args) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let options = &args.options;
    match args.verb {
        Verb::Status => status::run(options),
        Verb::Regions => regions::run(options),
        Verb::Pools => pools::run(options),
        Verb::Region { verb } => drain::region(options, verb),
        Verb::Server { verb } => drain::server(options, verb),
        Verb::Explain(explain) => explain::run(options, &explain),
        Verb::Config {
            verb: ConfigVerb::Check { files, tier },
        } => config_check::run(options, &files, tier),
        Verb::Upgrade(upgrade) => upgrade::run(options, &upgrade),
        Verb::UpgradeStart(start) => upgrade::starter::run(&start),
        Verb::Demo(demo) => demo::run(options, &demo),
        Verb::DemoServer(server) => demo_server::run(&server),
        Verb::Completions { shell } => completions::run(shell),
    }
}
