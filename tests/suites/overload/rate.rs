//! Rate limits of routes.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use strata_tests::http::{Answer, Dial, empty};
use strata_tests::topology::{Platform, Topology};

async fn start(limit: &'static str) -> Result<Platform> {
    let plan = Topology::regional().pool("web", 1);
    let plan = plan.tune_regional(move |file| {
        for route in &mut file.routes {
            route.extra = format!("rate_limit: {{ {limit} }}");
        }
    });
    plan.start().await
}

async fn ask(platform: &Platform, path: &str, token: &str) -> Result<Answer> {
    let request = Request::get(path).header("x-token", token).body(empty())?;
    Dial::http1(platform.address()?).send(request).await
}

#[tokio::test]
async fn a_greedy_client_is_told_when_to_come_back() -> Result<()> {
    let platform = start("requests: 3, per: 1h").await?;
    for _ in 0..3 {
        let answer = ask(&platform, "/", "a").await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let answer = ask(&platform, "/", "a").await?;
    ensure!(
        answer.status == 429
            && answer.header("ratelimit-policy") == "\"web\";q=3;w=3600"
            && answer.header("ratelimit").starts_with("\"web\";r=0;t=")
            && answer.header("x-lb-overloaded").is_empty()
            && answer.text().starts_with("429 rate_limited"),
        "{answer:?}"
    );
    let wait: u64 = answer.header("retry-after").parse()?;
    ensure!(
        (1000..=1200).contains(&wait),
        "one of three an hour: {wait}"
    );
    let replica = &platform.regions[0].replicas[0];
    ensure!(replica.metric("lb_rate_limited_total", &["web"]).await? == 1.0);
    ensure!(
        replica
            .metric("lb_rejected_total", &["rate_limited"])
            .await?
            == 1.0
    );
    let status = replica.status().await?;
    ensure!(status["failures_total"] == 0, "{status}");
    let seen = platform
        .servers()
        .map(|s| s.ledger().seen().len())
        .sum::<usize>();
    ensure!(seen == 3, "{seen} came through");
    Ok(())
}

#[tokio::test]
async fn clients_are_told_apart_by_the_key() -> Result<()> {
    let platform = start("requests: 1, per: 1h, key: { header: x-token }").await?;
    for (token, status) in [("a", 200), ("b", 200), ("a", 429), ("b", 429), ("c", 200)] {
        let answer = ask(&platform, "/", token).await?;
        ensure!(answer.status == status, "{token}: {answer:?}");
    }
    let platform = start("requests: 1, per: 1h, key: { path: true }").await?;
    for (path, status) in [("/a", 200), ("/b", 200), ("/a?again", 429)] {
        let answer = ask(&platform, path, "a").await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_reload_gives_nobody_a_fresh_burst() -> Result<()> {
    let platform = start("requests: 1, per: 1h").await?;
    ensure!(ask(&platform, "/", "a").await?.status == 200);
    let replica = &platform.regions[0].replicas[0];
    replica
        .rewrite(|text| text.replace("    servers:\n", "    idle_timeout: 31s\n    servers:\n"))?;
    let renewed = "the next generation";
    strata_tests::eventually(Duration::from_secs(10), renewed, async || {
        let status = replica.status().await?;
        ensure!(status["config"]["generation"] == 2, "{}", status["config"]);
        Ok(())
    })
    .await?;
    ensure!(ask(&platform, "/", "a").await?.status == 429);
    Ok(())
}
