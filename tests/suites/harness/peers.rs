//! Each third party works without a proxy in between, so that a failure behind one is the proxy's.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::http::{get, post};
use strata_tests::peers::{self, Chat};
use strata_tests::server::Server;
use strata_tests::tools::Tool;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn nginx_serves() -> Result<()> {
    let peer = peers::nginx("n1").await?;
    let answer = get(peer.address, "/").await?;
    ensure!(
        answer.text() == "n1\n" && answer.header("x-served-by") == "n1",
        "{answer:?}"
    );
    ensure!(
        get(peer.address, "/file").await?.body.len() == 1_048_576,
        "1 MiB"
    );
    Ok(())
}

#[tokio::test]
async fn python_serves() -> Result<()> {
    let peer = peers::python_http("p1").await?;
    ensure!(get(peer.address, "/").await?.text() == "p1\n");
    ensure!(get(peer.address, "/chunked").await?.text().lines().count() == 10);
    ensure!(post(peer.address, "/", "hello").await?.text() == "hello");
    Ok(())
}

#[tokio::test]
async fn websockets_echo() -> Result<()> {
    let peer = peers::websocket_server().await?;
    ensure!(get(peer.address, "/healthz").await?.status == 200);
    let chat = Chat {
        messages: 6,
        bytes: 70_000,
        quiet: Duration::from_millis(100),
    };
    let report = peers::websocket_client(peer.address, chat).await?;
    ensure!(
        report["echoed"] == 6 && report["close_code"] == 1000,
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn grpc_makes_all_kinds_of_call() -> Result<()> {
    let peer = peers::grpc_server("g1").await?;
    let report = peers::grpc_client(peer.address).await?;
    for (kind, count) in [
        ("unary", "1"),
        ("client_stream", "50"),
        ("server_stream", "50"),
        ("bidi", "20"),
    ] {
        ensure!(
            report[kind]["trailers"]["x-count"] == count,
            "{kind}: {report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_fails_is_an_error() -> Result<()> {
    let plain = peers::python_http("plain").await?;
    let refused = peers::grpc_client(plain.address).await;
    ensure!(refused.is_err(), "plain HTTP passed as gRPC");
    let chat = Chat {
        messages: 1,
        bytes: 1,
        quiet: Duration::ZERO,
    };
    let refused = peers::websocket_client(plain.address, chat).await;
    ensure!(refused.is_err(), "plain HTTP passed as a websocket");
    Ok(())
}

#[tokio::test]
async fn command_line_clients_reach_a_scripted_server() -> Result<()> {
    let server = Server::start("s").await?;
    let url = format!("http://{}/bytes/100000", server.address());
    let curl = Tool::Curl.launch()?.args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}",
    ]);
    let output = curl.args([url.as_str()]).run_ok(SOON).await?;
    ensure!(output == "200 100000", "{output}");
    let nghttp = Tool::Nghttp.launch()?.args(["-nv", url.as_str()]);
    let output = nghttp.run_ok(SOON).await?;
    ensure!(output.contains(":status: 200"), "{output}");
    let h2load = Tool::H2load
        .launch()?
        .args(["-n", "200", "-c", "2", "-m", "10", url.as_str()]);
    let output = h2load.run_ok(SOON).await?;
    ensure!(output.contains("200 succeeded, 0 failed"), "{output}");
    Ok(())
}
