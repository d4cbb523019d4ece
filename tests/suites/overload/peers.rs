//! Rate limits that replicas share.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::http;
use strata_tests::load::{Failure, Kind, Load};
use strata_tests::process::Signal;
use strata_tests::topology::{Platform, Topology};
use strata_tests::{eventually, ports};

use strata_tests::alone;

const SOON: Duration = Duration::from_secs(15);
/// Requests per second, over all replicas.
const LIMIT: f64 = 100.0;
const SPAN: Duration = Duration::from_secs(6);

/// Two replicas of one region; `peers` makes the list of peers from their admin addresses.
async fn start(peers: fn(&[SocketAddr; 2]) -> String) -> Result<Platform> {
    start_at([ports::free()?, ports::free()?], peers).await
}

async fn start_at(
    admins: [SocketAddr; 2],
    peers: fn(&[SocketAddr; 2]) -> String,
) -> Result<Platform> {
    let plan = Topology::regional().replicas(2).pool("web", 2);
    let plan = plan.tune_regional(move |file| {
        file.admin = admins[usize::from(file.name == "r1-b")];
        for route in &mut file.routes {
            route.extra =
                "rate_limit: { requests: 100, burst: 20, key: { path: true } }".to_owned();
        }
        file.extra = peers(&admins);
    });
    plan.start().await
}

/// One list for all, this replica among them.
fn all(admins: &[SocketAddr; 2]) -> String {
    format!("peers: [\"{}\", \"{}\"]\n", admins[0], admins[1])
}

async fn peers_live(platform: &Platform, replica: usize, count: u32) -> Result<()> {
    let replica = &platform.regions[0].replicas[replica];
    eventually(SOON, "the live peers", async || {
        let status = replica.status().await?;
        ensure!(status["peers_live"] == count, "{}", status["peers"]);
        let gauge = replica.metric("lb_peers_live", &[]).await?;
        ensure!(gauge == f64::from(count), "{gauge}");
        Ok(())
    })
    .await
}

/// Requests per second that get through when each of `targets` gets twice the whole limit.
async fn admitted(targets: Vec<SocketAddr>) -> Result<f64> {
    let rate = 2.0 * LIMIT * targets.len() as f64;
    let load = Load::across(targets).rate(rate);
    let report = load.run_for(SPAN).await?;
    // The first second empties the burst.
    let steady = report.between(Duration::from_secs(1), SPAN);
    let refused = |failure: &Failure| failure.kind == Kind::Status(429);
    for outcome in &steady.outcomes {
        let is_told = outcome.result.as_ref().err().is_none_or(refused);
        ensure!(is_told, "{report}");
    }
    let passed = steady.outcomes.iter().filter(|o| o.result.is_ok()).count();
    Ok(passed as f64 / (SPAN.as_secs_f64() - 1.0))
}

fn about(rate: f64, expected: f64) -> Result<()> {
    eprintln!("admitted {rate:.1}/s of {expected}/s");
    ensure!(
        (rate / expected - 1.0).abs() < 0.15,
        "{rate:.1} of {expected}"
    );
    Ok(())
}

#[tokio::test]
async fn two_replicas_share_a_limit_and_one_that_is_left_has_it_all() -> Result<()> {
    let _alone = alone().await;
    let mut platform = start(all).await?;
    for replica in 0..2 {
        peers_live(&platform, replica, 1).await?;
    }
    about(admitted(platform.addresses()).await?, LIMIT)?;
    let answer = refusal(platform.addresses()[0]).await?;
    ensure!(answer == "\"web\";q=10;w=1", "the share: {answer}");

    let killed = platform.replica("r1-b")?;
    killed.kill();
    peers_live(&platform, 0, 0).await?;
    let left = platform.addresses()[0];
    about(admitted(vec![left]).await?, LIMIT)?;
    let answer = refusal(left).await?;
    ensure!(answer == "\"web\";q=20;w=1", "all of it: {answer}");

    platform.replica("r1-b")?.restart().await?;
    peers_live(&platform, 0, 1).await?;
    about(admitted(vec![left]).await?, LIMIT / 2.0)
}

/// `RateLimit-Policy` of the first refusal.
async fn refusal(address: SocketAddr) -> Result<String> {
    for _ in 0..500 {
        let answer = http::get(address, "/").await?;
        if answer.status == 429 {
            return Ok(answer.header("ratelimit-policy").to_owned());
        }
    }
    anyhow::bail!("none was refused")
}

#[tokio::test]
async fn without_peers_two_replicas_let_twice_the_limit_in() -> Result<()> {
    let _alone = alone().await;
    let platform = start(|_| String::new()).await?;
    peers_live(&platform, 0, 0).await?;
    about(admitted(platform.addresses()).await?, 2.0 * LIMIT)
}

#[tokio::test]
async fn a_frozen_peer_is_gone_and_doubted_less_easily_when_it_is_back() -> Result<()> {
    let mut platform = start(all).await?;
    peers_live(&platform, 0, 1).await?;
    platform.replica("r1-b")?.freeze().await?;
    peers_live(&platform, 0, 0).await?;
    platform.replica("r1-b")?.thaw().await?;
    peers_live(&platform, 0, 1).await?;
    let status = platform.regions[0].replicas[0].status().await?;
    let peers = status["peers"].as_array().cloned().unwrap_or_default();
    let state = |state: &str| peers.iter().find(|peer| peer["state"] == state).cloned();
    ensure!(state("itself").is_some(), "{peers:?}");
    let doubted = state("live").is_some_and(|peer| peer["patience"] == 6);
    ensure!(doubted, "it had not died: {peers:?}");
    Ok(())
}

#[tokio::test]
async fn a_peer_that_leaves_no_longer_counts_although_it_answers() -> Result<()> {
    let mut platform = start(all).await?;
    peers_live(&platform, 0, 1).await?;
    let long = Duration::from_secs(20);
    platform
        .servers()
        .for_each(|s| s.script(|b| b.head_delay = long));
    let last = platform.addresses()[1];
    let held = tokio::spawn(async move { http::get(last, "/").await });
    let leaver = &platform.regions[0].replicas[1];
    eventually(SOON, "a request under way", async || {
        ensure!(leaver.status().await?["inflight"] == 1);
        Ok(())
    })
    .await?;
    platform.replica("r1-b")?.signal(Signal::SIGTERM)?;
    peers_live(&platform, 0, 0).await?;
    let status = platform.regions[0].replicas[0].status().await?;
    let peers = status["peers"].as_array().cloned().unwrap_or_default();
    ensure!(
        peers.iter().any(|peer| peer["state"] == "leaving"),
        "{peers:?}"
    );
    held.abort();
    Ok(())
}

#[tokio::test]
async fn a_name_stands_for_all_its_addresses() -> Result<()> {
    // `localhost` is this replica itself at its own port, and its sister at the other's. IPv6, where it has one, is silent.
    let admins = [local()?, local()?];
    let platform = start_at(admins, |admins| {
        format!(
            "peers: [\"localhost:{}\", \"localhost:{}\"]\n",
            admins[0].port(),
            admins[1].port()
        )
    })
    .await?;
    for replica in 0..2 {
        peers_live(&platform, replica, 1).await?;
    }
    Ok(())
}

/// A free address of 127.0.0.1, which is what the name means.
fn local() -> Result<SocketAddr> {
    for _ in 0..100 {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()?.port()));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no free port")
}
