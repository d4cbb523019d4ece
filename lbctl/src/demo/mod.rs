//! `lbctl demo`: the whole platform on loopback, with nothing else installed.
//!
//! **Problem.** What a two-tier balancer does is only seen when something dies, and nobody sets up
//! seventeen processes to see it.
//!
//! **Choice.** Real processes of the real programs, so that each can be killed or frozen by its pid and
//! what is shown is what is shipped. Each runs in its own process group, so that Ctrl-C reaches this
//! program only, and each holds a pipe from it as standard input: should this program be killed
//! outright, the pipe ends and they exit.
//!
//! **Rejected.** All tiers as threads of one process: nothing could be killed. A service manager or
//! containers: something else to install.
//!
//! **Limits.** Linux and other Unix systems. Ports come from one range below the kernel's ephemeral
//! ports; a port that another program takes in the instant between the check and the start fails the start.

mod children;
mod files;
mod guide;
mod live;
mod ready;
mod signals;
mod topology;

use crate::args::{DemoArgs, Options};
use crate::failure::{Exit, Failure};
use crate::output;
use children::{Fleet, Programs};
use files::Scratch;
use signals::Signals;
use std::time::Duration;
use topology::Topology;

/// Runs the demo until Ctrl-C, SIGTERM, or the end of `--for`.
pub(crate) fn run(options: &Options, args: &DemoArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("can't start: {error}")))?;
    let outcome = runtime.block_on(demo(options, args));
    // A question that is still waiting for its answer doesn't hold us up.
    runtime.shutdown_background();
    outcome
}

async fn demo(options: &Options, args: &DemoArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let programs = Programs::find(args.bin_dir.as_deref())?;
    let scratch = Scratch::create()?;
    let topology = Topology::plan(args.base_port, scratch.path())?;
    files::write(&topology)?;
    let mut fleet = Fleet::new(topology);
    let outcome = play(options, args, &programs, &mut fleet, &mut signals).await;
    if !options.quiet {
        eprintln!("\nstopping {} processes", fleet.count());
    }
    fleet.stop().await;
    drop(scratch);
    outcome
}

async fn play(
    options: &Options,
    args: &DemoArgs,
    programs: &Programs,
    fleet: &mut Fleet,
    signals: &mut Signals,
) -> Result<(), Failure> {
    fleet.start(programs)?;
    tokio::select! {
        ready = ready::wait(fleet, args.ready_timeout) => ready?,
        () = signals.next() => return Err(Failure::new(Exit::Failed, "interrupted before all was ready")),
    }
    output::emit(&guide::text(options.output, fleet.topology())?)?;
    tokio::select! {
        () = live::watch(fleet, options.quiet) => {}
        () = signals.next() => {}
        () = until(args.run_for) => {}
    }
    Ok(())
}

async fn until(end: Option<Duration>) {
    match end {
        Some(end) => tokio::time::sleep(end).await,
        None => std::future::pending().await,
    }
}
