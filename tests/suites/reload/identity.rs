//! What belongs to a server stays with it over a reload: health, ejections, in-flight counts, connections.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use strata_tests::http as client;
use strata_tests::load::Load;
use strata_tests::server::{Health, Server};
use strata_tests::{eventually, steadily};

use crate::bed::{Bed, Plan, SOON};

/// Another plan for the same servers, so that each reload is one.
fn variant(count: usize, round: u64) -> Plan {
    let mut plan = Plan::of(count);
    plan.route = format!("timeouts: {{ request: {}s }}", 15 + round);
    plan
}

#[tokio::test]
async fn an_unhealthy_server_stays_unhealthy() -> Result<()> {
    let bed = Bed::start(3).await?;
    bed.servers[0].script(|b| b.health = Health::Hang);
    bed.becomes("s1", "unhealthy").await?;
    let before = bed.servers[0].ledger().counts().requests;
    for round in 1..=5 {
        bed.reload(&variant(3, round)).await?;
        steadily(
            Duration::from_millis(100),
            "unhealthy over reloads",
            async || {
                let endpoint = bed.endpoint("s1").await?;
                ensure!(endpoint["state"] == "unhealthy", "{endpoint}");
                Ok(())
            },
        )
        .await?;
        for _ in 0..10 {
            ensure!(client::get(bed.address, "/").await?.status == 200);
        }
    }
    ensure!(
        bed.servers[0].ledger().counts().requests == before,
        "it got requests"
    );
    Ok(())
}

#[tokio::test]
async fn a_healthy_server_is_not_unknown_after_a_reload() -> Result<()> {
    let bed = Bed::start(3).await?;
    for name in ["s1", "s2", "s3"] {
        bed.becomes(name, "healthy").await?;
    }
    let mut plan = variant(3, 1);
    // Another check is asked from now on; what is known stays until it has decided.
    plan.pool =
        "health_check: { http: { path: /healthz?again }, interval: 5s, timeout: 1s }".to_owned();
    bed.reload(&plan).await?;
    steadily(
        Duration::from_millis(300),
        "healthy over a reload",
        async || {
            let endpoint = bed.endpoint("s1").await?;
            ensure!(endpoint["state"] == "healthy", "{endpoint}");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn an_ejected_server_stays_ejected() -> Result<()> {
    let in_turn = |mut plan: Plan| {
        // By default a server that fails gets so few requests that a row of five errors takes long.
        plan.pool += "\nbalance: { policy: round_robin }";
        plan
    };
    let bed = Bed::start_with(3, &in_turn(Plan::of(3)), "lb.yaml").await?;
    bed.servers[0].script(|b| b.status = Some(503));
    let running = Load::at(bed.address).rate(100.0).start()?;
    bed.becomes("s1", "ejected").await?;
    bed.servers[0].behave();
    let before = bed.servers[0].ledger().counts().requests;
    for round in 1..=5 {
        bed.reload(&in_turn(variant(3, round))).await?;
        let endpoint = bed.endpoint("s1").await?;
        ensure!(endpoint["state"] == "ejected", "{endpoint}");
        running.settle(10).await;
    }
    let after = bed.servers[0].ledger().counts().requests;
    ensure!(after <= before + 1, "{before} requests, then {after}");
    let report = running.stop().await;
    ensure!(report.failed_of(&Method::GET) == 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn in_flight_counts_stay_exact() -> Result<()> {
    let bed = Bed::start(1).await?;
    bed.servers[0].script(|b| b.head_delay = Duration::from_secs(3));
    let address = bed.address;
    let asking: Vec<_> = (0..7)
        .map(|_| tokio::spawn(async move { client::get(address, "/").await }))
        .collect();
    let counts = async |wanted: u64| {
        eventually(SOON, "in flight", async || {
            let status = bed.status().await?;
            let (pool, endpoint) = (&status["pools"][0], &status["pools"][0]["endpoints"][0]);
            ensure!(pool["inflight"] == wanted, "{pool}");
            ensure!(endpoint["inflight"] == wanted, "{endpoint}");
            ensure!(status["inflight"] == wanted, "{status}");
            Ok(())
        })
        .await
    };
    counts(7).await?;
    for round in 1..=3 {
        bed.reload(&variant(1, round)).await?;
        let endpoint = bed.endpoint("s1").await?;
        ensure!(endpoint["inflight"] == 7, "{endpoint}");
    }
    for answer in asking {
        ensure!(answer.await??.status == 200);
    }
    counts(0).await
}

#[tokio::test]
async fn connections_of_unchanged_servers_are_kept() -> Result<()> {
    let bed = Bed::start(3).await?;
    let mut plan = Plan::of(3).with(&[(0, 1), (1, 1)]);
    // Probes open connections of their own: none here.
    plan.pool = "health_check: { enabled: false }".to_owned();
    bed.reload(&plan).await?;
    let mut conn = client::Dial::http1(bed.address).connect().await?;
    let mut ask = async || -> Result<()> {
        for _ in 0..20 {
            let request = http::Request::get("/").body(client::empty())?;
            ensure!(conn.send(request).await?.status == 200);
        }
        Ok(())
    };
    ask().await?;
    let opened = |server: &Server| server.ledger().counts().connections;
    let counts = || bed.servers.iter().map(opened).collect::<Vec<u64>>();
    // A check of the first plan may have been under way when it was called off: wait it out.
    let before = eventually(SOON, "no more checks", async || {
        let counted = counts();
        let still = async || {
            ensure!(counts() == counted);
            Ok(())
        };
        steadily(Duration::from_millis(500), "no new connection", still).await?;
        Ok(counted)
    })
    .await?;
    for round in 1..=5 {
        let mut next = plan.clone();
        next.servers.truncate(if round % 2 == 0 { 2 } else { 1 });
        next.servers.push((2, 1));
        next.route = format!("timeouts: {{ request: {}s }}", 15 + round);
        bed.reload(&next).await?;
        ask().await?;
    }
    let after = counts();
    ensure!(after[0] == before[0], "opened {before:?}, then {after:?}");
    ensure!(
        after[2] <= before[2] + 2,
        "opened {before:?}, then {after:?}"
    );
    Ok(())
}
