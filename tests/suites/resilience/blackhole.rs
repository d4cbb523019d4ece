//! A server that fails at once looks idle and fast, and must not attract the load for it. And: choices at their edges.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::server::Health;

use crate::bed::{Bed, FAULT, SOON, load, replica, server};

/// Share of all tries that a server failing at once gets, without ejection.
async fn black_hole(policy: &'static str, status: u16) -> Result<f64> {
    let platform = Bed::of(3, policy)
        .pool("outlier: { enabled: false }")
        .route("retry: { retries: 0 }")
        .start()
        .await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = Duration::from_millis(50));
    }
    let running = load(&platform, 120.0).start()?;
    running.settle(120).await;
    server(&platform, 0)?.script(|b| {
        b.head_delay = Duration::ZERO;
        b.status = Some(status);
    });
    running.mark(FAULT);
    running.settle(600).await;
    let report = running.stop().await.since(FAULT);
    let share = report.failed as f64 / report.sent as f64;
    eprintln!("{policy}, {status} at once: {share:.4} of the requests");
    Ok(share)
}

#[tokio::test]
async fn a_server_that_fails_fast_attracts_nobody() -> Result<()> {
    let _turn = strata_tests::turn().await;
    for policy in ["p2c", "least_request"] {
        for status in [500, 503] {
            let share = black_hole(policy, status).await?;
            ensure!(share < 0.05, "{policy} {status}: {share}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_policy_that_sees_no_failures_sends_it_its_share() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let share = black_hole("round_robin", 503).await?;
    ensure!(share > 0.3, "the control: {share}");
    Ok(())
}

#[tokio::test]
async fn p2c_with_two_candidates_uses_both() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = Bed::of(2, "p2c").start().await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = Duration::from_millis(20));
    }
    let report = load(&platform, 100.0)
        .run_for(Duration::from_secs(4))
        .await?;
    ensure!(report.failed == 0, "{report}");
    for (server, count) in report.by_server() {
        let share = count as f64 / report.sent as f64;
        ensure!((0.35..=0.65).contains(&share), "{server}: {share}");
    }
    server(&platform, 0)?.crash().await;
    let report = load(&platform, 100.0)
        .run_for(Duration::from_secs(3))
        .await?;
    ensure!(report.failed == 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn weight_zero_everywhere_is_refused_and_the_last_good_file_serves() -> Result<()> {
    let platform = Bed::of(3, "p2c").start().await?;
    let lb = replica(&platform)?;
    lb.rewrite(|text| text.replace("weight: 1 }", "weight: 0 }"))?;
    eventually(SOON, "the refusal", async || {
        let status = lb.status().await?["config"].clone();
        ensure!(status["last_reload_ok"] == false, "{status}");
        ensure!(status.to_string().contains("has weight 0"), "{status}");
        Ok(())
    })
    .await?;
    ensure!(http::get(platform.address()?, "/").await?.status == 200);
    Ok(())
}

#[tokio::test]
async fn with_nothing_routable_and_no_panic_a_503_says_so() -> Result<()> {
    let platform = Bed::of(3, "p2c")
        .pool("panic_threshold: 0%")
        .start()
        .await?;
    for server in platform.servers() {
        server.script(|b| b.health = Health::Fail(500));
    }
    let address = platform.address()?;
    eventually(SOON, "the refusal", async || {
        let answer = http::get(address, "/").await?;
        let text = answer.text();
        ensure!(answer.status == 503, "{}: {text}", answer.status);
        ensure!(answer.header("retry-after") == "1", "{answer:?}");
        ensure!(
            text.contains("no_endpoint") && text.contains("pool \"web\""),
            "{text}"
        );
        Ok(())
    })
    .await
}
