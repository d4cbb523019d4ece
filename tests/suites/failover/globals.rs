//! A global replica dies: its clients go to its sister.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::load::Mode;
use strata_tests::topology::{Platform, Topology};

use crate::drill::{Drill, SOON, drill, mixed};

async fn start() -> Result<Platform> {
    Topology::two_tier()
        .globals(2)
        .regions(1, 2, 3)
        .start()
        .await
}

async fn kill(platform: &mut Platform, load: strata_tests::load::Load) -> Result<Drill> {
    drill(platform, load, Duration::from_secs(2), async |p| {
        p.replica("g1")?.kill();
        Ok(())
    })
    .await
}

#[tokio::test]
async fn clients_of_a_killed_global_replica_go_to_its_sister() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = start().await?;
    let load = mixed(&platform);
    let done = kill(&mut platform, load).await?;
    done.nothing_is_repeated()?;
    // Lost is at most what was in flight at the one that died.
    ensure!(done.report.failed <= 10, "{}", done.report);
    let later = done
        .report
        .recovery_after(crate::drill::FAULT)
        .unwrap_or_default();
    ensure!(
        later <= Duration::from_secs(1),
        "{later:?}: {}",
        done.report
    );
    platform.replica("g1")?.restart().await?;
    let g1 = platform.replica("g1")?.address();
    let answer = strata_tests::http::get(g1, "/").await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn clients_that_send_nothing_again_see_its_death() -> Result<()> {
    let _turn = strata_tests::turn().await;
    let mut platform = start().await?;
    let load = mixed(&platform).no_resend().mode(Mode::NewConnection);
    let done = kill(&mut platform, load.deadline(SOON)).await?;
    ensure!(
        done.report.failed > 0,
        "the drill sees nothing: {}",
        done.report
    );
    done.nothing_is_repeated()
}
