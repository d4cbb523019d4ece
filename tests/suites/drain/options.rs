//! What each option of an order does, with users at work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_tests::server::Server;
use strata_tests::{eventually, ports};
use tokio::time::sleep;

use crate::bed::{Bed, SOON, unharmed};

/// An order as a replica shows it.
async fn order(bed: &Bed, at: usize, scope: &str) -> Result<Value> {
    let answer = bed.platform.globals[at].admin_get("/api/v1/drains").await?;
    let all = answer.json()?;
    let mut all = all.as_array().context("no list")?.iter();
    let found = all.find(|order| order["scope"] == scope);
    found.cloned().with_context(|| format!("no {scope}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_until_drained_and_keeps_ticket_and_no_end() -> Result<()> {
    let bed = Bed::start("").await?;
    let loads = bed.users_of(&[0, 1, 2])?;
    bed.served_everywhere().await?;
    for server in &bed.platform.regions[0].pools[0].1 {
        server.script(|b| b.head_delay = Duration::from_millis(1500));
    }
    sleep(Duration::from_secs(1)).await;
    let line = "region drain r1 --over 1s --reason x --ticket OPS-7 --expires never --wait-drained";
    bed.order(1, line).await?;
    for at in 0..3 {
        // At once: that is what was waited for.
        let shown = order(&bed, at, "region/r1").await?;
        ensure!(
            shown["stage"] == "drained" && shown["in_flight"] == 0,
            "{shown}"
        );
        let record = &shown["record"];
        ensure!(
            record["ticket"] == "OPS-7" && record["expires_ms"].is_null(),
            "{record}"
        );
    }
    bed.quiet(0).await?;
    for server in &bed.platform.regions[0].pools[0].1 {
        server.behave();
    }
    bed.order(2, "region offline r2 --yes --reason y --wait-done")
        .await?;
    bed.quiet(1).await?;
    for region in ["r1", "r2"] {
        let line = format!("region undrain {region} --over 2s --wait-done");
        bed.order(0, &line).await?;
    }
    bed.served_everywhere().await?;
    bed.all_unharmed(loads.into_iter()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_leaves_and_the_rest_stays() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let ratio = async || {
        let before = (bed.requests(0).await?, bed.requests(1).await?);
        sleep(Duration::from_secs(4)).await;
        let part = bed.requests(0).await? - before.0;
        let whole = bed.requests(1).await? - before.1;
        anyhow::Ok(part as f64 / whole as f64)
    };
    let control = ratio().await?;
    ensure!((0.6..1.6).contains(&control), "the control: {control}");
    bed.order(
        0,
        "region drain r1 --percent 60% --over 0s --reason x --wait-done",
    )
    .await?;
    let shown = order(&bed, 2, "region/r1").await?;
    ensure!(
        shown["share"] == 0.4 && shown["stage"] == "dialed",
        "{shown}"
    );
    // 0.4 of a third against a third and half of what left: 0.31.
    let part = ratio().await?;
    ensure!((0.17..0.47).contains(&part), "{part}");
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn force_breaks_all_rules_and_nobody_is_left_without_an_answer() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    for region in ["r1", "r2"] {
        let line = format!("region drain {region} --over 0s --reason x --wait all");
        bed.order(0, &line).await?;
    }
    let line = "region drain r3 --over 0s --reason x";
    let told = bed.lbctl(1, line).await?;
    ensure!(
        told.code == 4 && told.text.contains("last_region"),
        "{}: {}",
        told.code,
        told.text
    );
    bed.order(1, &format!("{line} --force")).await?;
    for at in 0..3 {
        bed.reaches(at, "region/r3", "drained").await?;
    }
    let shown = order(&bed, 0, "region/r3").await?;
    let broken = shown["record"]["overrides"].as_array().map(Vec::len);
    ensure!(broken == Some(4), "{shown}");
    users.settle(users.sent() + 200).await;
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_has_not_reported_lately_is_refused_unless_overridden() -> Result<()> {
    let mut bed = Bed::start("").await?;
    let line = "region drain r1 --over 0s --reason x";
    bed.order(0, &format!("{line} --dry-run")).await?;
    // It serves and is ready, but who asks for its report gets something else.
    let (hidden, replica) = (ports::free()?, &mut bed.platform.regions[1].replicas[0]);
    let known = replica.admin();
    replica.rewrite(|text| text.replace(&known.to_string(), &hidden.to_string()))?;
    replica.kill();
    let impostor = Server::builder("impostor").address(known).start().await?;
    replica.restart().await?;
    eventually(SOON * 2, "a refusal", async || {
        let told = bed.lbctl(0, &format!("{line} --dry-run")).await?;
        let is_so = told.code == 4 && told.text.contains("stale_reports");
        ensure!(is_so, "{}: {}", told.code, told.text);
        Ok(())
    })
    .await?;
    let users = bed.users()?;
    bed.order(0, &format!("{line} --override stale_reports"))
        .await?;
    bed.reaches(1, "region/r1", "drained").await?;
    users.settle(300).await;
    drop(impostor);
    unharmed(users).await
}
