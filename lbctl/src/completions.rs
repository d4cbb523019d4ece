//! `lbctl completions`: what the shell needs to complete our command line.

use crate::args::Args;
use crate::failure::Failure;
use crate::output;
use clap::CommandFactory;

/// Prints the completions of `shell`.
pub(crate) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lbctl", &mut script);
    output::emit(&String::from_utf8_lossy(&script))
}
