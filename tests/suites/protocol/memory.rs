//! Back-pressure: a slow reader and a slow server cost the proxies no memory.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use http_body_util::BodyExt;
use strata_tests::feed::feed;
use strata_tests::http::{self as client, Dial};
use strata_tests::pattern;
use strata_tests::server::Server;
use strata_tests::topology::Platform;

use super::{LINKS, start};

const HUGE: u64 = 200_000_000;
/// What a process may grow by: windows of HTTP/2 on both sides, and what the allocator keeps for a second (25 MiB in all on an idle
/// machine). Kernel buffers are not in it. What is not held back is [`HUGE`].
const ALLOWED_KIB: u64 = 48 * 1024;

fn resident(platform: &mut Platform) -> Result<u64> {
    let mut most = 0;
    for replica in platform.replicas() {
        most = most.max(replica.usage()?.anonymous_kib);
    }
    Ok(most)
}

#[tokio::test]
async fn a_slow_reader_costs_no_memory() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let mut platform = start(&server, link).await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            let before = resident(&mut platform)?;
            let mut conn = dial.connect().await?;
            let request = Request::get(format!("/bytes/{HUGE}")).body(client::empty())?;
            let mut response = conn.begin(request).await?;
            let (mut read, mut pause, mut most) = (0_u64, 0_u64, before);
            while read < HUGE {
                let frame = response.frame().await.context("an early end")??;
                read += frame.into_data().map_or(0, |data| data.len() as u64);
                if read >= pause {
                    // Time is the matter: what is not held back would pile up meanwhile.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    most = most.max(resident(&mut platform)?);
                    pause += HUGE / 10;
                }
            }
            ensure!(
                most < before + ALLOWED_KIB,
                "{link:?} {dial:?}: {before} KiB became {most} KiB"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_server_costs_no_memory() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let mut platform = start(&server, link).await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            let before = resident(&mut platform)?;
            let (mut sender, body) = feed();
            let mut conn = dial.connect().await?;
            let answer =
                tokio::spawn(async move { conn.send(Request::post("/upload").body(body)?).await });
            let piece = pattern::whole(1, 50_000);
            let (mut sent, mut pause, mut most) = (0_u64, 0_u64, before);
            while sent < HUGE {
                sender.send_data(piece.clone()).await?;
                sent += piece.len() as u64;
                if sent >= pause {
                    server.freeze();
                    // Sending stops by itself once all windows are full.
                    let filled = async {
                        while sent < HUGE {
                            sender.send_data(piece.clone()).await?;
                            sent += piece.len() as u64;
                        }
                        anyhow::Ok(())
                    };
                    tokio::time::timeout(Duration::from_millis(200), filled)
                        .await
                        .ok();
                    most = most.max(resident(&mut platform)?);
                    server.thaw();
                    pause = sent + HUGE / 6;
                }
            }
            drop(sender);
            let report = tokio::time::timeout(Duration::from_secs(30), answer)
                .await???
                .json()?;
            ensure!(
                report["bytes"] == sent,
                "{link:?} {dial:?}: {report} of {sent}"
            );
            ensure!(
                most < before + ALLOWED_KIB,
                "{link:?} {dial:?}: {before} KiB became {most} KiB"
            );
        }
    }
    Ok(())
}
