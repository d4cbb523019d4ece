//! Connections that are idle when a process is replaced: they stay through its drain, as their clients may be about to ask.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use strata_tests::http::{Dial, empty};
use strata_tests::topology::Tier;
use tokio::time::sleep;

use crate::rig::Rig;

/// Longer than the lame duck of the rig, and shorter than its drain.
const LATER: Duration = Duration::from_secs(3);

/// Streams are no work that is waited for, but three of them on one connection are one connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_connection_do_not_close_the_others() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    for server in rig.platform.servers() {
        server.script(|behaviour| behaviour.chunk_delay = Duration::from_millis(300));
    }
    let address = rig.platform.address()?;
    let mut idle = Dial::http1(address).connect().await?;
    let answer = idle.send(Request::get("/").body(empty())?).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let mut carrier = Dial::h2c(address).connect().await?;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let request = Request::get("/events/100").body(empty())?;
        streams.push(carrier.begin(request).await?);
    }
    let status = rig.status().await?;
    ensure!(status["inflight"] == 3, "{status}");
    rig.upgraded(&["--no-wait"]).await?;
    sleep(LATER).await;
    let answer = idle.send(Request::get("/").body(empty())?).await?;
    ensure!(
        answer.status == 200 && answer.header("connection") == "close",
        "{answer:?}"
    );
    Ok(())
}
