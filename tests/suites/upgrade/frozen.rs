//! A predecessor that stands still after the commit: the successor serves, and does not wait for it for ever.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::eventually;
use strata_tests::topology::Tier;

use crate::drills::on_probation;
use crate::requests::Requests;
use crate::rig::{Rig, SOON, plan, rewrite};

async fn frozen(tier: Tier) -> Result<()> {
    let mut rig = Rig::of(tier, plan(tier, "2s")).await?;
    let old = rig.pid()?;
    // One more thread, whose socket listens when the upgrade is settled.
    rewrite(&rig.config(), |text| {
        text.replace("threads: 2", "threads: 3")
    })?;
    let (mut lbctl, new) = on_probation(&mut rig, old).await?;
    rig.signal(old, Signal::SIGSTOP)?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    rig.refused(&[], 1, "took over").await?;
    // It waits for 12 s in all.
    let status = lbctl.wait_exit(3 * SOON).await?;
    let told = lbctl.output();
    ensure!(status.success(), "{status}: {told}");
    ensure!(told.contains("is no longer needed"), "{told}");
    ensure!(rig.log().contains("the predecessor hangs"), "{}", rig.log());
    rig.serves(new).await?;
    users.at_work().await?;
    let next = rig.upgraded(&[]).await?;
    rig.serves(next).await?;
    rig.signal(old, Signal::SIGCONT)?;
    rig.gone(old).await?;
    ensure!(!rig.log().contains("serves again"), "{}", rig.log());
    users.at_work().await?;
    eventually(SOON, "its files", async || {
        ensure!(rig.pid()? == next);
        Ok(())
    })
    .await?;
    rig.serves(next).await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_wakes_is_not_waited_for() -> Result<()> {
    frozen(Tier::Regional).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_of_the_global_tier() -> Result<()> {
    frozen(Tier::Global).await
}
