//! Bodies and trailers over every mix of protocols: whole, in order, cancelled at once, never cut silently.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use strata_tests::feed::feed;
use strata_tests::http::{self as client, Dial};
use strata_tests::pattern;
use strata_tests::raw::RawConn;
use strata_tests::server::{BODY_SEED, Fault, Server};

use super::{LINKS, Link, impatient, start};

const SOON: Duration = Duration::from_secs(5);
const LARGE: usize = 8_000_000;

#[tokio::test]
async fn large_bodies_cross_any_mix_of_protocols() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            for path in [format!("/bytes/{LARGE}"), format!("/chunked/{LARGE}")] {
                let answer = dial.get(&path).await?;
                let mut checker = pattern::Checker::new(answer.header(BODY_SEED).parse()?);
                checker.feed(&answer.body);
                ensure!(
                    checker.is_intact() && checker.seen() == LARGE as u64,
                    "{link:?} {path}"
                );
            }
            let body = client::full(pattern::whole(3, LARGE));
            let request = Request::post("/upload").header(BODY_SEED, 3).body(body)?;
            let report = dial.send(request).await?.json()?;
            ensure!(
                report["bytes"] == LARGE && report["intact"] == true,
                "{link:?}: {report}"
            );
            let (mut sender, body) = feed();
            let mut conn = dial.connect().await?;
            let request = Request::post("/upload").header(BODY_SEED, 9).body(body)?;
            let answer = tokio::spawn(async move { conn.send(request).await });
            for piece in 0..50 {
                sender
                    .send_data(pattern::chunk(9, piece * 1_000, 1_000))
                    .await?;
            }
            drop(sender);
            let report = tokio::time::timeout(SOON, answer).await???.json()?;
            ensure!(
                report["bytes"] == 50_000 && report["intact"] == true,
                "{link:?}: {report}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn head_and_bodiless_statuses_have_no_body() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            let mut conn = dial.connect().await?;
            for (method, path, status) in [
                ("HEAD", "/bytes/12345", 200),
                ("GET", "/status/204", 204),
                ("GET", "/status/304", 304),
                ("GET", "/", 200),
            ] {
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .body(client::empty())?;
                let answer = conn.send(request).await?;
                ensure!(answer.status == status, "{link:?} {path}: {answer:?}");
                ensure!(
                    answer.body.is_empty() == (path != "/"),
                    "{link:?} {path}: {answer:?}"
                );
                if method == "HEAD" {
                    ensure!(
                        answer.header("content-length") == "12345",
                        "{link:?}: {answer:?}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn trailers_pass_where_both_sides_have_them() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = start(&server, Link::H2c).await?;
    let dial = Dial::h2c(platform.address()?);
    let request = Request::get("/trailers")
        .header("te", "trailers")
        .body(client::empty())?;
    let answer = dial.send(request).await?;
    ensure!(
        answer
            .trailers
            .get("x-trailer")
            .is_some_and(|v| v == "done"),
        "{answer:?}"
    );
    for dial in [Dial::http1(platform.address()?), dial] {
        let (mut sender, body) = feed();
        let mut conn = dial.connect().await?;
        let answer =
            tokio::spawn(async move { conn.send(Request::post("/upload").body(body)?).await });
        sender.send_data("12345".into()).await?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "1".parse()?);
        sender.send_trailers(trailers).await?;
        drop(sender);
        let report = tokio::time::timeout(SOON, answer).await???.json()?;
        ensure!(
            report["bytes"] == 5,
            "trailers of a request are no reason to fail: {report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn events_flow_at_their_own_pace() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.chunk_delay = Duration::from_millis(300))
        .start()
        .await?;
    for link in LINKS {
        // The whole stream lasts longer than the time for a request; no gap is longer than `idle`.
        let platform = impatient(server.address(), link).start().await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            let mut conn = dial.connect().await?;
            let mut response = conn
                .begin(Request::get("/events/6").body(client::empty())?)
                .await?;
            let frame = tokio::time::timeout(SOON, response.frame())
                .await?
                .context("no event")??;
            ensure!(
                frame
                    .into_data()
                    .is_ok_and(|data| data.starts_with(b"id: 0")),
                "first event"
            );
            ensure!(server.ledger().counts().in_flight == 1, "held back");
            let rest = response.collect().await?.to_bytes();
            ensure!(
                rest.ends_with(b"event 5\n\n"),
                "{link:?} {dial:?}: {rest:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_body_of_known_length_flows() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| (s.chunk_delay, s.chunk_bytes) = (Duration::from_millis(300), 100))
        .start()
        .await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        for dial in [
            Dial::http1(platform.address()?),
            Dial::h2c(platform.address()?),
        ] {
            let mut conn = dial.connect().await?;
            let mut response = conn
                .begin(Request::get("/bytes/500").body(client::empty())?)
                .await?;
            let frame = tokio::time::timeout(SOON, response.frame())
                .await?
                .context("no piece")??;
            ensure!(
                frame.into_data().is_ok_and(|data| data.len() <= 200),
                "pieces were gathered"
            );
            ensure!(
                server.ledger().counts().in_flight == 1,
                "{link:?} {dial:?}: held back"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_truncated_answer_never_looks_whole() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        for fault in [Fault::Truncate, Fault::ResetAfterHead] {
            server.script(|s| s.inject(fault, 1.0));
            for dial in [
                Dial::http1(platform.address()?),
                Dial::h2c(platform.address()?),
            ] {
                for path in ["/bytes/100000", "/chunked/100000"] {
                    let answer = dial.get(path).await;
                    ensure!(
                        answer.as_ref().map_or(true, |answer| answer.status >= 500),
                        "{link:?} {fault:?} {path}: half a body as a whole answer by {dial:?}"
                    );
                }
            }
        }
        server.behave();
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_cancels_at_once() -> Result<()> {
    for link in LINKS {
        for path in ["/", "/events/1000"] {
            for h2 in [false, true] {
                let server = Server::builder("s")
                    .script(|s| {
                        s.head_delay = Duration::from_secs(if path == "/" { 4 } else { 0 });
                        s.chunk_delay = Duration::from_millis(50);
                    })
                    .start()
                    .await?;
                let platform = start(&server, link).await?;
                let arrived = async || {
                    strata_tests::eventually(SOON, "arrival", async || {
                        ensure!(
                            server.ledger().counts().in_flight == 1,
                            "{:?}",
                            server.ledger().counts()
                        );
                        Ok(())
                    })
                    .await
                };
                if h2 {
                    let mut conn = Dial::h2c(platform.address()?).connect().await?;
                    let keep = conn.share();
                    let request = Request::get(path).body(client::empty())?;
                    let running = tokio::spawn(async move {
                        let mut response = conn.begin(request).await?;
                        while response.frame().await.is_some() {}
                        anyhow::Ok(())
                    });
                    arrived().await?;
                    running.abort();
                    cancelled(&server, link, path, "HTTP/2").await?;
                    drop(keep);
                } else {
                    let mut conn = RawConn::connect(platform.address()?).await?;
                    conn.write(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes())
                        .await?;
                    arrived().await?;
                    conn.reset()?;
                    cancelled(&server, link, path, "HTTP/1.1").await?;
                }
            }
        }
    }
    Ok(())
}

async fn cancelled(server: &Server, link: Link, path: &str, from: &str) -> Result<()> {
    let what = format!("{link:?} {path} {from}: the server sees the abort");
    strata_tests::eventually(Duration::from_secs(2), &what, async || {
        let counts = server.ledger().counts();
        ensure!(counts.aborted == 1 && counts.in_flight == 0, "{counts:?}");
        Ok(())
    })
    .await
}
