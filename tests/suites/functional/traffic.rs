//! Continuous load with ledgers on both sides, undisturbed and with a server dying under it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use strata_tests::load::{Load, Mode};
use strata_tests::reconcile::reconcile;
use strata_tests::server::Server;
use strata_tests::subject::Subject;

async fn three() -> Result<[Server; 3]> {
    Ok([
        Server::start("s1").await?,
        Server::start("s2").await?,
        Server::start("s3").await?,
    ])
}

#[tokio::test]
async fn undisturbed_traffic_is_clean_and_spread() -> Result<()> {
    let servers = three().await?;
    let subject = Subject::start(super::KIND, &servers.each_ref().map(Server::address)).await?;
    let mut served = BTreeSet::new();
    for (mode, address) in [
        (Mode::KeepAlive, subject.http1),
        (Mode::NewConnection, subject.http1),
        (Mode::H2c(2), subject.h2c),
    ] {
        servers.iter().for_each(|server| server.ledger().clear());
        let load = Load::at(address).rate(200.0).mode(mode).posts(0.3, 3_000);
        let report = load
            .paths(["/", "/bytes/30000"])
            .run_for(Duration::from_secs(1))
            .await?;
        ensure!(report.success_ratio() == 1.0, "{mode:?}: {report}");
        served.extend(report.by_server().into_keys());
        let result = reconcile(&report, servers.iter().map(Server::ledger));
        ensure!(
            result.is_clean() && result.repeated.is_empty(),
            "{mode:?}: {result}"
        );
    }
    // Over all modes: choosing by latency may pass the slowest of three over for a while.
    ensure!(served.len() == 3, "only {served:?} were used");
    Ok(())
}

#[tokio::test]
async fn a_server_that_dies_costs_no_get_and_repeats_no_post() -> Result<()> {
    let servers = three().await?;
    let subject = Subject::start(super::KIND, &servers.each_ref().map(Server::address)).await?;
    let running = Load::at(subject.http1)
        .rate(200.0)
        .posts(0.2, 100)
        .start()?;
    running.settle(100).await;
    running.mark("crash");
    servers[0].crash().await;
    running.settle(200).await;
    running.mark("return");
    servers[0].reopen().await?;
    running.settle(100).await;
    let report = running.stop().await;
    ensure!(report.failed_of(&Method::GET) == 0, "{report}");
    let result = reconcile(&report, servers.iter().map(Server::ledger));
    ensure!(result.repeated_posts.is_empty(), "{result}");
    Ok(())
}
