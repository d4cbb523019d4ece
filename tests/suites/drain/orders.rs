//! What each order does to the requests.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::http::Dial;
use tokio::time::sleep;

use crate::bed::{Bed, SOON, TARGET, unharmed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_region_gets_nothing_new_within_a_second_and_nothing_fails() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    // Under way when the order comes; it ends by itself.
    let server = &bed.platform.regions[0].pools[0].1[0];
    server.script(|b| b.head_delay = Duration::from_millis(1500));
    let said = bed
        .order(1, "region drain r1 --over 0s --reason kernel")
        .await?;
    ensure!(said.text.contains("3/3"), "{}", said.text);
    sleep(TARGET).await;
    let before = bed.requests(0).await?;
    sleep(Duration::from_secs(2)).await;
    let after = bed.requests(0).await?;
    ensure!(after == before, "{} new requests", after - before);
    for at in 0..3 {
        bed.reaches(at, "region/r1", "drained").await?;
    }
    let status = bed.lbctl(2, "status").await?;
    ensure!(status.text.contains("kernel"), "{}", status.text);
    server.behave();
    bed.order(0, "region undrain r1 --over 2s").await?;
    bed.served_everywhere().await?;
    eventually(SOON, "no order left", async || {
        let stage = bed.stage(1, "region/r1").await?;
        ensure!(stage.0 == "active", "{stage:?}");
        Ok(())
    })
    .await?;
    unharmed(users).await
}

/// The control: a region that is killed in place of drained costs requests. All of them are POSTs, as a GET would be
/// repeated in another region, and nobody would notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_drain_what_is_under_way_fails() -> Result<()> {
    let mut bed = Bed::start("").await?;
    let users = bed.users_who_post(1.0)?;
    bed.served_everywhere().await?;
    for server in &bed.platform.regions[0].pools[0].1 {
        server.script(|b| b.head_delay = Duration::from_millis(1500));
    }
    eventually(SOON, "requests under way in r1", async || {
        let mut under_way = 0;
        for replica in &bed.platform.regions[0].replicas {
            under_way += replica.status().await?["inflight"].as_u64().unwrap_or(0);
        }
        ensure!(under_way > 1, "{under_way}");
        Ok(())
    })
    .await?;
    bed.platform.regions[0].kill_replicas();
    sleep(Duration::from_secs(2)).await;
    let report = users.stop().await;
    ensure!(report.failed > 0, "the control: {report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ramp_moves_users_bit_by_bit_and_a_dial_keeps_a_part() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    bed.order(0, "region drain r1 --over 8s --reason ramp")
        .await?;
    let mut shares = Vec::new();
    eventually(SOON, "the end of the ramp", async || {
        let (stage, share) = bed.stage(2, "region/r1").await?;
        shares.push(share);
        ensure!(stage == "drained", "{stage} {share}");
        Ok(())
    })
    .await?;
    ensure!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
    let between = shares.iter().filter(|s| (0.1..0.9).contains(*s)).count();
    ensure!(between >= 3, "no jump: {shares:?}");
    bed.order(1, "region dial r1 40% --over 0s --reason dial")
        .await?;
    bed.reaches(2, "region/r1", "dialed").await?;
    let before = (bed.requests(0).await?, bed.requests(1).await?);
    sleep(Duration::from_secs(3)).await;
    let part = (bed.requests(0).await? - before.0) as f64;
    let whole = (bed.requests(1).await? - before.1) as f64;
    // It keeps 40 % of its own, the others take the rest: 0.4 to 1.3 of a third each.
    ensure!((0.15..0.5).contains(&(part / whole)), "{part} of {whole}");
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_is_never_used_and_drained_is_the_last_resort() -> Result<()> {
    let mut bed = Bed::start("").await?;
    bed.order(
        0,
        "region drain r1 --over 0s --reason a --override last_region",
    )
    .await?;
    bed.order(0, "region offline r2 --yes --reason b").await?;
    bed.reaches(1, "region/r2", "offline").await?;
    let global = bed.platform.globals[1].address();
    ensure!(Dial::http1(global).get("/").await?.status == 200);
    bed.platform.regions[2].kill_replicas();
    eventually(SOON, "the drained region", async || {
        let answer = Dial::http1(global).get("/").await?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    })
    .await?;
    let before = bed.requests(1).await?;
    bed.platform.regions[0].kill_replicas();
    for _ in 0..20 {
        let answer = Dial::http1(global).get("/").await?;
        ensure!(answer.status >= 500, "{}", answer.text());
    }
    ensure!(bed.requests(1).await? == before, "offline means offline");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_drained_and_comes_back_and_the_last_one_stays() -> Result<()> {
    let bed = Bed::start("").await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let replica = &bed.platform.regions[0].replicas[0];
    let servers = &bed.platform.regions[0].pools[0].1;
    let name = servers[0].name().to_owned();
    let line = format!("server drain web/{name} --reason disk");
    let said = bed.lbctl_at(replica.admin(), &line).await?;
    ensure!(said.code == 0, "{}", said.text);
    sleep(TARGET).await;
    let before = servers[0].ledger().seen().len();
    sleep(Duration::from_secs(2)).await;
    let after = servers[0].ledger().seen().len();
    ensure!(after == before, "{} new requests", after - before);
    let other = servers[1].name();
    let line = format!("server drain web/{other} --reason disk");
    let said = bed.lbctl_at(replica.admin(), &line).await?;
    ensure!(
        said.code == 4 && said.text.contains("last_server"),
        "{}",
        said.text
    );
    let line = format!("server undrain web/{name}");
    ensure!(bed.lbctl_at(replica.admin(), &line).await?.code == 0);
    eventually(SOON, "requests at the server", async || {
        let now = servers[0].ledger().seen().len();
        ensure!(now > after + 5, "{now}");
        Ok(())
    })
    .await?;
    unharmed(users).await
}
