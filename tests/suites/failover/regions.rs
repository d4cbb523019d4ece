//! All replicas of a region die at once, or all of its servers.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use strata_tests::load::Report;
use strata_tests::reconcile::reconcile;
use strata_tests::topology::Topology;

use crate::drill::{FAULT, drill, mixed, takes_traffic_again};

#[tokio::test]
async fn a_dead_region_fails_no_get_and_returns() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let plan = Topology::two_tier().globals(2).regions(3, 2, 3);
    let mut platform = plan.start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(1), async |p| {
        p.region("r1")?.kill_replicas();
        tokio::time::sleep(Duration::from_secs(4)).await;
        p.replica("r1-a")?.restart().await?;
        p.replica("r1-b")?.restart().await?;
        takes_traffic_again(p, "r1-a").await?;
        takes_traffic_again(p, "r1-b").await
    })
    .await?;
    done.no_get_fails()?;
    let recovery = done.report.recovery_after(FAULT).unwrap_or_default();
    ensure!(
        recovery <= Duration::from_secs(1),
        "{recovery:?}: {}",
        done.report
    );
    done.posts_failed_at_most(4)
}

#[tokio::test]
async fn a_frozen_region_fails_no_get() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let plan = Topology::two_tier().globals(2).regions(3, 2, 3);
    let plan =
        plan.tune_global(|file| file.route_extra = "timeouts: { first_byte: 1s }".to_owned());
    let mut platform = plan.start().await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(6), async |p| {
        p.region("r1")?.freeze_replicas().await
    })
    .await?;
    done.no_get_fails()?;
    done.share_is_gone(Duration::from_millis(900))?;
    platform.region("r1")?.thaw_replicas().await
}

#[tokio::test]
async fn with_one_region_its_death_is_seen() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = Topology::two_tier()
        .globals(2)
        .regions(1, 2, 3)
        .start()
        .await?;
    let load = mixed(&platform);
    let done = drill(&mut platform, load, Duration::from_secs(1), async |p| {
        p.region("r1")?.kill_replicas();
        Ok(())
    })
    .await?;
    ensure!(done.report.failed_of(&Method::GET) > 0, "{}", done.report);
    done.nothing_is_repeated()
}

#[tokio::test]
async fn checks_that_fail_in_all_regions_do_not_stop_traffic() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let plan = Topology::two_tier().globals(2).regions(2, 2, 2);
    // As when the admin ports are closed off: every probe fails from the start, and every request would pass.
    let plan = plan.tune_global(|file| {
        for region in &mut file.regions {
            region.extra = "health_check: { http: { path: /nothing-here } }".to_owned();
        }
    });
    let mut platform = plan.start().await?;
    let load = mixed(&platform);
    let done = drill(
        &mut platform,
        load,
        Duration::from_secs(3),
        async |_| Ok(()),
    )
    .await?;
    ensure!(done.report.failed == 0, "{}", done.report);
    done.no_get_fails()
}

/// All servers of one of two regions end at once, while POSTs come: what happened, and the POSTs that failed though no server got them.
async fn servers_end(told: bool) -> Result<(Report, Vec<String>)> {
    let plan = Topology::two_tier().globals(1).regions(2, 2, 2);
    let plan = plan.tune_regional(move |file| {
        if !told {
            file.front.trusted = "192.0.2.0/24".to_owned();
        }
    });
    let mut platform = plan.start().await?;
    let load = platform.load().rate(200.0).posts(1.0, 2_000);
    let running = load.start()?;
    running.settle(200).await;
    running.mark(FAULT);
    for server in platform.region("r1")?.servers() {
        server.crash().await;
    }
    running.settle(600).await;
    let report = running.stop().await;
    let accounts = reconcile(&report, platform.ledgers());
    ensure!(accounts.repeated_posts.is_empty(), "{accounts}");
    let unread = platform.ids_unread();
    let lost = accounts.lost.into_iter();
    Ok((report, lost.filter(|id| !unread.contains(id)).collect()))
}

#[tokio::test]
async fn posts_that_no_server_of_a_region_got_are_served_by_another() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (report, lost) = servers_end(true).await?;
    ensure!(lost.is_empty(), "{} lost: {report}", lost.len());
    Ok(())
}

/// The control: what a region says is not told to strangers, so POSTs that it could not send anywhere fail.
#[tokio::test]
async fn a_region_that_is_not_told_whom_to_trust_loses_posts() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let (report, lost) = servers_end(false).await?;
    ensure!(!lost.is_empty(), "the drill sees nothing: {report}");
    Ok(())
}
