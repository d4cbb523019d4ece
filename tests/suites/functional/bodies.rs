//! Bodies both ways: large, chunked, slow, event streams, and broken ones.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use strata_tests::feed::feed;
use strata_tests::http::{self as client, Dial};
use strata_tests::pattern;
use strata_tests::peers;
use strata_tests::server::{BODY_SEED, Fault, Server};
use strata_tests::subject::Subject;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);
const LARGE: usize = 20_000_000;

#[tokio::test]
async fn large_downloads_arrive_byte_for_byte() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for dial in [Dial::http1(subject.http1), Dial::h2c(subject.h2c)] {
        for path in [format!("/bytes/{LARGE}"), format!("/chunked/{LARGE}")] {
            let answer = dial.get(&path).await?;
            let mut checker = pattern::Checker::new(answer.header(BODY_SEED).parse()?);
            checker.feed(&answer.body);
            ensure!(
                checker.is_intact() && checker.seen() == LARGE as u64,
                "{path}: {checker:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn large_uploads_arrive_byte_for_byte() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for dial in [Dial::http1(subject.http1), Dial::h2c(subject.h2c)] {
        let body = client::full(pattern::whole(3, LARGE));
        let request = Request::post("/upload").header(BODY_SEED, 3).body(body)?;
        let report = dial.send(request).await?.json()?;
        ensure!(
            report["bytes"] == LARGE && report["intact"] == true,
            "{report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_streamed_upload_without_a_length_arrives() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let (mut sender, body) = feed();
    let mut conn = Dial::http1(subject.http1).connect().await?;
    let request = Request::post("/upload").header(BODY_SEED, 9).body(body)?;
    let answer = tokio::spawn(async move { conn.send(request).await });
    for piece in 0..50 {
        sender
            .send_data(pattern::chunk(9, piece * 1_000, 1_000))
            .await?;
    }
    drop(sender);
    let report = timeout(SOON, answer).await???.json()?;
    ensure!(
        report["bytes"] == 50_000 && report["intact"] == true,
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn events_flow_one_by_one() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.chunk_delay = Duration::from_millis(300))
        .start()
        .await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for dial in [Dial::http1(subject.http1), Dial::h2c(subject.h2c)] {
        let mut conn = dial.connect().await?;
        let mut response = conn
            .begin(Request::get("/events/5").body(client::empty())?)
            .await?;
        let frame = timeout(SOON, response.frame())
            .await?
            .context("no first event")??;
        ensure!(
            frame
                .into_data()
                .is_ok_and(|data| data.starts_with(b"id: 0")),
            "first event"
        );
        ensure!(
            server.ledger().counts().in_flight == 1,
            "the first event came when all were sent"
        );
        let rest = response.collect().await?.to_bytes();
        ensure!(rest.ends_with(b"event 4\n\n"), "{rest:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_truncated_answer_is_never_passed_on_as_whole() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.inject(Fault::Truncate, 1.0))
        .start()
        .await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for dial in [Dial::http1(subject.http1), Dial::h2c(subject.h2c)] {
        for path in ["/bytes/100000", "/chunked/100000"] {
            let answer = dial.get(path).await;
            ensure!(
                answer.as_ref().map_or(true, |answer| answer.status >= 500),
                "{path}: half a body as a whole answer by {dial:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_server_back() -> Result<()> {
    const HUGE: u64 = 400_000_000;
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let mut conn = Dial::http1(subject.http1).connect().await?;
    let path = format!("/bytes/{HUGE}");
    let mut response = conn
        .begin(Request::get(path).body(client::empty())?)
        .await?;
    let mut read = 0_u64;
    while read < 1_000_000 {
        let frame = response.frame().await.context("an early end")??;
        read += frame.into_data().map_or(0, |data: Bytes| data.len() as u64);
    }
    // The answer counts as handed over once its last piece went out: it must not have, as nobody reads.
    strata_tests::steadily(Duration::from_millis(300), "back-pressure", async || {
        let counts = server.ledger().counts();
        ensure!(
            counts.in_flight == 1,
            "the proxy swallowed {HUGE} bytes: {counts:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nginx_and_python_as_servers() -> Result<()> {
    let (nginx, python) = (peers::nginx("n").await?, peers::python_http("p").await?);
    let subject = Subject::start(super::KIND, &[nginx.address]).await?;
    ensure!(
        client::get(subject.http1, "/file").await?.body.len() == 1_048_576,
        "nginx's file"
    );
    let subject = Subject::start(super::KIND, &[python.address]).await?;
    let answer = client::get(subject.http1, "/chunked").await?;
    ensure!(answer.text().lines().count() == 10, "{}", answer.text());
    let answer = client::post(subject.http1, "/", "to python").await?;
    ensure!(answer.text() == "to python", "{}", answer.text());
    Ok(())
}
