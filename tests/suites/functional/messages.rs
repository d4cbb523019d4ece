//! Single requests: methods, statuses, header fields, informational and early answers.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use strata_tests::eventually;
use strata_tests::feed::feed;
use strata_tests::http::{self as client, Dial};
use strata_tests::raw::{RawConn, exchange};
use strata_tests::server::{Early, Server};
use strata_tests::subject::Subject;
use strata_tests::tools::Tool;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn methods_and_statuses_pass_unchanged() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for dial in [Dial::http1(subject.http1), Dial::h2c(subject.h2c)] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let body = if method == "GET" {
                client::empty()
            } else {
                client::full("x")
            };
            let request = Request::builder()
                .method(method)
                .uri("/echo?a=%20b")
                .body(body)?;
            let seen = dial.send(request).await?.json()?;
            ensure!(
                seen["method"] == method && seen["path"] == "/echo?a=%20b",
                "{seen}"
            );
        }
        for status in [200, 201, 204, 301, 304, 400, 401, 404, 418, 429, 500] {
            let answer = dial.get(&format!("/status/{status}")).await?;
            ensure!(answer.status == status, "{status} became {}", answer.status);
        }
    }
    Ok(())
}

#[tokio::test]
async fn head_has_the_length_and_no_body() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for dial in [Dial::http1(subject.http1), Dial::h2c(subject.h2c)] {
        let request = Request::head("/bytes/12345").body(client::empty())?;
        let answer = dial.send(request).await?;
        ensure!(
            answer.header("content-length") == "12345",
            "{:?}",
            answer.headers
        );
        ensure!(answer.status == 200 && answer.body.is_empty(), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let request = Request::get("/echo")
        .header("x-own", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "trailers")
        .body(client::empty())?;
    let seen = Dial::http1(subject.http1).send(request).await?.json()?;
    let fields = seen["headers"].as_array().cloned().unwrap_or_default();
    let has = |name: &str| fields.iter().any(|field| field[0] == name);
    ensure!(has("x-own") && has("x-forwarded-for"), "{seen}");
    if subject.kind.is_ours() {
        ensure!(!has("keep-alive"), "a hop-by-hop field went on: {seen}");
        ensure!(has("x-request-id") && has("via"), "{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let mut conn = RawConn::connect(subject.http1).await?;
    conn.write(
        b"POST /upload HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n",
    )
    .await?;
    let seen = conn.read_until(b"\r\n\r\n", SOON).await;
    ensure!(
        seen.status() == Some(100),
        "no 100 before the body: {}",
        seen.text()
    );
    conn.write(b"12345").await?;
    let seen = conn.read_to_end(SOON).await;
    ensure!(seen.text().contains("\"bytes\":5"), "{}", seen.text());
    Ok(())
}

#[tokio::test]
async fn an_early_answer_arrives_before_the_request_ends() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.early = Early::ThenRead)
        .start()
        .await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let (mut sender, body) = feed();
    let mut conn = Dial::http1(subject.http1).connect().await?;
    let begin = conn.begin(Request::post("/").body(body)?);
    sender.send_data("first".into()).await?;
    let response = timeout(SOON, begin).await??;
    ensure!(response.status() == 200, "{response:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| s.head_delay = Duration::from_secs(60))
        .start()
        .await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let mut conn = RawConn::connect(subject.http1).await?;
    conn.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await?;
    eventually(SOON, "arrival", async || {
        ensure!(
            server.ledger().counts().in_flight == 1,
            "{:?}",
            server.ledger().counts()
        );
        Ok(())
    })
    .await?;
    conn.reset()?;
    eventually(SOON, "the server sees the abort", async || {
        ensure!(
            server.ledger().counts().aborted == 1,
            "{:?}",
            server.ledger().counts()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nonsense_is_refused_and_reaches_no_server() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    for nonsense in [
        &b"GET / HTTP/9.9\r\nhost: t\r\n\r\n"[..],
        b"GET /\x00 HTTP/1.1\r\nhost: t\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let seen = exchange(subject.http1, nonsense, SOON).await?;
        let is_refused = seen
            .status()
            .is_none_or(|status| (400..=505).contains(&status));
        let text = String::from_utf8_lossy(nonsense);
        ensure!(
            is_refused && seen.is_over(),
            "{text:?} gave {:?} {}",
            seen.end,
            seen.text()
        );
    }
    ensure!(
        server.ledger().counts().requests == 0,
        "{:?}",
        server.ledger().seen()
    );
    Ok(())
}

#[tokio::test]
async fn curl_and_nghttp_get_what_they_ask_for() -> Result<()> {
    let server = Server::start("s").await?;
    let subject = Subject::start(super::KIND, &[server.address()]).await?;
    let url = format!("http://{}/bytes/1000000", subject.http1);
    let curl = Tool::Curl.launch()?.args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}",
    ]);
    let output = curl.args([url]).run_ok(SOON).await?;
    ensure!(output == "200 1000000", "{output}");
    let url = format!("http://{}/bytes/1000000", subject.h2c);
    let nghttp = Tool::Nghttp.launch()?.args(["-nv", url.as_str()]);
    ensure!(
        nghttp.run_ok(SOON).await?.contains(":status: 200"),
        "nghttp"
    );
    let h2load = Tool::H2load
        .launch()?
        .args(["-n", "300", "-c", "3", "-m", "10"]);
    let output = h2load
        .args([format!("http://{}/", subject.h2c)])
        .run_ok(SOON * 2)
        .await?;
    ensure!(output.contains("300 succeeded, 0 failed"), "{output}");
    Ok(())
}
