//! Regional replicas die and freeze, behind two global ones.

use std::time::Duration;

use anyhow::Result;
use strata_tests::topology::Topology;

use crate::drill::{drill, mixed, takes_traffic_again};

fn plan(regions: usize, route: &'static str) -> Topology {
    let plan = Topology::two_tier().globals(2).regions(regions, 2, 3);
    plan.tune_global(move |file| file.route_extra = route.to_owned())
}

#[tokio::test]
async fn a_killed_replica_fails_no_get_and_returns() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = plan(3, "").start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(1), async |p| {
        p.replica("r1-a")?.kill();
        tokio::time::sleep(Duration::from_secs(3)).await;
        p.replica("r1-a")?.restart().await?;
        takes_traffic_again(p, "r1-a").await
    })
    .await?;
    done.no_get_fails()?;
    done.posts_failed_at_most(3)
}

#[tokio::test]
async fn without_retries_a_killed_replica_fails_gets() -> Result<()> {
    let _turn = strata_tests::turn().await;
    // With one region there is no try in another one either.
    let mut platform = plan(1, "retry: { retries: 0, budget_floor: 0, budget: 0% }")
        .start()
        .await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(3), async |p| {
        p.replica("r1-a")?.kill();
        Ok(())
    })
    .await?;
    done.gets_fail()
}

async fn freeze(route: &'static str, waits: Duration) -> Result<()> {
    let mut platform = plan(3, route).start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(6), async |p| {
        p.replica("r1-a")?.freeze().await
    })
    .await?;
    done.no_get_fails()?;
    done.share_is_gone(waits)?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(1), async |p| {
        p.replica("r1-a")?.thaw().await?;
        takes_traffic_again(p, "r1-a").await
    })
    .await?;
    done.no_get_fails()
}

#[tokio::test]
async fn a_frozen_replica_fails_no_get_and_loses_its_share() -> Result<()> {
    let _turn = strata_tests::turn().await;
    freeze("timeouts: { first_byte: 1s }", Duration::from_millis(900)).await
}

#[tokio::test]
async fn a_frozen_replica_fails_no_get_with_default_timeouts() -> Result<()> {
    let _turn = strata_tests::turn().await;
    freeze("", Duration::from_millis(4_500)).await
}
