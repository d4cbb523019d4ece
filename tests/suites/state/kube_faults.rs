//! An API server that does what one does seldom: orders arrive all the same, and it is not asked without end.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::kube::{Fault, Verb};
use tokio::time::{Instant, sleep};

use crate::bed::{Bed, draft};
use crate::kube_bed::{Kube, LATE, complains};

/// An order at the first replica reaches the second, however long that takes.
async fn arrives(bed: &Bed, region: &str) -> Result<()> {
    bed.order(0, &draft(region, "drain"), 200).await?;
    let begun = Instant::now();
    eventually(LATE, "an order", async || {
        let known = bed.knows(1, region).await?;
        ensure!(known.as_deref() == Some("drain"), "{known:?}");
        Ok(())
    })
    .await?;
    eprintln!("{region} after {:.1?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn streams_that_break_are_opened_again() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(2)?.start().await?;
    kube.watched(2).await?;
    for (turn, in_the_middle) in [true, false].into_iter().enumerate() {
        kube.server.drop_watches(in_the_middle);
        arrives(&bed, &format!("cut-{turn}")).await?;
        kube.watched(2).await?;
    }
    // Restored from an older copy: its versions are lower than those that are known.
    kube.server.begin_anew();
    arrives(&bed, "anew").await?;
    kube.watched(2).await?;
    kube.server.stop().await;
    kube.server.listen().await?;
    complains(&bed, 0, "").await?;
    arrives(&bed, "restarted").await
}

/// Watches that fail so, one after the other: lists bring orders all the same, some times a second at most.
async fn lists_do(faults: impl IntoIterator<Item = (&str, Fault)>) -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(2)?.start().await?;
    for (region, fault) in faults {
        kube.watched(2).await?;
        kube.server.fault(Some(Verb::Watch), fault);
        kube.server.drop_watches(false);
        let (lists, watches) = (
            kube.server.asked(Verb::List),
            kube.server.asked(Verb::Watch),
        );
        arrives(&bed, region).await?;
        // The matter of the test is how often it is asked in a time.
        sleep(Duration::from_secs(2)).await;
        let asked = (
            kube.server.asked(Verb::List) - lists,
            kube.server.asked(Verb::Watch) - watches,
        );
        eprintln!("{region}: {asked:?} lists and watches by two replicas");
        ensure!(asked.0 <= 30 && asked.1 <= 30, "{region}: {asked:?}");
        kube.server.heal();
    }
    kube.watched(2).await?;
    arrives(&bed, "well").await
}

#[tokio::test]
async fn a_watch_whose_version_is_gone_is_followed_by_a_list() -> Result<()> {
    lists_do([
        ("expired", Fault::Expired),
        ("gone", Fault::Status(410, None)),
    ])
    .await
}

#[tokio::test]
async fn watches_that_fail_at_once_are_not_opened_without_end() -> Result<()> {
    lists_do([("at-once", Fault::EndAtOnce), ("garbage", Fault::Garbage)]).await
}

#[tokio::test]
async fn an_api_server_that_is_busy_is_left_alone_for_a_while() -> Result<()> {
    lists_do([
        ("busy", Fault::Status(429, Some(1))),
        ("broken", Fault::Status(500, None)),
    ])
    .await
}

#[tokio::test]
async fn a_list_that_is_cut_or_no_json_is_a_fault_that_passes() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(1)?.start().await?;
    for (text, fault) in [
        ("ConfigMap", Fault::Truncated),
        ("can't be read", Fault::Garbage),
    ] {
        kube.watched(1).await?;
        kube.server.fault(Some(Verb::List), fault);
        kube.server.drop_watches(true);
        complains(&bed, 0, text).await?;
        eventually(LATE, "more than one list", async || {
            ensure!(kube.server.asked(Verb::List) > 2);
            Ok(())
        })
        .await?;
        kube.server.heal();
        complains(&bed, 0, "").await?;
    }
    bed.order(0, &draft("r1", "drain"), 200).await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_that_hangs_is_noticed() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(2)?.start().await?;
    kube.silence(2).await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    complains(&bed, 1, "hangs").await?;
    eventually(LATE, "the order", async || {
        ensure!(bed.knows(1, "r1").await?.is_some());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bookmarks_and_ends_in_time_are_no_faults() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(1)?.start().await?;
    kube.watched(1).await?;
    let (lists, watches) = (
        kube.server.asked(Verb::List),
        kube.server.asked(Verb::Watch),
    );
    kube.server.bookmark();
    // The next watch goes on where the last one ended: without a list, though all before is forgotten.
    eventually(LATE, "another watch", async || {
        ensure!(kube.server.asked(Verb::Watch) > watches);
        Ok(())
    })
    .await?;
    kube.server.compact();
    kube.watched(1).await?;
    bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(
        kube.server.asked(Verb::List) == lists,
        "a list without need"
    );
    let age = bed.platform.globals[0]
        .metric("lb_state_age_seconds", &[])
        .await?;
    ensure!(age < 13.0, "{age}");
    complains(&bed, 0, "").await
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_lost() -> Result<()> {
    let kube = Kube::start().await?;
    let bed = kube.plan(2)?.start().await?;
    // Their rights are tried out before they watch.
    kube.watched(2).await?;
    kube.server.fault(Some(Verb::Update), Fault::Unanswered);
    let before = kube.server.asked(Verb::Update);
    let receipt = bed.order(0, &draft("r1", "drain"), 200).await?;
    ensure!(
        receipt["durable"] == true && kube.server.asked(Verb::Update) == before + 1,
        "{receipt}"
    );
    kube.keeps("region.r1", "drain").await?;
    kube.server
        .fault(Some(Verb::Update), Fault::Status(503, Some(1)));
    let refused = bed.order(0, &draft("r2", "drain"), 503).await?;
    ensure!(
        refused["error"]
            .as_str()
            .unwrap_or_default()
            .contains("says 503"),
        "{refused}"
    );
    ensure!(bed.knows(0, "r2").await?.is_none(), "refused is refused");
    kube.server
        .fault(Some(Verb::Update), Fault::Slow(Duration::from_millis(700)));
    bed.order(0, &draft("r2", "drain"), 200).await?;
    bed.learns(1, "r2", "drain").await
}
