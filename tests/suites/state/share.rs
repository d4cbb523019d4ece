//! One order at any replica reaches all, whatever happens to some of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use tokio::time::Instant;

use crate::bed::{Bed, SOON, draft};

#[tokio::test]
async fn an_order_is_at_all_replicas_within_a_second() -> Result<()> {
    let bed = Bed::start().await?;
    bed.acquainted().await?;
    let begun = Instant::now();
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    let told = begun.elapsed();
    ensure!(
        receipt["durable"] == true && receipt["changed"] == true,
        "{receipt}"
    );
    for peer in receipt["peers"].as_array().into_iter().flatten() {
        ensure!(
            peer["applied"] == true && peer["durable"] == true,
            "{receipt}"
        );
    }
    ensure!(
        receipt["peers"].as_array().map(Vec::len) == Some(2),
        "{receipt}"
    );
    for at in 0..3 {
        let known = bed.knows(at, "r1").await?;
        ensure!(known.as_deref() == Some("drain"), "{at}: {known:?}");
    }
    eprintln!(
        "answered after {told:?}, known everywhere after {:?}",
        begun.elapsed()
    );
    ensure!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let again = bed.order(1, &draft("r1", "drain"), 200).await?;
    ensure!(
        again["changed"] == false && again["record"]["version"] == 1,
        "{again}"
    );
    bed.acquainted().await
}

#[tokio::test]
async fn an_order_outlives_the_replica_that_took_it() -> Result<()> {
    let mut bed = Bed::start().await?;
    bed.acquainted().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.replica(0).kill();
    for at in 1..3 {
        ensure!(
            bed.knows(at, "r1").await?.as_deref() == Some("drain"),
            "{at}"
        );
    }
    // It starts with its file alone: the others can't be reached, and are waited for in vain.
    for relay in bed.each_way(0) {
        relay.cut();
    }
    bed.replica(0).restart().await?;
    ensure!(
        bed.knows(0, "r1").await?.as_deref() == Some("drain"),
        "from its file"
    );
    Ok(())
}

#[tokio::test]
async fn a_replica_that_lost_its_file_starts_with_what_its_peers_know() -> Result<()> {
    let mut bed = Bed::start().await?;
    bed.acquainted().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.replica(2).kill();
    std::fs::remove_dir_all(bed.dir.path().join("g3"))?;
    bed.replica(2).restart().await?;
    ensure!(
        bed.knows(2, "r1").await?.as_deref() == Some("drain"),
        "before it is ready"
    );
    Ok(())
}

#[tokio::test]
async fn replicas_that_were_cut_off_from_each_other_come_to_the_same() -> Result<()> {
    let bed = Bed::start().await?;
    bed.acquainted().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    for relay in bed.each_way(2) {
        relay.cut();
    }
    let receipt = bed.order(0, &draft("r1", "undrain"), 200).await?;
    let missing: Vec<_> = receipt["peers"].as_array().into_iter().flatten().collect();
    let missing = missing.iter().filter(|peer| peer["applied"] == false);
    let missing: Vec<_> = missing.map(|peer| peer["replica"].as_str()).collect();
    ensure!(missing == [Some("g3")], "{receipt}");
    // Both sides take orders; of those for one region, the later holds.
    bed.order(2, &draft("r2", "drain"), 200).await?;
    ensure!(bed.knows(0, "r2").await?.is_none(), "the relay is cut");
    ensure!(
        bed.knows(2, "r1").await?.as_deref() == Some("drain"),
        "the relay is cut"
    );
    eventually(SOON, "the age of what is known", async || {
        let age = bed.platform.globals[2]
            .metric("lb_state_age_seconds", &[])
            .await?;
        ensure!(age > 3.0, "{age}");
        let status = bed.status(2).await?;
        ensure!(
            status["faults"].to_string().contains("no answer within"),
            "{status}"
        );
        Ok(())
    })
    .await?;
    for relay in bed.each_way(2) {
        relay.heal();
    }
    let begun = Instant::now();
    for at in 0..3 {
        bed.learns(at, "r1", "undrain").await?;
        bed.learns(at, "r2", "drain").await?;
    }
    eprintln!("the same {:?} after the partition", begun.elapsed());
    bed.acquainted().await
}
