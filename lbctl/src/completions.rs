//! `lbctl completions`: what the shell needs to complete our command line; and the manual pages, which packages have.

use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::output;
use clap::CommandFactory;
use std::path::Path;

/// Prints the completions of `shell`.
pub(crate) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lbctl", &mut script);
    output::emit(&String::from_utf8_lossy(&script))
}

/// Writes `lbctl.1`, and a page for each verb, into a directory. Hidden verbs have none.
pub(crate) fn manual(directory: &Path) -> Result<(), Failure> {
    // What this machine's environment says is no part of a page.
    let command = Args::command().mut_args(|arg| arg.hide_env_values(true));
    clap_mangen::generate_to(command, directory).map_err(|error| {
        let message = format!("writing into {}: {error}", directory.display());
        Failure::new(Exit::Failed, message)
    })
}
