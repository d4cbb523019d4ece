//! What is refused, what it takes to do it all the same, and how orders end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_tests::eventually;

use crate::bed::{Bed, SOON, unharmed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_others_have_no_room_for_is_refused_with_figures() -> Result<()> {
    // 200 requests a second over three regions of 80.
    let bed = Bed::start("capacity_rps: 80\n").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let refused: Value = eventually(SOON, "a refusal", async || {
        let told = bed
            .lbctl(0, "region drain r1 --over 0s --dry-run --reason x -o json")
            .await?;
        ensure!(told.code == 4, "{}: {}", told.code, told.text);
        let from = told.text.find('{').context("no JSON")?;
        let mut values = serde_json::Deserializer::from_str(&told.text[from..]).into_iter();
        Ok(values.next().context("no JSON")??)
    })
    .await?;
    let receivers = refused["forecast"]["receivers"]
        .as_array()
        .context("none")?;
    ensure!(receivers.len() == 2, "{refused}");
    for receiver in receivers {
        let after = receiver["after"].as_f64().context("no figure")?;
        // A third of 200 and half of another third, of 80.
        ensure!((1.0..1.6).contains(&after), "{refused}");
    }
    let told = bed.lbctl(0, "region drain r1 --over 0s --reason x").await?;
    ensure!(told.code == 4, "{}", told.text);
    ensure!(told.text.contains("over_capacity"), "{}", told.text);
    ensure!(
        bed.stage(0, "region/r1").await?.0 == "active",
        "nothing was changed"
    );
    let little = "region drain r1 --percent 5 --over 0s --reason x";
    bed.order(0, little).await?;
    let forced = "region drain r1 --over 0s --reason x --override over_capacity";
    bed.order(0, forced).await?;
    bed.reaches(1, "region/r1", "drained").await?;
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_changes_nothing_and_nonsense_is_named() -> Result<()> {
    let bed = Bed::start("").await?;
    let dry = bed.order(0, "region drain r1 --dry-run").await?;
    ensure!(
        dry.text.contains("r2") && dry.text.contains("r3"),
        "{}",
        dry.text
    );
    ensure!(bed.stage(0, "region/r1").await?.0 == "active");
    for (line, code, part) in [
        ("region drain r9 --reason x", 1, "r1, r2, r3"),
        ("region drain r1 --reason x --expires 100h", 2, "72h"),
        ("region dial r1 140% --reason x", 2, "100"),
        ("region drain r1", 2, "reason"),
        (
            "server drain web/a --over 1m --reason x",
            2,
            "--over is for",
        ),
        (
            "server drain web/a --percent 5% --reason x",
            2,
            "--percent is",
        ),
        ("server undrain web/a --over 1m", 2, "--over is for regions"),
    ] {
        let told = bed.lbctl(0, line).await?;
        ensure!(told.code == code, "{line}: {}: {}", told.code, told.text);
        ensure!(told.text.contains(part), "{line}: {}", told.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_an_older_version_is_refused() -> Result<()> {
    let bed = Bed::start("").await?;
    bed.order(0, "region drain r1 --over 0s --reason first --if-version 0")
        .await?;
    let late = "region dial r1 50% --reason second --if-version 0";
    let told = bed.lbctl(1, late).await?;
    ensure!(
        told.code == 4 && told.text.contains("version 1"),
        "{}",
        told.text
    );
    // The same again is no news.
    let again = bed
        .order(1, "region drain r1 --over 0s --reason first --if-version 0")
        .await?;
    ensure!(again.text.contains("version 1"), "{}", again.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_drain_returns_no_traffic_to_a_sick_region() -> Result<()> {
    let mut bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    bed.order(0, "region drain r1 --over 0s --reason short --expires 5s")
        .await?;
    bed.reaches(1, "region/r1", "drained").await?;
    for replica in &mut bed.platform.regions[0].replicas {
        replica.kill();
    }
    for at in 0..3 {
        bed.reaches(at, "region/r1", "expired_unhealthy").await?;
    }
    for replica in &mut bed.platform.regions[0].replicas {
        replica.restart().await?;
        replica.wait_ready().await?;
    }
    eventually(Duration::from_secs(60), "its slow return", async || {
        let (stage, share) = bed.stage(1, "region/r1").await?;
        let is_back = stage == "undraining" && share > 0.1;
        ensure!(is_back, "{stage} {share}");
        Ok(())
    })
    .await?;
    unharmed(users).await
}
