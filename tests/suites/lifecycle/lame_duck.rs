//! Leaving while others still send: behind a Service that lags, and below the global tier.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::eventually;
use strata_tests::http::Dial;
use strata_tests::load::{Load, Mode, Report, Running};
use strata_tests::server::Fault;
use strata_tests::topology::{Platform, Topology};
use tokio::time::sleep;

use crate::service::Service;

/// How long a Service goes on sending after the signal.
const LAG: Duration = Duration::from_secs(2);
const LAME_DUCK: &str = "lame_duck: 4s";
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

/// Users of every kind.
fn users(service: &Service) -> Result<Vec<Running>> {
    let load = |mode, rate| {
        let load = Load::at(service.address()).mode(mode).rate(rate);
        load.posts(0.3, 500).no_resend().start()
    };
    [
        load(Mode::KeepAlive, 150.0),
        load(Mode::NewConnection, 50.0),
        load(Mode::H2c(4), 100.0),
    ]
    .into_iter()
    .collect()
}

/// Restarts each global replica in turn, as a rolling update does; tells what became of the users' requests.
async fn roll(shutdown: &'static str) -> Result<Vec<Report>> {
    let mut platform = start(shutdown).await?;
    let addresses = platform.addresses();
    let service = Service::start(&addresses).await?;
    let users = users(&service)?;
    eventually(EXIT, "users of every kind", async || {
        let sent = users.iter().map(Running::sent).min();
        ensure!(sent > Some(20), "{sent:?}");
        Ok(())
    })
    .await?;
    for global in &mut platform.globals {
        let address = global.address();
        global.signal(Signal::SIGTERM)?;
        sleep(LAG).await;
        service.remove(address);
        let status = global.process()?.wait_exit(EXIT).await?;
        ensure!(status.success(), "{status}");
        global.restart().await?;
        global.wait_ready().await?;
        service.add(address);
        sleep(Duration::from_millis(500)).await;
    }
    let mut reports = Vec::new();
    for running in users {
        reports.push(running.stop().await);
    }
    Ok(reports)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_a_service_that_lags_fails_nothing() -> Result<()> {
    for report in roll(LAME_DUCK).await? {
        ensure!(report.failed == 0 && report.sent > 300, "{report}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lame_duck_requests_fail() -> Result<()> {
    let reports = roll("lame_duck: 0s").await?;
    let failed: u64 = reports.iter().map(|report| report.failed).sum();
    ensure!(failed > 20, "the control: {failed} failed");
    Ok(())
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
