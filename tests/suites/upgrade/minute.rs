//! A download that takes a minute, while each tier on its way is replaced again and again under users of every other kind: the first process
//! that carries it serves it to the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use http_body_util::BodyExt;
use strata_tests::http::{Dial, empty};
use strata_tests::pattern::Checker;
use strata_tests::server::BODY_SEED;
use strata_tests::topology::{Tier, Topology};
use strata_tests::users::{PIECE, Servers, Users};
use tokio::time::{sleep, timeout};

use crate::rig::{Rig, upgradable};

/// Of 16 KiB each.
const PIECES: usize = 200;
const LONG: Duration = Duration::from_secs(120);
/// Of each tier.
const UPGRADES: usize = 5;
/// A download is no stream: `drain` is its time.
const SHUTDOWN: &str = "lame_duck: 1s, drain: 100s, stream_drain: 100s";

/// Bytes that came, all of them right.
async fn download(dial: Dial) -> Result<u64> {
    let request = Request::get(format!("/bytes/{}", PIECES * 16 * 1024)).body(empty())?;
    let mut connection = dial.connect().await?;
    let mut response = connection.begin(request).await?;
    let seed = response.headers().get(BODY_SEED).context("no seed")?;
    let mut checker = Checker::new(seed.to_str()?.parse()?);
    while let Some(frame) = timeout(LONG, response.frame()).await? {
        if let Ok(data) = frame.context("in the middle")?.into_data() {
            checker.feed(&data);
        }
    }
    ensure!(checker.is_intact(), "other bytes");
    Ok(checker.seen())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_of_a_minute_outlive_upgrades_of_each_tier() -> Result<()> {
    let servers = Servers::start().await?;
    let plan = servers.behind(Topology::two_tier().regions(2, 1, 2));
    let plan = upgradable(plan, "500ms")
        .tune_regional(|file| SHUTDOWN.clone_into(&mut file.front.shutdown))
        .tune_global(|file| {
            SHUTDOWN.clone_into(&mut file.front.shutdown);
            // All but gRPC comes through the region whose replica is upgraded.
            file.regions[1].priority = 2;
        });
    let mut rig = Rig::of(Tier::Global, plan).await?;
    let address = rig.platform.address()?;
    let users = Users::start(&rig.platform, address).await?;
    let start = tokio::time::Instant::now();
    let dials = [Dial::http1(address), Dial::h2c(address)];
    let downloads = dials.map(|dial| tokio::spawn(download(dial)));
    for _ in 0..UPGRADES {
        for tier in [Tier::Regional, Tier::Global] {
            rig.tier = tier;
            sleep(PIECE).await;
            let pid = rig.upgraded(&["--no-wait"]).await?;
            rig.serves(pid).await?;
        }
    }
    ensure!(
        downloads.iter().all(|download| !download.is_finished()),
        "it was no long one"
    );
    for download in downloads {
        let bytes = timeout(LONG, download).await???;
        ensure!(bytes == PIECES as u64 * 16 * 1024, "{bytes} bytes");
    }
    let least = PIECE * (PIECES as u32 - 2);
    ensure!(start.elapsed() > least, "{:?}", start.elapsed());
    let accounts = users.stop(rig.platform.ledgers()).await?;
    eprintln!("{} upgrades:\n{accounts}", 2 * UPGRADES);
    ensure!(
        accounts.failed() == 0 && accounts.is_busy(),
        "{accounts}\n{}",
        rig.logs()
    );
    Ok(())
}
