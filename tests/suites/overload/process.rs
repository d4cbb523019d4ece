//! A process that has too little memory does less, says so, and stays alive.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use strata_tests::eventually;
use strata_tests::http as client;
use strata_tests::http::{Dial, empty};
use strata_tests::ports;
use strata_tests::topology::{Platform, Replica, Topology};

const SOON: Duration = Duration::from_secs(20);

/// A replica that reads these marks after its start.
async fn pressed(overload: &'static str) -> Result<Platform> {
    let platform = Topology::regional().pool("web", 1).start().await?;
    let replica = &platform.regions[0].replicas[0];
    replica.rewrite(|text| format!("{text}limits: {{ overload: {{ {overload} }} }}\n"))?;
    Ok(platform)
}

async fn reaches(platform: &Platform, level: &str) -> Result<()> {
    let replica = &platform.regions[0].replicas[0];
    eventually(SOON, level, async || {
        let status = replica.status().await?;
        ensure!(
            status["overload"]["level"] == level,
            "{}",
            status["overload"]
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn beyond_the_first_mark_connections_close_after_their_answer() -> Result<()> {
    let platform = Topology::regional().pool("web", 1).start().await?;
    let replica = &platform.regions[0].replicas[0];
    let mut kept = Dial::http1(platform.address()?).connect().await?;
    let mut idle = Dial::h2c(platform.address()?).connect().await?;
    for conn in [&mut kept, &mut idle] {
        let answer = conn.send(Request::get("/").body(empty())?).await?;
        ensure!(answer.status == 200 && answer.header("connection") != "close");
    }
    let marks = "memory_limit: 1GiB, memory_no_keepalive: 0.01%, memory_refuse: 99%";
    replica.rewrite(|text| format!("{text}limits: {{ overload: {{ {marks} }} }}\n"))?;
    reaches(&platform, "no_keepalive").await?;
    let answer = kept.send(Request::get("/").body(empty())?).await?;
    ensure!(
        answer.status == 200 && answer.header("connection") == "close",
        "{answer:?}"
    );
    eventually(SOON, "the idle connection to end", async || {
        ensure!(idle.is_closed(), "open");
        Ok(())
    })
    .await?;
    let ready = client::get(replica.admin(), "/readyz?verbose").await?;
    ensure!(
        ready.status == 200 && ready.text().contains("overload: no_keepalive"),
        "{ready:?}"
    );
    Ok(())
}

#[tokio::test]
async fn beyond_the_second_mark_new_work_is_refused_and_returns() -> Result<()> {
    let plan = Topology::regional().pool("web", 1);
    let plan = plan.tune_regional(|file| "127.0.0.2/32".clone_into(&mut file.front.trusted));
    let mut platform = plan.start().await?;
    let address = platform.address()?;
    let mut kept = Dial::http1(address).connect().await?;
    ensure!(kept.send(Request::get("/").body(empty())?).await?.status == 200);
    let marks = "memory_limit: 1MiB";
    let replica = &mut platform.regions[0].replicas[0];
    replica.rewrite(|text| format!("{text}limits: {{ overload: {{ {marks} }} }}\n"))?;
    reaches(&platform, "refuse_new").await?;
    let replica = &platform.regions[0].replicas[0];
    let answer = kept.send(Request::get("/").body(empty())?).await?;
    ensure!(
        answer.status == 503
            && answer.header("x-lb-overloaded").is_empty()
            && answer.header("connection") == "close",
        "{answer:?}"
    );
    ensure!(client::get(address, "/").await.is_err(), "a new connection");
    let admin = replica.admin();
    let ready = client::get(admin, "/readyz?verbose").await?;
    ensure!(
        ready.status == 503 && ready.text().contains("refuse_new"),
        "{ready:?}"
    );
    ensure!(client::get(admin, "/livez").await?.status == 200);
    ensure!(replica.metric("lb_overload_level", &[]).await? == 2.0);
    ensure!(replica.metric("lb_shed_total", &["process"]).await? == 1.0);
    ensure!(
        replica
            .metric("lb_connections_refused_total", &["overload"])
            .await?
            >= 1.0
    );
    ensure!(replica.output().contains("overload: normal -> refuse_new"));
    replica.rewrite(|text| text.replace(marks, "memory_limit: 1GiB"))?;
    reaches(&platform, "normal").await?;
    ensure!(client::get(address, "/").await?.status == 200);
    Ok(())
}

/// What it had sent on a connection that just closes, it could not send elsewhere.
#[tokio::test]
async fn the_tier_above_is_answered_on_a_new_connection_too() -> Result<()> {
    let platform = pressed("memory_limit: 1MiB").await?;
    reaches(&platform, "refuse_new").await?;
    let mut fresh = Dial::http1(platform.address()?).connect().await?;
    let request = Request::post("/").body(client::full("order"))?;
    let answer = fresh.send(request).await?;
    ensure!(
        answer.status == 503 && answer.header("x-lb-overloaded") == "1",
        "{answer:?}"
    );
    Ok(())
}

/// One of two that refuses stands aside; when both do, both stay: else the second would go because the first did.
#[tokio::test]
async fn at_most_half_of_the_sisters_stand_aside() -> Result<()> {
    let admins = [ports::free()?, ports::free()?];
    let plan = Topology::regional().replicas(2).pool("web", 1);
    let plan = plan.tune_regional(move |file| {
        file.admin = admins[usize::from(file.name == "r1-b")];
        file.extra = format!("peers: [\"{}\", \"{}\"]\n", admins[0], admins[1]);
    });
    let platform = plan.start().await?;
    let replicas = &platform.regions[0].replicas;
    let press = |replica: &Replica| {
        replica.rewrite(|text| format!("{text}limits: {{ overload: {{ memory_limit: 1MiB }} }}\n"))
    };
    for replica in replicas {
        eventually(SOON, "the sister", async || {
            let status = replica.status().await?;
            ensure!(status["peers_live"] == 1, "{}", status["peers"]);
            Ok(())
        })
        .await?;
    }
    press(&replicas[0])?;
    let is_ready = async |replica: &Replica, ready: bool| {
        eventually(SOON, "readiness", async || {
            let told = client::get(replica.admin(), "/readyz?verbose").await?;
            ensure!((told.status == 200) == ready, "{told:?}");
            ensure!(told.text().contains("refuse_new"), "{told:?}");
            Ok(())
        })
        .await
    };
    is_ready(&replicas[0], false).await?;
    press(&replicas[1])?;
    is_ready(&replicas[1], true).await?;
    is_ready(&replicas[0], true).await
}

#[tokio::test]
async fn switched_off_nothing_is_refused() -> Result<()> {
    let platform = pressed("enabled: false, memory_limit: 1MiB").await?;
    let replica = &platform.regions[0].replicas[0];
    eventually(SOON, "the next generation", async || {
        let status = replica.status().await?;
        ensure!(
            status["config"]["generation"] == 2
                && status["overload"]["memory_limit_bytes"] == 1 << 20,
            "{status}"
        );
        Ok(())
    })
    .await?;
    ensure!(client::get(platform.address()?, "/").await?.status == 200);
    Ok(())
}
