//! Sizes and counts.

use anyhow::{Result, ensure};
use http::Request;
use strata_tests::http::{self as client, Dial};
use strata_tests::raw::{End, RawConn, exchange};
use strata_tests::server::Server;

use super::{SOON, bystanders, limited, unharmed};

#[tokio::test]
async fn heads_and_bodies_have_limits() -> Result<()> {
    let server = Server::start("s").await?;
    let limits = "max_header_size: 4KiB, max_headers: 20, max_target: 1KiB, max_body: 10KiB";
    let platform = limited(server.address(), limits).await?;
    let load = bystanders(&platform)?;
    let address = platform.address()?;
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nhost: t\r\n{fields}\r\n");
    let cases = [
        (
            "one huge field",
            head("GET /", &format!("x: {}\r\n", "a".repeat(5_000))),
            431,
        ),
        (
            "an endless field",
            format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}", "a".repeat(50_000)),
            431,
        ),
        ("many fields", head("GET /", &"x: a\r\n".repeat(30)), 431),
        (
            "a long target",
            head(&format!("GET /{}", "a".repeat(2_000)), ""),
            414,
        ),
        (
            "a long length",
            head("POST /upload", "content-length: 20000\r\n"),
            413,
        ),
        (
            "many chunks",
            head("POST /upload", "transfer-encoding: chunked\r\n")
                + &format!("800\r\n{}\r\n", "a".repeat(2_048)).repeat(8),
            413,
        ),
        (
            "just fitting",
            head(
                "POST /upload",
                "connection: close\r\ncontent-length: 10240\r\n",
            ) + &"a".repeat(10_240),
            200,
        ),
    ];
    for (what, bytes, status) in cases {
        let seen = exchange(address, bytes.as_bytes(), SOON).await?;
        ensure!(seen.status() == Some(status), "{what}: {}", seen.text());
        ensure!(seen.is_over(), "{what}: the connection stayed open");
    }
    let dial = Dial::h2c(address);
    let request = Request::post("/upload").body(client::full(vec![1; 20_000]))?;
    ensure!(dial.send(request).await?.status == 413, "HTTP/2 body");
    let request = Request::get(format!("/{}", "a".repeat(2_000))).body(client::empty())?;
    ensure!(dial.send(request).await?.status == 414, "HTTP/2 target");
    let done = server.ledger().seen();
    let whole: Vec<_> = done
        .iter()
        .filter(|seen| seen.path == "/upload" && seen.body_complete)
        .collect();
    ensure!(
        whole.len() == 1,
        "a body over the limit arrived as whole: {whole:?}"
    );
    unharmed(load).await
}

#[tokio::test]
async fn a_connection_ends_after_its_share_of_requests() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "keepalive_requests: 3").await?;
    let burst = "GET / HTTP/1.1\r\nhost: t\r\n\r\n".repeat(5);
    let seen = exchange(platform.address()?, burst.as_bytes(), SOON).await?;
    ensure!(seen.statuses() == [200, 200, 200], "{}", seen.text());
    ensure!(
        seen.is_over() && seen.text().to_lowercase().contains("connection: close"),
        "{}",
        seen.text()
    );
    Ok(())
}

#[tokio::test]
async fn connections_are_capped_in_all_and_by_client() -> Result<()> {
    let server = Server::start("s").await?;
    for limits in ["max_connections: 4", "max_connections_per_client: 4"] {
        let platform = limited(server.address(), limits).await?;
        let mut open = Vec::new();
        for _ in 0..4 {
            let mut conn = RawConn::connect(platform.address()?).await?;
            conn.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await?;
            ensure!(
                conn.read_until(b"\r\n\r\n", SOON).await.status() == Some(200),
                "{limits}"
            );
            open.push(conn);
        }
        let seen = exchange(
            platform.address()?,
            b"GET / HTTP/1.1\r\nhost: t\r\n\r\n",
            SOON,
        )
        .await?;
        ensure!(
            seen.is_over() && seen.bytes.is_empty(),
            "{limits}: {}",
            seen.text()
        );
        open.pop();
        strata_tests::eventually(SOON, "a free place", async || {
            let seen = exchange(
                platform.address()?,
                b"GET / HTTP/1.0\r\nhost: t\r\n\r\n",
                SOON,
            )
            .await?;
            ensure!(seen.status() == Some(200), "{:?}", seen.end);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_closed() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "keepalive_timeout: 500ms").await?;
    let mut silent = RawConn::connect(platform.address()?).await?;
    let seen = silent.read_to_end(SOON).await;
    ensure!(
        seen.end == End::Closed && seen.bytes.is_empty(),
        "a silent connection: {seen:?}"
    );
    let mut used = RawConn::connect(platform.address()?).await?;
    used.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await?;
    let seen = used.read_to_end(SOON).await;
    ensure!(
        seen.end == End::Closed && seen.statuses() == [200],
        "{}",
        seen.text()
    );
    Ok(())
}
