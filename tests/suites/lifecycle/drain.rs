//! From the end of the lame duck to the exit: at the moment when nothing is left, or at the deadline.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::topology::{Platform, Topology};

const SOON: Duration = Duration::from_secs(10);

async fn start(shutdown: &'static str) -> Result<Platform> {
    let plan = Topology::regional().pool("web", 1);
    let plan = plan.tune_regional(move |file| file.front.shutdown = shutdown.to_owned());
    plan.start().await
}

/// A request that the server answers after `delay`, once it is under way.
async fn hold(
    platform: &Platform,
    delay: Duration,
) -> Result<tokio::task::JoinHandle<Result<http::Answer>>> {
    for server in platform.servers() {
        server.script(|b| b.head_delay = delay);
    }
    let address = platform.address()?;
    let held = tokio::spawn(async move { http::get(address, "/").await });
    let replica = &platform.regions[0].replicas[0];
    eventually(SOON, "a request under way", async || {
        let status = replica.status().await?;
        ensure!(status["pools"][0]["inflight"] == 1, "{status}");
        Ok(())
    })
    .await?;
    Ok(held)
}

#[tokio::test]
async fn it_ends_when_the_last_request_has() -> Result<()> {
    let mut platform = start("lame_duck: 0s, drain: 60s").await?;
    let held = hold(&platform, Duration::from_secs(3)).await?;
    let address = platform.address()?;
    let replica = platform.replica("r1-a")?;
    let admin = replica.admin();
    replica.signal(Signal::SIGTERM)?;
    eventually(SOON, "readiness to fail", async || {
        let ready = http::get(admin, "/readyz").await?;
        ensure!(ready.status == 503, "{ready:?}");
        Ok(())
    })
    .await?;
    eventually(SOON, "a closed listener", async || {
        ensure!(http::get(address, "/").await.is_err());
        Ok(())
    })
    .await?;
    let live = http::get(admin, "/livez").await?;
    ensure!(
        live.status == 200,
        "the admin listener lives to the end: {live:?}"
    );
    let status = replica.process()?.wait_exit(SOON).await?;
    ensure!(status.success(), "{status}");
    let answer = held.await??;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn at_the_deadline_requests_are_cut_and_told() -> Result<()> {
    let mut platform = start("lame_duck: 0s, drain: 300ms").await?;
    let held = hold(&platform, Duration::from_secs(600)).await?;
    let replica = platform.replica("r1-a")?;
    let status = replica.process()?.terminate(SOON).await?;
    ensure!(status.success(), "{status}");
    let output = replica.output();
    ensure!(output.contains("1 requests were cut off"), "{output}");
    ensure!(held.await?.is_err(), "it can't have been answered");
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let mut platform = start("lame_duck: 600s, readiness_fail_delay: 300s").await?;
    let address = platform.address()?;
    let replica = platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    eventually(SOON, "the lame duck", async || {
        let status = replica.status().await?;
        ensure!(status["lifecycle"] == "lame_duck", "{status}");
        Ok(())
    })
    .await?;
    ensure!(http::get(address, "/").await?.status == 200, "it serves on");
    let ready = replica.admin_get("/readyz").await?;
    ensure!(ready.status == 200, "not yet: {ready:?}");
    let status = replica.process()?.terminate(SOON).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn metrics_show_what_is_left() -> Result<()> {
    let mut platform = start("lame_duck: 2s, drain: 2s").await?;
    let held = hold(&platform, Duration::from_secs(600)).await?;
    let replica = platform.replica("r1-a")?;
    let metrics = async |replica: &strata_tests::topology::Replica| {
        let left = replica.metric("lb_drain_inflight", &[]).await?;
        let done = replica.metric("lb_drain_progress_ratio", &[]).await?;
        anyhow::Ok((left, done))
    };
    ensure!(metrics(replica).await? == (0.0, 0.0), "it does not leave");
    replica.signal(Signal::SIGTERM)?;
    for (stage, from, to) in [("lame_duck", 0.05, 0.5), ("draining", 0.5, 1.0)] {
        let seen = eventually(SOON, stage, async || {
            let status = replica.status().await?;
            ensure!(status["lifecycle"] == stage, "{status}");
            let (left, done) = metrics(replica).await?;
            ensure!(done >= from, "{done}");
            Ok((left, done))
        })
        .await?;
        ensure!(seen.0 == 1.0 && seen.1 < to + 0.1, "{stage}: {seen:?}");
    }
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    ensure!(held.await?.is_err(), "it can't have been answered");
    Ok(())
}
