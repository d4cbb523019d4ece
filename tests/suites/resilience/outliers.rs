//! Servers that fail a part of their requests, or all of them at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::server::Health;
use strata_tests::{eventually, steadily};
use tokio::time::Instant;

use crate::bed::{Bed, FAULT, SOON, amplification, endpoint, load, replica, server, states};

/// One of three servers fails 30 %: how long until it is ejected, when it is within `limit`.
async fn partial(pool: &str, status: u16, limit: Duration) -> Result<Option<Duration>> {
    let platform = Bed::of(3, "round_robin").pool(pool).start().await?;
    let running = load(&platform, 90.0).start()?;
    running.settle(60).await;
    running.mark(FAULT);
    let start = Instant::now();
    server(&platform, 0)?.script(|b| {
        b.error_share = 0.3;
        b.error_status = status;
    });
    let found = eventually(limit, "its ejection", async || {
        let known = endpoint(&platform, 0).await?;
        ensure!(known["state"] == "ejected", "{known}");
        Ok(known["why"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    let took = start.elapsed();
    running.stop().await;
    let ejections = replica(&platform)?
        .metric("lb_ejections_total", &["reason=\"peers\""])
        .await?;
    let Ok(why) = found else {
        ensure!(ejections == 0.0, "{ejections} ejections by the peers");
        return Ok(None);
    };
    ensure!(why.contains("failed, against"), "{why}");
    ensure!(ejections == 1.0, "{ejections} ejections by the peers");
    eprintln!("{status} in 30 %: out after {took:.1?}: {why}");
    Ok(Some(took))
}

#[tokio::test]
async fn a_server_failing_thirty_per_cent_is_found_by_its_peers() -> Result<()> {
    let _turn = strata_tests::turn().await;
    for status in [500, 503] {
        let took = partial("", status, SOON).await?;
        ensure!(
            took.is_some_and(|t| t <= Duration::from_secs(10)),
            "{took:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_statistics_it_stays() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let off = "outlier: { success_rate: { enabled: false }, failure_percentage: { enabled: false }, \
               peers: { enabled: false } }";
    let took = partial(off, 500, Duration::from_secs(12)).await?;
    ensure!(took.is_none(), "the control found it after {took:?}");
    Ok(())
}

#[tokio::test]
async fn when_all_fail_the_cap_holds_and_nobody_multiplies_the_load() -> Result<()> {
    let _turn = strata_tests::turn().await;
    for status in [500, 503] {
        let platform = Bed::of(4, "p2c")
            .route("retry: { budget_floor: 0 }")
            .start()
            .await?;
        for server in platform.servers() {
            server.script(|b| b.status = Some(status));
        }
        let running = load(&platform, 200.0).start()?;
        let mut most = 0;
        steadily(Duration::from_secs(8), "the cap", async || {
            let out = states(&platform).await?;
            let out = out.iter().filter(|state| *state == "ejected").count();
            most = most.max(out);
            ensure!(out <= 2, "{out} of 4 ejected");
            Ok(())
        })
        .await?;
        let report = running.stop().await;
        let times = amplification(&platform, &report);
        eprintln!("all answer {status}: {most} of 4 ejected, {times:.3} tries a request");
        ensure!(times <= 1.2, "{times} tries a request: {report}");
        ensure!(report.failed == report.sent, "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn a_passing_check_does_not_bring_a_convicted_server_back() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = Bed::of(3, "round_robin")
        .pool("outlier: { base_ejection: 8s }")
        .start()
        .await?;
    let running = load(&platform, 90.0).start()?;
    server(&platform, 0)?.script(|b| b.status = Some(503));
    eventually(SOON, "its ejection", async || {
        let known = endpoint(&platform, 0).await?;
        ensure!(known["state"] == "ejected", "{known}");
        Ok(())
    })
    .await?;
    server(&platform, 0)?.behave();
    let probes = server(&platform, 0)?.ledger().counts().probes;
    steadily(Duration::from_secs(5), "its ejection", async || {
        let known = endpoint(&platform, 0).await?;
        ensure!(known["state"] == "ejected", "{known}");
        Ok(())
    })
    .await?;
    let passed = server(&platform, 0)?.ledger().counts().probes - probes;
    ensure!(passed >= 3, "only {passed} checks in the meantime");
    running.stop().await;
    Ok(())
}

#[tokio::test]
async fn checks_that_flap_over_half_of_the_fleet_remove_nobody_for_long() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = Bed::of(6, "p2c").start().await?;
    let running = load(&platform, 100.0).start()?;
    running.settle(50).await;
    let mut bad = false;
    let mut last = Instant::now();
    steadily(Duration::from_secs(16), "the fleet", async || {
        if last.elapsed() > Duration::from_millis(1_500) {
            last = Instant::now();
            bad = !bad;
            for server in platform.servers().take(3) {
                server.script(|b| b.health = if bad { Health::Fail(500) } else { Health::Pass });
            }
        }
        let states = states(&platform).await?;
        let ejected = states.iter().filter(|s| *s == "ejected").count();
        ensure!(ejected == 0, "{states:?}");
        Ok(())
    })
    .await?;
    let report = running.stop().await;
    let transitions = replica(&platform)?
        .metric("lb_health_transitions_total", &[])
        .await?;
    eprintln!(
        "flapping checks: {} of {} failed, {transitions} transitions",
        report.failed, report.sent
    );
    ensure!(transitions >= 6.0, "nothing flapped: {transitions}");
    ensure!(
        report.failed as f64 <= 0.001 * report.sent as f64,
        "{report}"
    );
    Ok(())
}
