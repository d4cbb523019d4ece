//! The lame duck as others see it: the tier above, and whoever asks.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::eventually;
use strata_tests::http::Dial;
use strata_tests::server::Fault;
use strata_tests::topology::{Platform, Topology};
use tokio::time::{Instant, sleep};

const EXIT: Duration = Duration::from_secs(20);
/// Routes whose answers the replica gives itself.
const MORE_ROUTES: &str = r#"
  - name: moved
    match: { path: { prefix: /moved } }
    redirect: { host: elsewhere.example }
  - name: drill
    match: { path: { prefix: /drill } }
    pool: web
    fault: { abort: { status: 503, share: 100% } }
"#;

async fn start(shutdown: &'static str) -> Result<Platform> {
    let plan = Topology::two_tier().globals(2).regions(2, 2, 2);
    let plan = plan.tune_global(move |file| file.front.shutdown = shutdown.to_owned());
    let plan = plan.tune_regional(move |file| file.front.shutdown = shutdown.to_owned());
    plan.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tier_above_leaves_a_replica_within_a_second() -> Result<()> {
    // Readiness stays green, so that no probe helps.
    let mut platform = start("lame_duck: 4s, readiness_fail_delay: 4s").await?;
    let users = platform
        .load()
        .rate(150.0)
        .posts(0.3, 500)
        .no_resend()
        .start()?;
    eventually(EXIT, "requests at the replica", async || {
        let status = platform.regions[0].replicas[0].status().await?;
        ensure!(status["requests_total"].as_u64() > Some(20), "{status}");
        Ok(())
    })
    .await?;
    let replica = platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    // The target.
    sleep(Duration::from_secs(1)).await;
    let replica = platform.replica("r1-a")?;
    let total = async |replica: &strata_tests::topology::Replica| {
        let status = replica.status().await?;
        ensure!(status["lifecycle"] == "lame_duck", "{status}");
        Ok(status["requests_total"].as_u64().unwrap_or_default())
    };
    let before = total(replica).await?;
    sleep(Duration::from_secs(2)).await;
    let after = total(replica).await?;
    // Who serves it at all is asked again once in a while.
    ensure!(after - before <= 4, "{} new requests", after - before);
    eventually(EXIT, "its state at the tier above", async || {
        let status = platform.globals[0].status().await?;
        let text = status["regions"][0]["replicas"].to_string();
        ensure!(text.contains("draining"), "{text}");
        Ok(())
    })
    .await?;
    let status = platform.replica("r1-a")?.process()?.wait_exit(EXIT).await?;
    ensure!(status.success(), "{status}");
    let report = users.stop().await;
    ensure!(report.failed == 0, "{report}");
    Ok(())
}

/// What the replica answers itself tells as much as what it passes on.
#[tokio::test]
async fn own_answers_tell_a_trusted_peer_that_the_replica_leaves() -> Result<()> {
    for trusted in [true, false] {
        let range = if trusted { "127.0.0.0/8" } else { "10.0.0.0/8" };
        let mut platform = Topology::regional()
            .pool("web", 1)
            .tune_regional(move |file| {
                file.front.shutdown = "lame_duck: 600s".to_owned();
                file.front.trusted = range.to_owned();
                file.routes[0].prefix = "/web/".to_owned();
                file.more_routes = MORE_ROUTES.to_owned();
            })
            .start()
            .await?;
        let address = platform.address()?;
        for server in platform.servers() {
            server.script(|s| s.inject(Fault::CloseBeforeHead, 1.0));
        }
        let told = async || {
            let mut told = Vec::new();
            for (path, status) in [
                ("/nowhere", 404),
                ("/moved", 308),
                ("/drill", 503),
                ("/web/", 502),
            ] {
                for dial in [Dial::http1(address), Dial::h2c(address)] {
                    let answer = dial.get(path).await?;
                    ensure!(answer.status == status, "{path}: {answer:?}");
                    told.push(answer.header("x-lb-draining") == "1");
                }
            }
            anyhow::Ok(told)
        };
        let before = told().await?;
        ensure!(before.iter().all(|told| !told), "too early: {before:?}");
        let replica = platform.replica("r1-a")?;
        replica.signal(Signal::SIGTERM)?;
        eventually(EXIT, "the lame duck", async || {
            let status = replica.status().await?;
            ensure!(status["lifecycle"] == "lame_duck", "{status}");
            Ok(())
        })
        .await?;
        let after = told().await?;
        ensure!(after.iter().all(|told| *told == trusted), "{after:?}");
    }
    Ok(())
}

/// Its word that it leaves counts for 5 s; the one that it is back ends that.
#[tokio::test]
async fn a_replica_that_was_restarted_is_taken_back_at_once() -> Result<()> {
    let plan = Topology::two_tier().regions(1, 2, 1);
    let plan = plan.tune_regional(|file| file.front.shutdown = "lame_duck: 2s".to_owned());
    let mut platform = plan.start().await?;
    let state = async |platform: &Platform, wanted: &str| {
        let status = platform.globals[0].status().await?;
        let replica = status["regions"][0]["replicas"][0].clone();
        ensure!(replica["state"] == wanted, "not {wanted}: {replica}");
        anyhow::Ok(())
    };
    eventually(EXIT, "a healthy replica", async || {
        state(&platform, "healthy").await
    })
    .await?;
    platform.replica("r1-a")?.signal(Signal::SIGTERM)?;
    eventually(EXIT, "its word that it leaves", async || {
        state(&platform, "draining").await
    })
    .await?;
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.wait_exit(EXIT).await?.success());
    replica.restart().await?;
    let back = Instant::now();
    eventually(EXIT, "its return", async || {
        let status = platform.globals[0].status().await?;
        let replica = &status["regions"][0]["replicas"][0];
        let is_back = replica["state"] == "ramping" || replica["state"] == "healthy";
        ensure!(is_back, "{replica}");
        Ok(())
    })
    .await?;
    let took = back.elapsed();
    ensure!(took < Duration::from_secs(3), "{took:?}");
    Ok(())
}
