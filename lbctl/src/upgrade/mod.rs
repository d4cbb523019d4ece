//! `lbctl upgrade`: a running process is replaced by another binary or configuration, and nobody notices.
//!
//! The two processes do it by themselves; this verb checks what can be checked before, starts the successor, watches both at their
//! admin sockets in the run directory, and says what happens. When it is killed, the upgrade goes on without it: both have deadlines.
//! It never connects to `upgrade.sock`, because a connection there is an upgrade.
//!
//! The successor gets the binary, arguments, environment, directory and log of the process that it replaces, and starts a session of its own:
//! it is no part of the terminal from which the upgrade was ordered. It becomes a child of process 1 ([`starter`]). Under systemd the order has to come from the unit's `ExecReload`,
//! as a successor that is started elsewhere would not belong to the unit.

mod follow;
mod life;
mod place;
mod plan;
mod running;
pub(crate) mod starter;
mod steps;
mod successor;

use crate::args::{Options, UpgradeArgs};
use crate::failure::{Exit, Failure};
use crate::output;
use place::Place;
use plan::Plan;
use running::Running;
use std::time::Duration;
use steps::Steps;
use successor::Successor;

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What a process may take beyond its own deadline.
const GRACE: Duration = Duration::from_secs(5);

/// Upgrades the process that serves from a run directory.
pub(crate) fn run(options: &Options, args: &UpgradeArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("starting: {error}")))?;
    runtime.block_on(upgrade(options, args))
}

async fn upgrade(options: &Options, args: &UpgradeArgs) -> Result<(), Failure> {
    let mut steps = Steps::new(options.quiet);
    let place = Place::look(&args.run_directory)?;
    let running = Running::of(place.pid)?;
    steps.done(&format!(
        "process {} serves from {}: {}",
        place.pid,
        place.path.display(),
        running.command()
    ));
    place.idle().await?;
    running.same_unit()?;
    let plan = Plan::new(&running, args)?;
    let version = plan.version().await?;
    steps.done(&format!("{} is {version}", plan.binary.display()));
    plan.check().await?;
    steps.done(&format!("{} is good", plan.config.display()));
    if args.dry_run {
        steps.done(&format!("would start: {}", plan.command()));
        return Ok(());
    }
    let mut successor = Successor::start(&plan, &running).await?;
    let pid = successor.pid();
    steps.done(&format!(
        "process {pid} started; it writes to {}",
        successor.log
    ));
    follow::until_commit(&place, &mut successor, args.ready_timeout, &mut steps).await?;
    follow::until_end(&place, &mut successor, args.no_wait, &mut steps).await?;
    output::emit(&format!("{pid} serves in place of {}\n", place.pid))
}
