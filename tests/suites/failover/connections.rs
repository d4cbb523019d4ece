//! Connections that servers close as they are used again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::reconcile::reconcile;
use strata_tests::server::{Fault, Ledger};
use strata_tests::topology::Topology;

/// Requests a second.
const RATE: f64 = 200.0;

/// The sum of a metric's series that have all of `labels`.
fn total(metrics: &str, name: &str, labels: &str) -> f64 {
    let series = metrics
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(labels));
    let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// The limits change so often that none can be learned, and are multiples of the time between requests, so that
/// closes and requests meet all the time.
///
/// What a server's kernel had acknowledged before the server closed is nobody's to repeat (RFC 9110 §9.2.2): the servers' account
/// tells which POSTs these are, and only they may fail.
#[tokio::test]
async fn posts_survive_servers_that_close_idle_connections() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = Topology::regional().pool("web", 3).start().await?;
    let load = platform.load().rate(RATE).posts(1.0, 2_000).no_resend();
    let running = load.start()?;
    for turn in 1..=20u32 {
        let limit = Duration::from_secs_f64(1.0 / RATE) * (1 + turn % 4);
        for server in platform.servers() {
            server.script(|b| b.idle_close = Some(limit));
        }
        running.settle(100).await;
    }
    let report = running.stop().await;
    let accounts = reconcile(&report, platform.ledgers());
    let unread = platform.ids_unread();
    let outcomes = report.outcomes.iter().filter(|o| o.result.is_err());
    let failed: Vec<&str> = outcomes
        .map(|outcome| outcome.id.as_str())
        .filter(|id| !unread.contains(*id))
        .collect();
    let replica = platform.regions.iter().flat_map(|r| &r.replicas).next();
    let metrics = replica.context("no replica")?.metrics().await?;
    let unheard = total(&metrics, "lb_retries_total", "not_processed");
    eprintln!(
        "of {} requests {unheard} met a close and went elsewhere; {} were in a kernel's hands",
        report.sent,
        unread.len()
    );
    ensure!(failed.is_empty(), "{failed:?} failed: {report}\n{accounts}");
    let seen = platform.ledgers().into_iter().flat_map(Ledger::seen);
    let mut again = seen.filter(|seen| unread.contains(&seen.id));
    ensure!(again.next().is_none(), "one of {unread:?} came again");
    ensure!(accounts.repeated_posts.is_empty(), "{accounts}");
    Ok(())
}

/// A reset tells no more than that the connection is over: a server that has read a POST may have carried it out.
#[tokio::test]
async fn posts_that_a_server_read_and_reset_are_not_repeated() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let platform = Topology::regional().pool("web", 3).start().await?;
    let load = platform.load().rate(RATE).posts(1.0, 200).no_resend();
    let running = load.start()?;
    running.settle(200).await;
    for server in platform.servers() {
        server.script(|b| (b.fault, b.fault_share) = (Some(Fault::ResetBeforeHead), 0.01));
    }
    running.settle(1_500).await;
    let report = running.stop().await;
    let accounts = reconcile(&report, platform.ledgers());
    eprintln!("{} of {} were reset", report.failed, report.sent);
    ensure!(accounts.repeated_posts.is_empty(), "{accounts}");
    ensure!(report.failed > 5, "nothing was reset: {report}");
    Ok(())
}
