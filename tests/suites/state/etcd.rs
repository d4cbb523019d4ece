//! Orders in an etcd: one after the other, and in force when it is away.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use strata_tests::{eventually, ports};
use tokio::time::Instant;

use crate::bed::{DAY, SOON, draft, tombstone};
use crate::etcd_bed::Etcd;

#[tokio::test]
async fn an_order_is_at_all_replicas_within_a_second_by_the_watch_alone() -> Result<()> {
    let etcd = Etcd::start().await?;
    let bed = etcd.plan(3).start().await?;
    let begun = Instant::now();
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(receipt["durable"] == true, "{receipt}");
    for at in 0..3 {
        bed.learns(at, "r1", "drain").await?;
    }
    eprintln!("known everywhere after {:?}", begun.elapsed());
    ensure!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let status = bed.status(1).await?;
    ensure!(
        status["store"] == "etcd" && status["faults"] == json!([]),
        "{status}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_orders_at_one_moment_one_is_taken_wherever_they_come_in() -> Result<()> {
    let etcd = Etcd::start().await?;
    let bed = etcd.plan(3).start().await?;
    for round in 0..10 {
        let region = format!("new-{round}");
        let tries = (0..3).map(|at| {
            let (admin, region) = (bed.platform.globals[at].admin(), region.clone());
            tokio::spawn(async move {
                let mut order = draft(&region, "drain");
                order["if_version"] = json!(0);
                order["actor"] = json!(format!("person {at}"));
                let token = crate::bed::TOKEN;
                let answer = crate::bed::post(admin, "/api/v1/orders", token, &order).await?;
                anyhow::Ok(answer.status)
            })
        });
        let mut statuses = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            statuses.push(one.await??);
        }
        statuses.sort_unstable();
        ensure!(statuses == [200, 412, 412], "{statuses:?}");
    }
    Ok(())
}

#[tokio::test]
async fn while_the_store_is_away_what_is_known_holds_and_orders_are_refused() -> Result<()> {
    let mut etcd = Etcd::start().await?;
    let mut bed = etcd.plan(2).start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(1, "r1", "drain").await?;
    etcd.stop();
    let refused = bed.order(1, &draft("r2", "drain"), 503).await?;
    let error = refused["error"].as_str().unwrap_or_default();
    ensure!(error.contains("no member of etcd answers"), "{refused}");
    // A start with the store away: the file remembers.
    bed.replica(1).restart().await?;
    ensure!(
        bed.knows(1, "r1").await?.as_deref() == Some("drain"),
        "from its file"
    );
    ensure!(bed.knows(1, "r2").await?.is_none(), "refused is refused");
    eventually(SOON, "an age that grows", async || {
        for global in &bed.platform.globals {
            let age = global.metric("lb_state_age_seconds", &[]).await?;
            ensure!(age > 4.0, "{age}");
        }
        Ok(())
    })
    .await?;
    ensure!(bed.platform.globals[0].admin_get("/readyz").await?.status == 200);
    etcd.launch().await?;
    eventually(SOON, "the store", async || {
        for at in 0..2 {
            let status = bed.status(at).await?;
            ensure!(status["faults"] == json!([]), "{status}");
        }
        Ok(())
    })
    .await?;
    bed.order(1, &draft("r2", "drain"), 200).await?;
    bed.learns(0, "r2", "drain").await
}

#[tokio::test]
async fn after_a_compaction_everything_is_read_again() -> Result<()> {
    let etcd = Etcd::start().await?;
    // The first is cut off by its own relay, the second goes straight.
    let bed = etcd.plan(1).start().await?;
    let other = etcd
        .plan_with(1, &format!("endpoints: [\"{}\"]", etcd.address))
        .start()
        .await?;
    other.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(0, "r1", "drain").await?;
    etcd.relay.cut();
    for _ in 0..5 {
        other.order(0, &draft("r1", "undrain"), 200).await?;
        other.order(0, &draft("r1", "dial"), 200).await?;
    }
    other.order(0, &draft("r2", "drain"), 200).await?;
    etcd.compact().await?;
    ensure!(
        bed.knows(0, "r1").await?.as_deref() == Some("drain"),
        "the relay is cut"
    );
    etcd.relay.heal();
    bed.learns(0, "r1", "dial").await?;
    bed.learns(0, "r2", "drain").await?;
    // And the watch works again.
    let begun = Instant::now();
    other.order(0, &draft("r1", "undrain"), 200).await?;
    bed.learns(0, "r1", "undrain").await?;
    ensure!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn another_member_is_asked_when_one_does_not_answer() -> Result<()> {
    let etcd = Etcd::start().await?;
    let (dead, relay) = (ports::free()?, etcd.relay.address());
    let endpoints = format!("endpoints: [\"{dead}\", \"{relay}\", \"{}\"]", etcd.address);
    let bed = etcd.plan_with(1, &endpoints).start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    etcd.relay.cut();
    bed.order(0, &draft("r2", "drain"), 200).await?;
    eventually(SOON, "no fault", async || {
        let status = bed.status(0).await?;
        ensure!(status["faults"] == json!([]), "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_store_that_lost_its_data_gets_it_back() -> Result<()> {
    let mut etcd = Etcd::start().await?;
    let bed = etcd.plan(1).start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    etcd.stop();
    etcd = {
        let (address, relay) = (etcd.address, etcd.relay);
        let mut fresh = Etcd::new("http", Vec::new())?;
        (fresh.address, fresh.relay) = (address, relay);
        fresh
    };
    etcd.launch().await?;
    eventually(SOON, "the order in the store", async || {
        let key = json!({ "key": "L3N0cmF0YS8=", "range_end": "L3N0cmF0YTA=" });
        let range = etcd.call("/v3/kv/range", &key).await?;
        ensure!(range["count"] == "1", "{range}");
        Ok(())
    })
    .await?;
    ensure!(bed.knows(0, "r1").await?.as_deref() == Some("drain"));
    Ok(())
}

#[tokio::test]
async fn an_order_that_ended_long_ago_does_not_block_its_region() -> Result<()> {
    let etcd = Etcd::start().await?;
    let bed = etcd.plan(1).start().await?;
    for region in ["r1", "r2"] {
        etcd.put(region, &tombstone(region, DAY)?).await?;
    }
    etcd.put("r3", &tombstone("r3", DAY / 2)?).await?;
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(receipt["record"]["version"] == 1, "{receipt}");
    eventually(SOON, "a key that is taken out", async || {
        ensure!(!etcd.has("r2").await?);
        Ok(())
    })
    .await?;
    ensure!(etcd.has("r1").await? && etcd.has("r3").await?, "no other");
    bed.learns(0, "r3", "undrain").await
}
