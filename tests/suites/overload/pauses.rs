//! A pool that stands still for a moment, as for a garbage collection or while its machine is moved.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::load::Report;
use strata_tests::topology::Topology;

/// Far above `max_wait`, and within five times that.
const PAUSE: Duration = Duration::from_millis(300);
/// Requests a second: in a pause come several times as many as the limit of a pool that answers at once.
const RATE: f64 = 300.0;

/// Three pauses of the only server, with these lines in its pool.
async fn pauses(extra: &'static str) -> Result<Report> {
    let plan = Topology::regional().pool("web", 1);
    let plan = plan.tune_regional(move |file| {
        for pool in &mut file.pools {
            pool.extra = extra.to_owned();
        }
    });
    let platform = plan.start().await?;
    let running = platform.load().rate(RATE).posts(0.3, 500).start()?;
    running.settle(600).await;
    for _ in 0..3 {
        for server in platform.servers() {
            server.freeze();
        }
        tokio::time::sleep(PAUSE).await;
        for server in platform.servers() {
            server.thaw();
        }
        running.settle(300).await;
    }
    Ok(running.stop().await)
}

#[tokio::test]
async fn a_pool_that_pauses_fails_nobody() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let report = pauses("").await?;
    ensure!(report.failed == 0, "{report}");
    ensure!(report.max() >= PAUSE / 2, "it did not pause: {report}");
    Ok(())
}

/// The control: nobody may wait.
#[tokio::test]
async fn without_a_queue_a_pause_is_seen() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let report = pauses("circuit_breaker: { max_pending: 0 }").await?;
    ensure!(report.failed > 10, "{report}");
    Ok(())
}

/// The other control: what lasts for more than five of the longest waits is no pause.
#[tokio::test]
async fn a_pause_that_is_too_long_is_an_outage() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let report = pauses("circuit_breaker: { max_wait: 20ms }").await?;
    ensure!(report.failed > 10, "{report}");
    Ok(())
}
