//! HTTP/1 connections: reuse, pipelining, version 1.0, informational and early answers.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use strata_tests::feed::feed;
use strata_tests::http::{self as client, Dial};
use strata_tests::raw::{End, RawConn, exchange};
use strata_tests::server::{Early, Server};

use super::{LINKS, Link, start};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        let mut conn = RawConn::connect(platform.address()?).await?;
        let burst = "GET /status/201 HTTP/1.1\r\nhost: t\r\n\r\n\
             POST /status/202 HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello\
             POST /status/203 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
             GET /status/206 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
        conn.write(burst.as_bytes()).await?;
        let seen = conn.read_to_end(SOON).await;
        ensure!(
            seen.statuses() == [201, 202, 203, 206],
            "{link:?}: {}",
            seen.text()
        );
        ensure!(seen.end == End::Closed, "{link:?}: {:?}", seen.end);
    }
    Ok(())
}

#[tokio::test]
async fn a_pipelined_request_that_comes_during_the_first_is_kept() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = start(&server, Link::Http1).await?;
    let mut conn = RawConn::connect(platform.address()?).await?;
    conn.write(b"GET /delay/300 HTTP/1.1\r\nhost: t\r\n\r\n")
        .await?;
    strata_tests::eventually(SOON, "arrival", async || {
        ensure!(
            server.ledger().counts().in_flight == 1,
            "{:?}",
            server.ledger().counts()
        );
        Ok(())
    })
    .await?;
    conn.write(b"GET /status/201 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        .await?;
    let seen = conn.read_to_end(SOON).await;
    ensure!(seen.statuses() == [200, 201], "{}", seen.text());
    Ok(())
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_a_close() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        let address = platform.address()?;
        let seen = exchange(address, b"GET /chunked/5000 HTTP/1.0\r\n\r\n", SOON).await?;
        let text = seen.text().to_lowercase();
        ensure!(
            seen.end == End::Closed && !text.contains("transfer-encoding"),
            "{link:?}: {text}"
        );
        let body = seen.bytes.len() - text.find("\r\n\r\n").unwrap_or_default() - 4;
        ensure!(body == 5_000, "{link:?}: {body} bytes");
        let kept = b"GET /bytes/10 HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /status/201 HTTP/1.0\r\n\r\n";
        let seen = exchange(address, kept, SOON).await?;
        ensure!(seen.statuses() == [200, 201], "{link:?}: {}", seen.text());
    }
    Ok(())
}

#[tokio::test]
async fn informational_answers_pass() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.informational = vec![103])
        .start()
        .await?;
    let platform = start(&server, Link::Http1).await?;
    let answer = Dial::http1(platform.address()?).get("/").await?;
    ensure!(
        answer.informational == [103] && answer.status == 200,
        "{answer:?}"
    );
    let seen = exchange(platform.address()?, b"GET / HTTP/1.0\r\n\r\n", SOON).await?;
    ensure!(
        seen.statuses() == [200],
        "HTTP/1.0 knows none: {}",
        seen.text()
    );
    Ok(())
}

#[tokio::test]
async fn an_early_answer_ends_an_upload() -> Result<()> {
    for early in [Early::ThenRead, Early::ThenDrop] {
        for link in LINKS {
            let server = Server::builder("s")
                .script(move |s| s.early = early)
                .start()
                .await?;
            server.script(|s| s.status = Some(413));
            let platform = start(&server, link).await?;
            for dial in [
                Dial::http1(platform.address()?),
                Dial::h2c(platform.address()?),
            ] {
                let (mut sender, body) = feed();
                let mut conn = dial.connect().await?;
                let begin = tokio::spawn(async move {
                    let response = conn.begin(Request::post("/").body(body)?).await?;
                    client::collect(response).await
                });
                sender.send_data(vec![1; 100_000].into()).await?;
                let answer = tokio::time::timeout(SOON, begin).await???;
                ensure!(
                    answer.status == 413,
                    "{early:?} {link:?} {dial:?}: {answer:?}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn expect_continue_crosses_both_tiers() -> Result<()> {
    let server = Server::start("s").await?;
    for link in LINKS {
        let platform = start(&server, link).await?;
        let mut conn = RawConn::connect(platform.address()?).await?;
        conn.write(b"POST /upload HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n").await?;
        let seen = conn.read_until(b"\r\n\r\n", SOON).await;
        ensure!(seen.status() == Some(100), "{link:?}: {}", seen.text());
        conn.write(b"12345").await?;
        let seen = conn.read_to_end(SOON).await;
        ensure!(
            seen.text().contains("\"bytes\":5"),
            "{link:?}: {}",
            seen.text()
        );
    }
    Ok(())
}
