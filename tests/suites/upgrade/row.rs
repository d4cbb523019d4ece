//! Many upgrades in a row, under load of every kind; and the same restarts without a hand-over, which lose requests.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::subject::Upstream;
use strata_tests::topology::Tier;

use crate::rig::{Rig, SOON, plan};
use crate::users::{Users, echo};

/// By the issue.
const UPGRADES: usize = 20;

async fn in_a_row(tier: Tier) -> Result<()> {
    let (chat, _server) = echo().await?;
    let plan = plan(tier, "500ms").external_pool("chat", &[chat], Upstream::Http1);
    let plan = plan.tune_regional(|file| {
        for pool in file.pools.iter_mut().filter(|pool| pool.name == "chat") {
            pool.health_check = Some("enabled: false".to_owned());
        }
    });
    let mut rig = Rig::of(tier, plan).await?;
    let address = rig.platform.address()?;
    let mut users = Users::start(address)?;
    users.add_download(address);
    users.add_chat(address);
    users.at_work().await?;
    let mut last = rig.pid()?;
    for _ in 0..UPGRADES {
        let pid = rig.upgraded(&["--no-wait"]).await?;
        rig.serves(pid).await?;
        ensure!(pid != last);
        last = pid;
    }
    users.at_work().await?;
    let sent = users.satisfied(&rig.platform).await?;
    eprintln!("{UPGRADES} upgrades of {tier:?}: {sent} requests, 0 failed");
    let handover = rig.handover().await?;
    ensure!(handover["last"]["ok"] == true, "{handover}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_of_the_regional_tier_fail_nothing() -> Result<()> {
    in_a_row(Tier::Regional).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_of_the_global_tier_fail_nothing() -> Result<()> {
    in_a_row(Tier::Global).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_a_hand_over_fails_requests() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "500ms").await?;
    let users = Users::start(rig.platform.address()?)?;
    users.at_work().await?;
    for _ in 0..3 {
        let replica = rig.platform.replica("r1-a")?;
        replica.signal(Signal::SIGTERM)?;
        replica.process()?.wait_exit(SOON).await?;
        replica.restart().await?;
    }
    users.at_work().await?;
    let (sent, reports) = users.end().await?;
    let failed: u64 = reports.iter().map(|report| report.failed).sum();
    ensure!(failed > 5, "the control: {failed} of {sent} failed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_drain_is_shown_and_waited_for() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    for server in rig.platform.servers() {
        server.script(|b| b.head_delay = Duration::from_secs(3));
    }
    let address = rig.platform.address()?;
    let held = tokio::spawn(async move { strata_tests::http::get(address, "/").await });
    strata_tests::eventually(SOON, "a request under way", async || {
        let status = rig.status().await?;
        ensure!(status["inflight"] == 1, "{status}");
        Ok(())
    })
    .await?;
    let old = rig.pid()?;
    let verdict = rig.upgrade(&[]).await?;
    ensure!(verdict.status.success(), "{verdict:?}");
    for words in ["said hello", "1 requests in flight", "has ended"] {
        ensure!(verdict.output.contains(words), "{words}: {verdict:?}");
    }
    ensure!(held.await??.status == 200);
    rig.gone(old).await
}
