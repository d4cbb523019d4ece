//! One order, several replicas: some of them dead, cut off or asked by somebody else at the same time.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;

use crate::bed::{Bed, SOON, unharmed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_survives_the_replica_that_took_it() -> Result<()> {
    let mut bed = Bed::start("").await?;
    // Users of the replica that is killed see it die; the others must not notice.
    let others = bed.users_of(&[1, 2])?;
    bed.served_everywhere().await?;
    bed.order(0, "region drain r1 --over 0s --reason x --wait none")
        .await?;
    bed.platform.globals[0].kill();
    for at in [1, 2] {
        bed.reaches(at, "region/r1", "drained").await?;
    }
    bed.quiet(0).await?;
    bed.platform.globals[0].restart().await?;
    bed.platform.globals[0].wait_ready().await?;
    let stage = bed.stage(0, "region/r1").await?;
    ensure!(stage.0 == "drained", "known before it listened: {stage:?}");
    // It obeys from its first request on.
    let before = bed.requests(0).await?;
    let own = bed.users_of(&[0])?;
    for users in &own {
        users.settle(40).await;
    }
    let after = bed.requests(0).await?;
    ensure!(after == before, "{} new requests", after - before);
    bed.all_unharmed(others.into_iter().chain(own)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_restarts_in_the_ramp_goes_on_where_the_others_are() -> Result<()> {
    let mut bed = Bed::start("").await?;
    let others = bed.users_of(&[1, 2])?;
    bed.served_everywhere().await?;
    bed.order(1, "region drain r1 --over 20s --reason x")
        .await?;
    eventually(SOON, "a ramp under way", async || {
        let (_, share) = bed.stage(1, "region/r1").await?;
        ensure!(share < 0.85, "{share}");
        Ok(())
    })
    .await?;
    bed.platform.globals[0].kill();
    bed.platform.globals[0].restart().await?;
    bed.platform.globals[0].wait_ready().await?;
    let (restarted, other) = (
        bed.stage(0, "region/r1").await?,
        bed.stage(1, "region/r1").await?,
    );
    ensure!(
        (restarted.1 - other.1).abs() < 0.15,
        "{restarted:?} {other:?}"
    );
    let own = bed.users_of(&[0])?;
    for at in 0..3 {
        eventually(SOON * 3, "the end of the ramp", async || {
            let (stage, share) = bed.stage(at, "region/r1").await?;
            ensure!(stage == "drained", "{stage} {share}");
            Ok(())
        })
        .await?;
    }
    bed.quiet(0).await?;
    bed.all_unharmed(others.into_iter().chain(own)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_cut_off_obeys_once_it_is_back() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let lonely = |cut: bool| {
        for (from, row) in bed.relays.iter().enumerate() {
            for (to, relay) in row.iter().enumerate() {
                if (from == 2) != (to == 2) {
                    if cut { relay.cut() } else { relay.heal() }
                }
            }
        }
    };
    lonely(true);
    let told = bed.lbctl(
        0,
        "region drain r1 --over 0s --reason x --wait all --timeout-wait 3s",
    );
    let told = told.await?;
    ensure!(
        told.code == 0 || told.code == 5,
        "{}: {}",
        told.code,
        told.text
    );
    bed.reaches(1, "region/r1", "drained").await?;
    let alone = bed.stage(2, "region/r1").await?;
    ensure!(
        alone.0 == "active",
        "the control: it can't know yet: {alone:?}"
    );
    lonely(false);
    bed.reaches(2, "region/r1", "drained").await?;
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_drains_that_together_take_the_last_region_the_later_is_suspended() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    bed.order(0, "region drain r3 --over 0s --reason first")
        .await?;
    // At one time, at replicas that can't hear of each other: both pass the check.
    for relay in bed.relays.iter().flatten() {
        relay.cut();
    }
    let one = bed.lbctl(0, "region drain r1 --over 0s --reason one --wait none");
    let two = bed.lbctl(1, "region drain r2 --over 0s --reason two --wait none");
    let (one, two) = tokio::join!(one, two);
    let (one, two) = (one?, two?);
    ensure!(one.code == 0 && two.code == 0, "{} {}", one.text, two.text);
    for relay in bed.relays.iter().flatten() {
        relay.heal();
    }
    eventually(
        Duration::from_secs(20),
        "one of both, the same everywhere",
        async || {
            let mut seen = Vec::new();
            for at in 0..3 {
                let (one, two) = (
                    bed.stage(at, "region/r1").await?,
                    bed.stage(at, "region/r2").await?,
                );
                seen.push((one.0, two.0));
            }
            let is_same = seen.iter().all(|pair| pair == &seen[0]);
            let mut pair = [seen[0].0.as_str(), seen[0].1.as_str()];
            pair.sort_unstable();
            ensure!(is_same && pair == ["drained", "suspended"], "{seen:?}");
            Ok(())
        },
    )
    .await?;
    unharmed(users).await
}
