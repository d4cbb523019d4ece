//! Faults of one server of three, behind one regional replica.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use strata_tests::eventually;
use strata_tests::server::{Fault, Health, Server};
use strata_tests::topology::{Platform, Topology};

use crate::drill::{Drill, RETURN, SOON, drill, mixed};

const NO_RETRY: &str = "retry: { retries: 0 }";
const FIRST_BYTE: &str = "timeouts: { first_byte: 1s }";
/// As an operator leaves it: every second, three failures.
const DEFAULT_CHECK: &str = "http: { path: /healthz }";

fn plan(route: &'static str, pool: &'static str) -> Topology {
    let plan = Topology::regional().pool("web", 3);
    plan.tune_regional(move |file| {
        for known in &mut file.routes {
            known.extra = route.to_owned();
        }
        for known in &mut file.pools {
            known.extra = pool.to_owned();
            known.health_check = Some(DEFAULT_CHECK.to_owned());
        }
    })
}

fn victim(platform: &Platform) -> Result<&Server> {
    platform.servers().next().context("no server")
}

async fn state_of(platform: &Platform, server: &str) -> Result<String> {
    let replica = platform.regions.iter().flat_map(|r| &r.replicas).next();
    let status = replica.context("no replica")?.status().await?;
    let endpoints = status["pools"][0]["endpoints"].as_array().cloned();
    let endpoints = endpoints.unwrap_or_default();
    let found = endpoints.iter().find(|known| known["server"] == server);
    let state = found.and_then(|known| known["state"].as_str());
    Ok(state.context("no such server")?.to_owned())
}

async fn comes_back(platform: &Platform) -> Result<()> {
    let server = victim(platform)?;
    let before = server.ledger().counts().requests;
    let start = tokio::time::Instant::now();
    eventually(RETURN, "traffic at the server that came back", async || {
        let now = server.ledger().counts().requests;
        ensure!(now > before + 5, "{before} requests, then {now}");
        Ok(())
    })
    .await?;
    eprintln!(
        "{} took traffic again after {:?}",
        server.name(),
        start.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn checks_that_all_fail_do_not_stop_traffic() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = plan("", "").start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(2), async |p| {
        for server in p.servers() {
            server.script(|b| b.health = Health::Fail(500));
        }
        eventually(SOON, "all are called unhealthy", async || {
            for server in p.servers() {
                let state = state_of(p, server.name()).await?;
                ensure!(state == "unhealthy", "{}: {state}", server.name());
            }
            Ok(())
        })
        .await
    })
    .await?;
    ensure!(done.report.failed == 0, "{}", done.report);
    done.no_get_fails()
}

async fn kill(route: &'static str) -> Result<Drill> {
    let mut platform = plan(route, "").start().await?;
    let load = mixed(&platform);
    drill(&mut platform, load, Duration::from_secs(3), async |p| {
        victim(p)?.crash().await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_killed_server_fails_no_get() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = plan("", "outlier: { base_ejection: 1s }").start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(2), async |p| {
        victim(p)?.crash().await;
        eventually(SOON, "its loss is noticed", async || {
            let state = state_of(p, "r1-web-1").await?;
            ensure!(state == "unhealthy" || state == "ejected", "{state}");
            Ok(())
        })
        .await?;
        victim(p)?.reopen().await?;
        comes_back(p).await
    })
    .await?;
    done.no_get_fails()?;
    done.posts_failed_at_most(3)
}

#[tokio::test]
async fn without_retries_a_killed_server_fails_gets() -> Result<()> {
    let _turn = strata_tests::turn().await;
    kill(NO_RETRY).await?.gets_fail()
}

async fn freeze(route: &'static str) -> Result<Drill> {
    let mut platform = plan(route, "").start().await?;
    let load = mixed(&platform);
    drill(&mut platform, load, Duration::from_secs(6), async |p| {
        victim(p)?.freeze();
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_frozen_server_fails_no_get_and_loses_its_share() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let done = freeze(FIRST_BYTE).await?;
    done.no_get_fails()?;
    done.share_is_gone(Duration::from_millis(900))
}

#[tokio::test]
async fn a_frozen_server_fails_no_get_with_default_timeouts() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let done = freeze("").await?;
    done.no_get_fails()?;
    done.share_is_gone(Duration::from_millis(4_500))
}

#[tokio::test]
async fn without_retries_a_frozen_server_fails_gets() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let done = freeze("timeouts: { first_byte: 1s }\nretry: { retries: 0 }").await?;
    done.gets_fail()
}

#[tokio::test]
async fn a_thawed_server_takes_traffic_again() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = plan(FIRST_BYTE, "outlier: { base_ejection: 1s }")
        .start()
        .await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(1), async |p| {
        victim(p)?.freeze();
        eventually(SOON, "its silence is noticed", async || {
            let state = state_of(p, "r1-web-1").await?;
            ensure!(state == "unhealthy", "{state}");
            Ok(())
        })
        .await?;
        victim(p)?.thaw();
        comes_back(p).await
    })
    .await?;
    done.no_get_fails()
}

/// One server answers probes and breaks requests: only traffic can find it. Servers take turns, because the
/// default policy gives a failing server so few requests that a row of five errors takes long.
async fn broken(route: &'static str, script: fn(&Server)) -> Result<(Drill, bool)> {
    let plan = plan(route, "outlier: { base_ejection: 60s }");
    let plan = plan.tune_regional(|file| {
        let pools = file.pools.iter_mut();
        pools.for_each(|pool| pool.policy = "round_robin".to_owned());
    });
    let mut platform = plan.start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(3), async |p| {
        script(victim(p)?);
        Ok(())
    })
    .await?;
    let ejected = state_of(&platform, "r1-web-1").await? == "ejected";
    Ok((done, ejected))
}

async fn is_found_and_fails_no_get(script: fn(&Server)) -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (done, ejected) = broken("", script).await?;
    done.no_get_fails()?;
    ensure!(ejected, "not ejected: {}", done.report);
    // A POST that was sent is not repeated: it fails until the server is out.
    done.posts_failed_at_most(6)
}

#[tokio::test]
async fn a_server_that_resets_is_found() -> Result<()> {
    is_found_and_fails_no_get(|s| s.script(|b| b.inject(Fault::ResetBeforeHead, 1.0))).await
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_is_found() -> Result<()> {
    is_found_and_fails_no_get(|s| s.script(|b| b.inject(Fault::CloseBeforeHead, 1.0))).await
}

#[tokio::test]
async fn a_server_that_answers_garbage_is_found() -> Result<()> {
    is_found_and_fails_no_get(|s| s.script(|b| b.inject(Fault::Garbage, 1.0))).await
}

#[tokio::test]
async fn a_server_that_answers_503_is_found() -> Result<()> {
    is_found_and_fails_no_get(|s| s.script(|b| b.status = Some(503))).await
}

#[tokio::test]
async fn without_retries_503s_reach_the_users() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (done, _) = broken(NO_RETRY, |s| s.script(|b| b.status = Some(503))).await?;
    done.gets_fail()
}

#[tokio::test]
async fn a_server_that_truncates_is_found() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (done, ejected) = broken("", |s| s.script(|b| b.inject(Fault::Truncate, 1.0))).await?;
    done.nothing_is_repeated()?;
    ensure!(ejected, "not ejected: {}", done.report);
    let failed = done.report.failed_of(&Method::GET);
    // Its row of five, and what was under way when the row was complete: 20 requests a second take 100 ms
    // each, and the new view comes within 50 ms.
    ensure!(
        failed <= 5 + 5,
        "more than its row of errors: {}",
        done.report
    );
    Ok(())
}
