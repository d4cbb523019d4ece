//! Orders in a ConfigMap of Kubernetes: one after the other, and in force when the API server is away.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use strata_tests::eventually;
use strata_tests::kube::{Fault, Verb};
use tokio::time::{Instant, sleep};

use crate::bed::{DAY, SOON, TOKEN, draft, post, tombstone};
use crate::kube_bed::{Kube, LATE, MAPS, NAME, NAMESPACE, complains, role};

#[tokio::test]
async fn an_order_is_at_all_replicas_within_a_second_by_the_watch_alone() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(3)?.start().await?;
    kube.watched(3).await?;
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
        status["store"] == "kubernetes" && status["faults"] == json!([]),
        "{status}"
    );
    // Not by anything else: with watches that say nothing it stays where it was given.
    kube.silence(3).await?;
    bed.order(0, &draft("r2", "drain"), 200).await?;
    sleep(Duration::from_secs(1)).await;
    ensure!(bed.knows(1, "r2").await?.is_none(), "by what?");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_orders_at_one_moment_one_is_taken_wherever_they_come_in() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(3)?.start().await?;
    for round in 0..10 {
        // For one region in even rounds, for three in odd ones.
        let is_one = round % 2 == 0;
        let tries = (0..3).map(|at| {
            let admin = bed.platform.globals[at].admin();
            let region = if is_one {
                format!("new-{round}")
            } else {
                format!("new-{round}-{at}")
            };
            tokio::spawn(async move {
                let mut order = draft(&region, "drain");
                order["if_version"] = json!(0);
                order["actor"] = json!(format!("person {at}"));
                let answer = post(admin, "/api/v1/orders", TOKEN, &order).await?;
                anyhow::Ok(answer.status)
            })
        });
        let mut statuses = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            statuses.push(one.await??);
        }
        statuses.sort_unstable();
        let expected = if is_one {
            [200, 412, 412]
        } else {
            [200, 200, 200]
        };
        ensure!(statuses == expected, "{statuses:?}");
    }
    eprintln!(
        "{} writes, {} of them refused",
        kube.server.asked(Verb::Update),
        kube.server.answered(409)
    );
    Ok(())
}

#[tokio::test]
async fn while_the_api_server_is_away_what_is_known_holds_and_orders_are_refused() -> Result<()> {
    let kube = Kube::start().await?;
    let mut bed = kube.plan(2)?.start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(1, "r1", "drain").await?;
    kube.server.stop().await;
    let refused = bed.order(1, &draft("r2", "drain"), 503).await?;
    let error = refused["error"].as_str().unwrap_or_default();
    ensure!(
        error.contains("ConfigMap strata-orders-global") && error.contains("onnect"),
        "{refused}"
    );
    complains(&bed, 0, "onnect").await?;
    // A start while it is away: the file remembers.
    bed.replica(1).restart().await?;
    ensure!(
        bed.knows(1, "r1").await?.as_deref() == Some("drain"),
        "from its file"
    );
    ensure!(bed.knows(1, "r2").await?.is_none(), "refused is refused");
    eventually(SOON, "an age that grows", async || {
        for global in &bed.platform.globals {
            let age = global.metric("lb_state_age_seconds", &[]).await?;
            ensure!(age > 3.0, "{age}");
        }
        Ok(())
    })
    .await?;
    ensure!(bed.platform.globals[0].admin_get("/readyz").await?.status == 200);
    kube.server.listen().await?;
    complains(&bed, 0, "").await?;
    complains(&bed, 1, "").await?;
    bed.order(1, &draft("r2", "drain"), 200).await?;
    bed.learns(0, "r2", "drain").await
}

#[tokio::test]
async fn an_api_server_that_hangs_holds_up_no_start() -> Result<()> {
    let kube = Kube::start().await?;
    let mut bed = kube.plan(1)?.start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    kube.server.fault(None, Fault::Hang);
    let begun = Instant::now();
    bed.replica(0).restart().await?;
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    ensure!(
        bed.knows(0, "r1").await?.as_deref() == Some("drain"),
        "from its file"
    );
    let refused = bed.order(0, &draft("r2", "drain"), 503).await?;
    ensure!(
        refused["error"]
            .as_str()
            .unwrap_or_default()
            .contains("no answer within"),
        "{refused}"
    );
    complains(&bed, 0, "no answer within").await
}

#[tokio::test]
async fn what_is_deleted_by_hand_comes_back() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(2)?.start().await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(1, "r1", "drain").await?;
    kube.set(json!({}))?;
    kube.keeps("region.r1", "drain").await?;
    // All of it: made anew only by who may.
    kube.server.remove(&MAPS, NAMESPACE, NAME);
    complains(&bed, 0, "kubectl create configmap").await?;
    let refused = bed.order(0, &draft("r2", "drain"), 503).await?;
    ensure!(
        refused["error"]
            .as_str()
            .unwrap_or_default()
            .contains("cannot create"),
        "{refused}"
    );
    kube.set(json!({}))?;
    kube.keeps("region.r1", "drain").await?;
    complains(&bed, 0, "").await?;
    let mut maker = role(&[Verb::Get, Verb::List, Verb::Watch, Verb::Update]);
    let mut create = maker.rules[0].clone();
    (create.verbs, create.names) = (vec![Verb::Create], Vec::new());
    maker.rules.push(create);
    kube.server.allow("first", maker);
    kube.server.remove(&MAPS, NAMESPACE, NAME);
    kube.keeps("region.r1", "drain").await?;
    bed.order(1, &draft("r2", "drain"), 200).await?;
    bed.learns(0, "r2", "drain").await
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_harms_no_other() -> Result<()> {
    let kube = Kube::start().await?;
    kube.set(json!({ "region.r1": "{", "note": "hands off" }))?;
    let bed = kube.plan(2)?.start().await?;
    bed.order(0, &draft("r2", "drain"), 200).await?;
    bed.learns(1, "r2", "drain").await?;
    for at in 0..2 {
        complains(&bed, at, "entry region.r1 is no order").await?;
        complains(&bed, at, "entry note is no order").await?;
    }
    let refused = bed.order(0, &draft("r1", "drain"), 503).await?;
    ensure!(
        refused["error"]
            .as_str()
            .unwrap_or_default()
            .contains("not written over"),
        "{refused}"
    );
    ensure!(kube.map()["data"]["region.r1"] == "{", "{}", kube.map());
    // Taken out by hand, the order goes through.
    let mut entries = kube.map()["data"].clone();
    let _ = entries
        .as_object_mut()
        .map(|all| (all.remove("region.r1"), all.remove("note")));
    kube.set(entries)?;
    complains(&bed, 0, "").await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    bed.learns(1, "r1", "drain").await
}

#[tokio::test]
async fn an_order_that_ended_long_ago_does_not_block_its_region() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(1)?.start().await?;
    // Nothing is heard of the entries: the write meets them first.
    kube.silence(1).await?;
    kube.set(json!({
        "region.r1": tombstone("r1", DAY)?,
        "region.r2": tombstone("r2", DAY)?,
        "region.r3": tombstone("r3", DAY / 2)?,
    }))?;
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(receipt["record"]["version"] == 1, "{receipt}");
    kube.server.heal();
    kube.server.drop_watches(true);
    eventually(LATE, "an entry that is taken out", async || {
        let map = kube.map();
        ensure!(map["data"]["region.r2"].is_null(), "{map}");
        Ok(())
    })
    .await?;
    let map = kube.map();
    for region in ["region.r1", "region.r3"] {
        ensure!(!map["data"][region].is_null(), "no other: {map}");
    }
    bed.learns(0, "r3", "undrain").await
}
