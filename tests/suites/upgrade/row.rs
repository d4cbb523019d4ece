//! Many upgrades in a row, under load of every kind; and the same restarts without a hand-over, which lose requests.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::topology::{Tier, Topology};
use strata_tests::users::{Servers, Users};

use crate::requests::Requests;
use crate::rig::{Rig, SOON, upgradable};

/// By the issue.
const UPGRADES: usize = 20;

async fn in_a_row(tier: Tier) -> Result<()> {
    let servers = Servers::start().await?;
    let plan = match tier {
        Tier::Regional => Topology::regional().pool("web", 2),
        Tier::Global => Topology::two_tier().regions(2, 1, 2),
    };
    let mut rig = Rig::of(tier, upgradable(servers.behind(plan), "500ms")).await?;
    let users = Users::start(&rig.platform, rig.platform.address()?).await?;
    let mut last = rig.pid()?;
    for _ in 0..UPGRADES {
        let pid = rig.upgraded(&["--no-wait"]).await?;
        rig.serves(pid).await?;
        ensure!(pid != last);
        last = pid;
    }
    let accounts = users.stop(rig.platform.ledgers()).await?;
    eprintln!("{UPGRADES} upgrades of {tier:?}:\n{accounts}");
    let log = || rig.log();
    ensure!(
        accounts.failed() == 0 && accounts.is_busy(),
        "{accounts}\n{}",
        log()
    );
    for kind in ["websocket", "gRPC"] {
        ensure!(
            accounts.parted(kind) > 0,
            "{kind} saw none of it: {accounts}"
        );
    }
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
    let users = Requests::start(rig.platform.address()?)?;
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
