//! Rolling restarts of each tier under users of every kind: nothing fails. Without a lame duck or a drain, it does.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::service::Service;
use strata_tests::topology::{Replica, Topology};
use strata_tests::users::{Accounts, Servers, Users};
use tokio::time::sleep;

use crate::stage::Stage;

/// How long a Service goes on sending after the signal.
const LAG: Duration = Duration::from_secs(5);
const EXIT: Duration = Duration::from_secs(30);
/// Downloads and uploads take 3 s: longer than the lame duck, shorter than the drain. Streams part 0.5 to 2.5 s after its begin.
const REGIONAL: &str = "lame_duck: 2s, drain: 4s, stream_drain: 4s";
const GLOBAL: &str = "lame_duck: 6s, drain: 4s, stream_drain: 4s";

/// The tier above hides a replica that just ends: what was refused is safe to try elsewhere. Here it may not.
const NO_RETRY: &str = "retry: { retries: 0, budget_floor: 0, budget: 0% }";

async fn begin_again(replica: &mut Replica) -> Result<()> {
    let status = replica.process()?.wait_exit(EXIT).await?;
    ensure!(status.success(), "{status}");
    replica.restart().await
}

/// Restarts regional replicas in turn, each as soon as the one before is ready.
async fn roll_regional(shutdown: &'static str, count: usize) -> Result<Accounts> {
    let _turn = strata_tests::turn().await;
    let mut stage = Stage::start(1, shutdown, NO_RETRY).await?;
    let users = Users::start(&stage.platform, stage.platform.address()?).await?;
    let regions = stage.platform.regions.iter_mut();
    let replicas = regions.flat_map(|region| &mut region.replicas);
    for replica in replicas.take(count) {
        replica.signal(Signal::SIGTERM)?;
        begin_again(replica).await?;
    }
    users.stop(stage.platform.ledgers()).await
}

/// Restarts global replicas in turn, behind a Service that hears of it late.
async fn roll_global(shutdown: &'static str, count: usize) -> Result<Accounts> {
    let _turn = strata_tests::turn().await;
    let mut stage = Stage::start(2, shutdown, "").await?;
    let service = Service::start(&stage.platform.addresses()).await?;
    let users = Users::start(&stage.platform, service.address()).await?;
    for replica in stage.platform.globals.iter_mut().take(count) {
        replica.signal(Signal::SIGTERM)?;
        sleep(LAG).await;
        service.remove(replica.address());
        begin_again(replica).await?;
        service.add(replica.address());
    }
    users.stop(stage.platform.ledgers()).await
}

/// Restarts regional replicas in turn, where they are the only tier, behind a Service that hears of it late.
async fn roll_entry(shutdown: &'static str, count: usize) -> Result<Accounts> {
    let _turn = strata_tests::turn().await;
    let servers = Servers::start().await?;
    let plan = Topology::regional().replicas(2).pool("web", 2);
    let plan = plan.tune_regional(move |file| shutdown.clone_into(&mut file.front.shutdown));
    let mut platform = servers.behind(plan).start().await?;
    let service = Service::start(&platform.addresses()).await?;
    let users = Users::start(&platform, service.address()).await?;
    let replicas = platform.regions.iter_mut();
    for replica in replicas.flat_map(|region| &mut region.replicas).take(count) {
        replica.signal(Signal::SIGTERM)?;
        sleep(LAG).await;
        service.remove(replica.address());
        begin_again(replica).await?;
        service.add(replica.address());
    }
    users.stop(platform.ledgers()).await
}

fn nothing_failed(accounts: &Accounts) -> Result<()> {
    ensure!(accounts.failed() == 0 && accounts.is_busy(), "{accounts}");
    for kind in ["websocket", "gRPC"] {
        ensure!(
            accounts.parted(kind) > 0,
            "{kind} saw none of it: {accounts}"
        );
    }
    Ok(())
}

/// `make mixed` builds an older version and runs this; `STRATA_OLD_PROGRAMS` is the directory of its programs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the programs of an older version: make mixed"]
async fn from_an_older_version_to_this_nobody_notices() -> Result<()> {
    let old = std::env::var_os("STRATA_OLD_PROGRAMS").map(PathBuf::from);
    let old = old.context("STRATA_OLD_PROGRAMS names no directory: run make mixed")?;
    let _turn = strata_tests::turn().await;
    let mut stage = Stage::start_from(Some(&old), 2, GLOBAL, "").await?;
    let service = Service::start(&stage.platform.addresses()).await?;
    let users = Users::start(&stage.platform, service.address()).await?;
    // Half of each tier, then the rest: all four pairs of versions meet.
    for half in [0, 1] {
        for region in &mut stage.platform.regions {
            let replica = &mut region.replicas[half];
            replica.signal(Signal::SIGTERM)?;
            replica.use_own_program()?;
            begin_again(replica).await?;
        }
        let replica = &mut stage.platform.globals[half];
        replica.signal(Signal::SIGTERM)?;
        sleep(LAG).await;
        service.remove(replica.address());
        replica.use_own_program()?;
        begin_again(replica).await?;
        service.add(replica.address());
    }
    let accounts = users.stop(stage.platform.ledgers()).await?;
    eprintln!("{accounts}");
    nothing_failed(&accounts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_regional_tier_nobody_notices() -> Result<()> {
    nothing_failed(&roll_regional(REGIONAL, 4).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_global_tier_behind_a_slow_service_nobody_notices() -> Result<()> {
    nothing_failed(&roll_global(GLOBAL, 2).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_regional_tier_behind_a_slow_service_nobody_notices() -> Result<()> {
    nothing_failed(&roll_entry(GLOBAL, 2).await?)
}

/// The control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_regional_tier_behind_a_slow_service_without_a_lame_duck_fails() -> Result<()> {
    let accounts = roll_entry("lame_duck: 0s, drain: 4s, stream_drain: 4s", 1).await?;
    ensure!(accounts.failed() > 20, "the control: {accounts}");
    Ok(())
}

/// The control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_regional_tier_without_a_lame_duck_fails() -> Result<()> {
    let accounts = roll_regional("lame_duck: 0s, drain: 4s, stream_drain: 4s", 2).await?;
    ensure!(accounts.failed() > 0, "the control: {accounts}");
    Ok(())
}

/// The control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_global_tier_without_a_lame_duck_fails() -> Result<()> {
    let accounts = roll_global("lame_duck: 0s, drain: 4s, stream_drain: 4s", 1).await?;
    ensure!(accounts.failed() > 20, "the control: {accounts}");
    Ok(())
}
