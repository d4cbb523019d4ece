//! What a region refuses, the global tier takes to another region once, and to no other replica of the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::http::{self, Answer};
use strata_tests::topology::{Platform, Topology};

/// Two regions of two replicas, the first preferred, whose pools let one request in at a time.
async fn start(regions: usize) -> Result<Platform> {
    let plan = Topology::two_tier().regions(regions, 2, 1);
    let plan = plan.tune_regional(|file| {
        for pool in &mut file.pools {
            pool.extra = "circuit_breaker: { max_in_flight: 1, max_pending: 0 }".to_owned();
        }
    });
    let plan = plan.tune_global(|file| {
        for (index, region) in file.regions.iter_mut().enumerate() {
            region.priority = u32::try_from(index).unwrap_or(0) + 1;
        }
    });
    plan.start().await
}

/// Requests that each replica of a region took in.
async fn taken(platform: &Platform, region: usize) -> Result<Vec<u64>> {
    let mut taken = Vec::new();
    for replica in &platform.regions[region].replicas {
        let status = replica.status().await?;
        taken.push(status["requests_total"].as_u64().unwrap_or_default());
    }
    Ok(taken)
}

fn is_refused(answer: &Answer) -> Result<()> {
    ensure!(
        answer.status == 503
            && answer.text().contains("overloaded")
            && !answer.header("retry-after").is_empty(),
        "{answer:?}"
    );
    Ok(())
}

/// Holds the one place of each replica of the first region.
async fn fill(platform: &Platform) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    fill_region(platform, 0).await
}

async fn fill_region(platform: &Platform, at: usize) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    for server in platform.regions[at].servers() {
        server.script(|b| b.head_delay = Duration::from_secs(60));
    }
    let mut held = Vec::new();
    for replica in &platform.regions[at].replicas {
        let address = replica.address();
        held.push(tokio::spawn(async move {
            let _ = http::get(address, "/").await;
        }));
        strata_tests::eventually(Duration::from_secs(10), "a full replica", async || {
            let status = replica.status().await?;
            ensure!(status["pools"][0]["inflight"] == 1, "{status}");
            Ok(())
        })
        .await?;
    }
    Ok(held)
}

#[tokio::test]
async fn what_one_region_refuses_another_answers() -> Result<()> {
    let platform = start(2).await?;
    let held = fill(&platform).await?;
    // Until the first region is known to be well, the second is asked at once.
    strata_tests::eventually(Duration::from_secs(10), "a refusal", async || {
        let before = taken(&platform, 0).await?;
        // A POST: it was refused, so it may be sent again.
        let answer = http::post(platform.address()?, "/", "body").await?;
        ensure!(
            answer.status == 200 && answer.header("x-served-by").starts_with("r2"),
            "{answer:?}"
        );
        ensure!(answer.header("x-lb-overloaded").is_empty(), "{answer:?}");
        let after = taken(&platform, 0).await?;
        let asked: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
        ensure!(asked == 1, "{asked} replicas of the full region were asked");
        Ok(())
    })
    .await?;
    let moved = &["from=\"r1\"", "to=\"r2\""];
    ensure!(
        platform.globals[0]
            .metric("lb_failovers_total", moved)
            .await?
            >= 1.0
    );
    held.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test]
async fn alone_a_full_region_is_asked_once_and_nobody_is_blamed() -> Result<()> {
    let platform = start(1).await?;
    let held = fill(&platform).await?;
    let before = taken(&platform, 0).await?;
    for _ in 0..10 {
        let answer = http::get(platform.address()?, "/").await?;
        is_refused(&answer)?;
    }
    let after = taken(&platform, 0).await?;
    let asked: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
    ensure!(asked == 10, "{asked} tries for 10 requests");
    let status = platform.globals[0].status().await?;
    let replicas = status["regions"][0]["replicas"].as_array().cloned();
    for replica in replicas.unwrap_or_default() {
        ensure!(
            replica["state"] == "healthy" && replica["ejections_total"] == 0,
            "{replica}"
        );
    }
    held.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test]
async fn what_two_regions_refuse_is_not_taken_to_a_third() -> Result<()> {
    let mut platform = start(3).await?;
    let mut held = Vec::new();
    for at in [0, 1] {
        held.extend(fill_region(&platform, at).await?);
    }
    // Neither to one that is full, too, nor to one that is down.
    for is_down in [false, true] {
        if is_down {
            platform.region("r3")?.kill_replicas();
        } else {
            held.extend(fill_region(&platform, 2).await?);
        }
        for _ in 0..10 {
            let answer = http::get(platform.address()?, "/").await?;
            is_refused(&answer)?;
        }
    }
    let global = &platform.globals[0];
    let retries = global.metric("lb_retries_total", &["overloaded"]).await?;
    ensure!(retries <= 20.0, "{retries} further tries for 20 requests");
    held.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}
