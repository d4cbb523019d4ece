//! A download that takes a minute, while each tier on its way is replaced twice: the first process that carries it serves it to the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use http_body_util::BodyExt;
use strata_tests::http::{Dial, empty};
use strata_tests::pattern::Checker;
use strata_tests::server::BODY_SEED;
use strata_tests::topology::Tier;
use tokio::time::{sleep, timeout};

use crate::rig::{Rig, plan};

/// Between two pieces of 16 KiB.
const PIECE: Duration = Duration::from_secs(3);
const PIECES: usize = 20;
const LONG: Duration = Duration::from_secs(120);
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
async fn a_download_of_a_minute_outlives_two_upgrades_of_each_tier() -> Result<()> {
    let plan = plan(Tier::Global, "500ms")
        .tune_regional(|file| file.front.shutdown = SHUTDOWN.to_owned())
        .tune_global(|file| file.front.shutdown = SHUTDOWN.to_owned());
    let mut rig = Rig::of(Tier::Global, plan).await?;
    for server in rig.platform.servers() {
        server.script(|behaviour| behaviour.chunk_delay = PIECE);
    }
    let address = rig.platform.address()?;
    let start = tokio::time::Instant::now();
    let dials = [Dial::http1(address), Dial::h2c(address)];
    let downloads = dials.map(|dial| tokio::spawn(download(dial)));
    for _ in 0..2 {
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
    ensure!(
        start.elapsed() > PIECE * (PIECES as u32 - 2),
        "{:?}",
        start.elapsed()
    );
    Ok(())
}
