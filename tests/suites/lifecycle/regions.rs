//! Regions whose replicas all leave: the others take over, nobody counts it as a failure, and the last ones are used to the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use strata_tests::topology::{Platform, Topology};
use strata_tests::{eventually, steadily};

const SOON: Duration = Duration::from_secs(10);

fn region(status: &Value, name: &str) -> Result<Value> {
    let regions = status["regions"].as_array().context("regions")?;
    let found = regions.iter().find(|region| region["name"] == name);
    Ok(found.context("no such region")?.clone())
}

async fn wait_state(platform: &Platform, name: &str, state: &str, why: &str) -> Result<()> {
    eventually(SOON, &format!("{name} {state}"), async || {
        let region = region(&platform.globals[0].status().await?, name)?;
        let text = region["why"].as_str().unwrap_or_default();
        ensure!(region["state"] == state && text.contains(why), "{region}");
        Ok(())
    })
    .await
}

/// Requests that reached the servers of a region.
fn arrived(platform: &Platform, region: usize) -> u64 {
    let servers = platform.regions[region].servers();
    servers
        .map(|server| server.ledger().counts().requests)
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_leaves_gets_nothing_new_and_is_not_convicted() -> Result<()> {
    // Readiness stays green, so that no probe helps.
    let stays = "lame_duck: 600s, readiness_fail_delay: 600s";
    let plan = Topology::two_tier().regions(2, 2, 1);
    let plan = plan.tune_regional(move |file| file.front.shutdown = stays.to_owned());
    let mut platform = plan.start().await?;
    let users = platform
        .load()
        .rate(100.0)
        .posts(0.3, 500)
        .no_resend()
        .start()?;
    eventually(SOON, "both regions at work", async || {
        let each = [0, 1].map(|index| arrived(&platform, index));
        ensure!(each.iter().all(|count| *count > 10), "{each:?}");
        Ok(())
    })
    .await?;
    // One of two leaves, as in a rolling restart.
    platform.replica("r1-a")?.signal(Signal::SIGTERM)?;
    steadily(
        Duration::from_secs(2),
        "one replica left is enough",
        async || {
            let region = region(&platform.globals[0].status().await?, "r1")?;
            ensure!(region["state"] == "healthy", "{region}");
            Ok(())
        },
    )
    .await?;
    platform.replica("r1-b")?.signal(Signal::SIGTERM)?;
    wait_state(&platform, "r1", "drained", "they leave").await?;
    let before = arrived(&platform, 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = arrived(&platform, 0);
    ensure!(after - before <= 2, "{} new requests", after - before);
    let explained = platform.globals[0]
        .admin_get("/api/v1/explain?path=/")
        .await?;
    ensure!(
        explained.text().contains("they leave"),
        "{}",
        explained.text()
    );
    // All leave: then all are used.
    for name in ["r2-a", "r2-b"] {
        platform.replica(name)?.signal(Signal::SIGTERM)?;
    }
    wait_state(&platform, "r2", "drained", "they leave").await?;
    users.mark("all leave");
    users.settle(50).await;
    let report = users.stop().await;
    ensure!(report.failed == 0, "{report}");
    ensure!(report.since("all leave").ok > 30, "{report}");
    // One is back: its region is, at once and in full.
    platform.replica("r2-a")?.restart().await?;
    wait_state(&platform, "r2", "healthy", "").await?;
    let region = region(&platform.globals[0].status().await?, "r2")?;
    ensure!(region["ramp"] == 1.0, "{region}");
    wait_state(&platform, "r1", "drained", "they leave").await?;
    let moved = platform.globals[0]
        .metric("lb_region_transitions_total", &[])
        .await?;
    ensure!(
        moved == 2.0,
        "no more than the first evidence of each: {moved}"
    );
    Ok(())
}
