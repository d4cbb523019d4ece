//! Servers that come back: one among healthy ones, and a whole pool at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::load::Report;

use crate::bed::{Bed, SOON, endpoint, load, server, share, states};

const WORK: Duration = Duration::from_millis(20);

/// One of three servers dies and returns; gives its share of the first two seconds after its return.
async fn returns(pool: &str) -> Result<f64> {
    let platform = Bed::of(3, "round_robin").pool(pool).start().await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = WORK);
    }
    let running = load(&platform, 120.0).start()?;
    server(&platform, 0)?.crash().await;
    let state = async |wanted: &[&str]| {
        eventually(SOON, "its state", async || {
            let known = endpoint(&platform, 0).await?;
            let state = known["state"].as_str().unwrap_or_default().to_owned();
            ensure!(wanted.contains(&state.as_str()), "{known}");
            Ok(known)
        })
        .await
    };
    state(&["unhealthy"]).await?;
    server(&platform, 0)?.reopen().await?;
    let known = state(&["healthy", "ramping"]).await?;
    eprintln!("back: {} {}", known["state"], known["why"]);
    running.mark("back");
    running.settle(240).await;
    let report = running.stop().await.since("back");
    Ok(share(&report, server(&platform, 0)?.name()))
}

#[tokio::test]
async fn a_server_that_returns_starts_with_a_small_share() -> Result<()> {
    let _turn = strata_tests::turn().await;
    // The ejection would hold it back further.
    let share = returns("outlier: { enabled: false }").await?;
    eprintln!("share in the first two seconds: {share:.3}");
    ensure!((0.01..0.15).contains(&share), "{share}");
    Ok(())
}

#[tokio::test]
async fn without_slow_start_it_has_a_third_at_once() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let share = returns("outlier: { enabled: false }\nslow_start: { window: 0s }").await?;
    ensure!(share > 0.28, "the control: {share}");
    Ok(())
}

/// The largest share that one server had in any half second with enough answers, from the first one on.
fn peak(report: &Report) -> f64 {
    let slots = report.timeline(Duration::from_millis(500));
    let share = |slot: &strata_tests::load::Slot| {
        let all: usize = slot.by_server.values().sum();
        let most = slot.by_server.values().max().copied().unwrap_or_default();
        (all >= 100).then(|| most as f64 / all as f64)
    };
    slots.iter().filter_map(share).fold(0.0, f64::max)
}

/// All five servers die and return; gives the largest share of one in relation to a fifth, and the report.
async fn all_return(policy: &'static str, pool: &str) -> Result<(f64, Report)> {
    let platform = Bed::of(5, policy).pool(pool).start().await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = WORK);
    }
    let running = load(&platform, 300.0).start()?;
    running.settle(100).await;
    for server in platform.servers() {
        server.crash().await;
    }
    eventually(SOON, "the outage is known", async || {
        let states = states(&platform).await?;
        ensure!(
            states
                .iter()
                .all(|state| state == "unhealthy" || state == "ejected"),
            "{states:?}"
        );
        Ok(())
    })
    .await?;
    running.mark("back");
    for server in platform.servers() {
        server.reopen().await?;
    }
    eventually(SOON, "all are back", async || {
        let states = states(&platform).await?;
        let up = |state: &String| state == "ramping" || state == "healthy";
        ensure!(states.iter().all(up), "{states:?}");
        Ok(())
    })
    .await?;
    running.settle(300).await;
    let report = running.stop().await;
    let recovered = report.recovery_after("back");
    let peak = 5.0 * peak(&report.since("back"));
    eprintln!("{policy}: peak {peak:.2} × fair share, last failure after {recovered:?}");
    Ok((peak, report))
}

/// Times that a pool may return: a machine that stands still for a tenth of a second sends what was due then to whoever answers
/// first.
const TRIES: usize = 3;

#[tokio::test]
async fn a_pool_that_returns_at_once_does_not_fall_upon_the_first() -> Result<()> {
    let _turn = strata_tests::turn().await;
    for policy in ["p2c", "least_request", "round_robin"] {
        let (mut peak, mut report) = all_return(policy, "").await?;
        for _ in 1..TRIES {
            if peak <= 1.5 {
                break;
            }
            (peak, report) = all_return(policy, "").await?;
        }
        let recovered = report.recovery_after("back");
        ensure!(peak <= 1.5, "{policy}: {peak}: {report}");
        ensure!(
            recovered.unwrap_or_default() <= Duration::from_secs(3),
            "{report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_panic_the_first_one_carries_the_rest() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (peak, report) = all_return("round_robin", "panic_threshold: 0%").await?;
    ensure!(peak > 1.5, "the control: {peak}: {report}");
    Ok(())
}
