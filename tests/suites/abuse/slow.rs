//! Time: whoever dribbles or stalls is cut off by a deadline of the whole, not of each read.

use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::raw::{End, RawConn};
use strata_tests::server::Server;
use tokio::time::{Instant, sleep};

use super::{SOON, bystanders, limited, unharmed};

const ONE: &[u8] = b"GET / HTTP/1.1\r\nhost: t\r\n\r\n";

/// Sends a byte at a time, each well within any limit between two reads, until the connection is closed.
async fn dribble(conn: &mut RawConn, bytes: &[u8]) -> (Duration, String) {
    let start = Instant::now();
    for byte in bytes {
        if conn.write(&[*byte]).await.is_err() || start.elapsed() > SOON {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let seen = conn.read_to_end(Duration::from_secs(3)).await;
    let end = if seen.end == End::Open {
        " (still open)"
    } else {
        ""
    };
    (start.elapsed(), format!("{}{end}", seen.text()))
}

#[tokio::test]
async fn a_head_has_one_deadline_on_new_and_reused_connections() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "header_timeout: 1s").await?;
    let load = bystanders(&platform)?;
    let head = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}", "a".repeat(60));
    for reused in [false, true] {
        let mut conn = RawConn::connect(platform.address()?).await?;
        if reused {
            conn.write(ONE).await?;
            let seen = conn.read_until(b"\n", SOON).await;
            ensure!(seen.status() == Some(200), "{}", seen.text());
            // The rest of the answer may still come; it is no part of what follows.
            conn.read_until(b"never", Duration::from_millis(100)).await;
        }
        let (took, text) = dribble(&mut conn, head.as_bytes()).await;
        ensure!(
            text.starts_with("HTTP/1.1 408") && !text.ends_with("(still open)"),
            "reused {reused}: {text}"
        );
        ensure!(took < Duration::from_secs(5), "reused {reused}: {took:?}");
    }
    unharmed(load).await
}

#[tokio::test]
async fn a_preface_that_stays_short_is_cut_off() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(
        server.address(),
        "header_timeout: 1s, keepalive_timeout: 1s",
    )
    .await?;
    for part in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut conn = RawConn::connect(platform.address()?).await?;
        conn.write(part).await?;
        let seen = conn.read_to_end(SOON).await;
        ensure!(seen.is_over(), "{part:?}: still open");
    }
    let mut conn = RawConn::connect(platform.address()?).await?;
    let (_, text) = dribble(&mut conn, b"PRI * HTTP/2.0\r\n\r\nSM\r\n").await;
    ensure!(!text.ends_with("(still open)"), "a slow preface: {text}");
    Ok(())
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_408() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "body_timeout: 700ms").await?;
    for body in [
        &b"content-length: 100\r\n\r\nabc"[..],
        b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut conn = RawConn::connect(platform.address()?).await?;
        conn.write(b"POST /upload HTTP/1.1\r\nhost: t\r\n").await?;
        conn.write(body).await?;
        let seen = conn.read_to_end(SOON).await;
        ensure!(
            seen.status() == Some(408) && seen.is_over(),
            "{:?} {}",
            seen.end,
            seen.text()
        );
    }
    let aborted = || server.ledger().counts().in_flight == 0;
    strata_tests::eventually(SOON, "freed server", async || {
        ensure!(aborted(), "{:?}", server.ledger().counts());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_that_stalls_frees_the_server() -> Result<()> {
    let server = Server::start("s").await?;
    let platform = limited(server.address(), "write_timeout: 1s").await?;
    let load = bystanders(&platform)?;
    let mut conn = RawConn::connect(platform.address()?).await?;
    conn.write(b"GET /bytes/400000000 HTTP/1.1\r\nhost: t\r\n\r\n")
        .await?;
    strata_tests::eventually(SOON, "arrival", async || {
        ensure!(
            server
                .ledger()
                .seen()
                .iter()
                .any(|seen| seen.path.starts_with("/bytes")),
            "not yet"
        );
        Ok(())
    })
    .await?;
    strata_tests::eventually(SOON, "the server is free again", async || {
        let big = server
            .ledger()
            .seen()
            .into_iter()
            .find(|seen| seen.path.starts_with("/bytes"));
        let fate = big.map(|seen| seen.fate);
        ensure!(
            fate == Some(strata_tests::server::Fate::Aborted),
            "{fate:?}"
        );
        Ok(())
    })
    .await?;
    unharmed(load).await
}
