//! One server that is slow without failing.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::load::Report;

use crate::bed::{Bed, FAULT, SOON, endpoint, load, server, share};

const WORK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(200);

/// Requests of a part of a run, and parts before and after the fault.
const PART: u64 = 240;
const PARTS: u64 = 5;

/// The median of the parts' p99: what else the machine does for a moment stays in one of them.
fn usual_p99(report: &Report) -> Duration {
    let outcomes: Vec<_> = report.outcomes.iter().map(|outcome| outcome.due).collect();
    let starts = outcomes.iter().step_by(PART as usize);
    let part = |from: &Duration| report.between(*from, *from + Duration::from_secs(2)).p99();
    let mut all: Vec<Duration> = starts.map(part).collect();
    all.sort();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// p99 with one of `servers` ten times slower, in relation to p99 before.
async fn slow(servers: usize, policy: &'static str, pool: &str) -> Result<f64> {
    let platform = Bed::of(servers, policy).pool(pool).start().await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = WORK);
    }
    let running = load(&platform, 120.0).start()?;
    running.settle(PARTS * PART).await;
    running.mark(FAULT);
    server(&platform, 0)?.script(|b| b.head_delay = SLOW);
    // The first answers tell that it is slow.
    running.settle(240).await;
    running.mark("known");
    running.settle(PARTS * PART).await;
    let report = running.stop().await;
    let fault = report.marks.iter().find(|mark| mark.what == FAULT);
    let before = report.between(Duration::ZERO, fault.map(|m| m.at).unwrap_or_default());
    let after = report.since("known");
    let (was, is) = (usual_p99(&before), usual_p99(&after));
    let ratio = is.as_secs_f64() / was.as_secs_f64();
    eprintln!(
        "{policy}: p99 {was:.0?} before, {is:.0?} after: {ratio:.2}; share {:.4}",
        share(&after, server(&platform, 0)?.name()),
    );
    Ok(ratio)
}

#[tokio::test]
async fn one_of_ten_that_turns_slow_does_not_show_at_p99() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let ratio = slow(10, "p2c", "").await?;
    ensure!(ratio <= 1.5, "{ratio}");
    Ok(())
}

#[tokio::test]
async fn a_policy_that_sees_no_latency_shows_it() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let off = "outlier: { latency: { enabled: false } }";
    let ratio = slow(10, "round_robin", off).await?;
    ensure!(ratio > 3.0, "the control sees nothing: {ratio}");
    Ok(())
}

/// Share of the slow server, when its factor is at its least or the time is over.
/// One mechanism at a time: a server that is a hundred times slower doubles the mean of a pool that goes on sending to it,
/// which the adaptive limit takes for a queue for some seconds.
const ALONE: &str = "adaptive_concurrency: { enabled: false }\n";

async fn round_robin(pool: &str) -> Result<f64> {
    let platform = Bed::of(4, "round_robin").pool(pool).start().await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = WORK);
    }
    // Fifty times: the peers' peaks on a busy machine must not look like a third of it.
    server(&platform, 0)?.script(|b| b.head_delay = WORK * 50);
    let running = load(&platform, 100.0).late_after(SOON).start()?;
    let least = eventually(SOON, "the loss of weight", async || {
        let known = endpoint(&platform, 0).await?;
        let factor = known["latency_factor"].as_f64().unwrap_or(1.0);
        ensure!(factor <= 0.2, "{known}");
        ensure!(
            known["why"]
                .as_str()
                .is_some_and(|why| why.contains("slower")),
            "{known}"
        );
        ensure!(known["state"] == "healthy", "{known}");
        Ok(())
    });
    let least = least.await;
    running.mark("settled");
    running.settle(300).await;
    let report = running.stop().await.since("settled");
    ensure!(report.failed == 0, "{report}");
    eprintln!("round robin: lost weight: {}", least.is_ok());
    Ok(share(&report, server(&platform, 0)?.name()))
}

#[tokio::test]
async fn round_robin_takes_weight_from_a_slow_server() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let share = round_robin(&format!("{ALONE}outlier: {{ latency: {{ after: 3s }} }}")).await?;
    eprintln!("share of the slow one of four: {share:.3}");
    ensure!((0.005..=0.1).contains(&share), "{share}");
    Ok(())
}

#[tokio::test]
async fn without_the_comparison_it_keeps_its_share() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let share = round_robin(&format!(
        "{ALONE}outlier: {{ latency: {{ enabled: false }} }}"
    ))
    .await?;
    ensure!(share > 0.2, "{share}");
    Ok(())
}
