//! The raw client and the recorder see bytes as they are.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::raw::{End, RawConn, Recorder, exchange};
use strata_tests::server::Server;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn malformed_requests_can_be_sent() -> Result<()> {
    let server = Server::start("s").await?;
    let seen = exchange(
        server.address(),
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        SOON,
    )
    .await?;
    ensure!(
        seen.status() == Some(400) && seen.is_over(),
        "{:?} {}",
        seen.end,
        seen.text()
    );
    Ok(())
}

#[tokio::test]
async fn pipelined_answers_are_counted() -> Result<()> {
    let server = Server::start("s").await?;
    let twice = b"GET / HTTP/1.1\r\nhost: t\r\n\r\nGET /status/404 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let seen = exchange(server.address(), twice, SOON).await?;
    ensure!(
        seen.statuses() == [200, 404] && seen.end == End::Closed,
        "{}",
        seen.text()
    );
    Ok(())
}

#[tokio::test]
async fn the_recorder_keeps_each_byte() -> Result<()> {
    let recorder = Recorder::start(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
    let mut conn = RawConn::connect(recorder.address()).await?;
    let request = b"GET /x HTTP/1.1\r\nHoSt:  odd \r\n\r\n";
    conn.write(request).await?;
    let seen = conn.read_until(b"ok", SOON).await;
    ensure!(
        seen.end == End::Found && seen.status() == Some(200),
        "{}",
        seen.text()
    );
    ensure!(
        recorder.received() == [String::from_utf8_lossy(request)],
        "{:?}",
        recorder.received()
    );
    Ok(())
}

#[tokio::test]
async fn an_open_connection_is_told_from_a_closed_one() -> Result<()> {
    let server = Server::start("s").await?;
    let ask = b"GET / HTTP/1.1\r\nhost: t\r\n\r\n";
    let seen = exchange(server.address(), ask, Duration::from_millis(200)).await?;
    ensure!(
        seen.end == End::Open && seen.status() == Some(200),
        "{:?}",
        seen.end
    );
    Ok(())
}
