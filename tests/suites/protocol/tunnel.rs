//! Websockets through both tiers: quiet, large, closed and torn off.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::peers::{self, Chat};
use strata_tests::raw::{End, RawConn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{LINKS, Link, impatient};

const SOON: Duration = Duration::from_secs(5);
const ASK: &[u8] =
    b"GET /chat HTTP/1.1\r\nhost: t\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst";

#[tokio::test]
async fn a_quiet_websocket_outlives_the_routes_timeouts() -> Result<()> {
    let peer = peers::websocket_server().await?;
    // Links that speak HTTP/2 have no upgrades, and are asked over HTTP/1.1 then.
    for link in LINKS {
        let platform = impatient(peer.address, link).start().await?;
        let chat = Chat {
            messages: 6,
            bytes: 1_000_000,
            quiet: Duration::from_secs(2),
        };
        let report = peers::websocket_client(platform.address()?, chat).await?;
        ensure!(
            report["echoed"] == 6 && report["close_code"] == 1000,
            "{link:?}: {report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn close_codes_and_reasons_pass_unchanged_both_ways() -> Result<()> {
    let mut peer = peers::websocket_server().await?;
    for link in LINKS {
        let platform = impatient(peer.address, link).start().await?;
        let address = platform.address()?;
        for (code, text) in [
            (1001, "going away"),
            (1011, "an error inside"),
            (4000, "ours: größer als 125? no"),
        ] {
            for by_server in [true, false] {
                let reason = format!("{text} {link:?} {by_server}");
                let report = peers::websocket_close(address, by_server, code, &reason).await?;
                ensure!(
                    report["code"] == code && report["reason"] == *reason,
                    "{code} {reason:?} came back as {report}"
                );
                let line = format!("^closed {code} {}$", reason.replace('?', "\\?"));
                peer.process.wait_line(&line, SOON).await?;
            }
        }
    }
    Ok(())
}

/// A tunnel with both of its ends in our hands.
async fn tunnel() -> Result<(strata_tests::topology::Platform, RawConn, TcpStream)> {
    let listener = TcpListener::bind(strata_tests::ports::free()?).await?;
    let platform = impatient(listener.local_addr()?, Link::Http1)
        .tune_regional(|file| {
            let unchecked = Some("enabled: false".to_owned());
            file.pools
                .iter_mut()
                .for_each(|pool| pool.health_check = unchecked.clone());
        })
        .start()
        .await?;
    let mut near = RawConn::connect(platform.address()?).await?;
    near.write(ASK).await?;
    let (mut far, _) = tokio::time::timeout(SOON, listener.accept()).await??;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(far.read_buf(&mut head).await? > 0, "an early end");
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    ensure!(head.contains("upgrade: websocket"), "{head}");
    far.write_all(AGREE).await?;
    // What follows the head at once belongs to the tunnel already.
    let seen = near.read_until(b"first", SOON).await;
    ensure!(
        seen.status() == Some(101) && seen.end == End::Found,
        "{}",
        seen.text()
    );
    Ok((platform, near, far))
}

#[tokio::test]
async fn bytes_flow_both_ways_after_silence() -> Result<()> {
    let (_platform, mut near, mut far) = tunnel().await?;
    // Longer than `idle` and `first_byte`, in either direction.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    near.write(b"GET / HTTP/1.1\r\n\r\nnot a request").await?;
    let mut got = vec![0; 31];
    tokio::time::timeout(SOON, far.read_exact(&mut got)).await??;
    ensure!(got.ends_with(b"not a request"), "{got:?}");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    far.write_all(b"still here").await?;
    let seen = near.read_until(b"still here", SOON).await;
    ensure!(seen.end == End::Found, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn either_end_that_dies_ends_the_other() -> Result<()> {
    let (_platform, near, mut far) = tunnel().await?;
    near.reset()?;
    let mut rest = Vec::new();
    // A close and a reset both tell the server.
    tokio::time::timeout(SOON, far.read_to_end(&mut rest))
        .await
        .context("the client's death")?
        .ok();
    let (_platform, mut near, far) = tunnel().await?;
    far.set_zero_linger()?;
    drop(far);
    let seen = near.read_to_end(SOON).await;
    ensure!(seen.is_over(), "the server's death: {seen:?}");
    Ok(())
}

/// Both sides send more than all buffers hold before either reads.
#[tokio::test]
async fn two_senders_do_not_lock_each_other() -> Result<()> {
    const EACH: usize = 30_000_000;
    let (_platform, mut near, mut far) = tunnel().await?;
    let server = tokio::spawn(async move {
        let (mut read, mut write) = far.split();
        let sending = async { write.write_all(&vec![b's'; EACH]).await };
        let reading = async {
            // Starts late, so that the client's bytes pile up.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut got = vec![0; EACH];
            read.read_exact(&mut got).await
        };
        tokio::try_join!(sending, reading)
    });
    near.write(&vec![b'c'; EACH]).await?;
    let seen = near.read_until(&[b's'; 64], SOON).await;
    ensure!(seen.end == End::Found, "nothing came back");
    let mut read = seen.bytes.len();
    while read < EACH {
        let seen = near.read_until(b"s", SOON).await;
        ensure!(seen.end == End::Found, "stuck after {read} bytes");
        read += seen.bytes.len();
    }
    tokio::time::timeout(SOON, server).await???;
    Ok(())
}

/// The same without an upgrade: a server that answers while it is sent to.
#[tokio::test]
async fn an_upload_and_its_answer_do_not_lock_each_other() -> Result<()> {
    const EACH: usize = 30_000_000;
    let listener = TcpListener::bind(strata_tests::ports::free()?).await?;
    let platform = impatient(listener.local_addr()?, Link::Http1)
        .tune_regional(|file| {
            let unchecked = Some("enabled: false".to_owned());
            file.pools
                .iter_mut()
                .for_each(|pool| pool.health_check = unchecked.clone());
        })
        .start()
        .await?;
    let server = tokio::spawn(async move {
        let (mut far, _) = listener.accept().await?;
        let (mut read, mut write) = far.split();
        let mut head = Vec::new();
        let body = loop {
            ensure!(read.read_buf(&mut head).await? > 0, "an early end");
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let sending = async {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {EACH}\r\n\r\n");
            write.write_all(head.as_bytes()).await?;
            write.write_all(&vec![b's'; EACH]).await
        };
        let reading = async {
            // Starts late, so that the client's bytes pile up.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut rest = vec![0; EACH - (head.len() - body)];
            read.read_exact(&mut rest).await
        };
        tokio::try_join!(sending, reading)?;
        anyhow::Ok(())
    });
    let mut near = RawConn::connect(platform.address()?).await?;
    let head = format!("POST /both HTTP/1.1\r\nhost: t\r\ncontent-length: {EACH}\r\n\r\n");
    near.write(head.as_bytes()).await?;
    near.write(&vec![b'c'; EACH]).await?;
    let mut read = 0;
    while read < EACH {
        let seen = near.read_until(b"s", SOON).await;
        ensure!(seen.end == End::Found, "stuck after {read} bytes");
        read += seen.bytes.len();
    }
    tokio::time::timeout(SOON, server).await???;
    Ok(())
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() -> Result<()> {
    let server = strata_tests::server::Server::start("s").await?;
    let platform = impatient(server.address(), Link::Http1).start().await?;
    let mut conn = RawConn::connect(platform.address()?).await?;
    conn.write(ASK).await?;
    let seen = conn.read_until(b"\n", SOON).await;
    ensure!(seen.status() == Some(200), "{}", seen.text());
    Ok(())
}
