//! Users of every kind, and what became of their requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use http_body_util::BodyExt;
use strata_tests::eventually;
use strata_tests::http::{Dial, empty};
use strata_tests::load::{Load, Mode, Report, Running};
use strata_tests::pattern;
use strata_tests::raw::RawConn;
use strata_tests::reconcile::reconcile;
use strata_tests::server::BODY_SEED;
use strata_tests::topology::Platform;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::rig::SOON;

const ASK: &[u8] =
    b"GET /chat/ HTTP/1.1\r\nhost: t\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const DOWNLOAD: usize = 12_000_000;

/// Loads and long connections.
pub(crate) struct Users {
    loads: Vec<Running>,
    tasks: JoinSet<Result<()>>,
    done: Arc<AtomicU64>,
    stop: tokio::sync::watch::Sender<bool>,
}

// === impl Users ===

impl Users {
    /// Short requests over every kind of connection. Sent a second time is only what had not left the client when its connection
    /// said goodbye, as any client does.
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let load = |mode, rate| {
            let load = Load::at(address).mode(mode).rate(rate);
            // Two cores run everything here: late is what matters elsewhere.
            let load = load.late_after(Duration::from_secs(4));
            load.posts(0.3, 500).resend_unsent().start()
        };
        let loads = [
            load(Mode::KeepAlive, 60.0),
            load(Mode::NewConnection, 40.0),
            load(Mode::H2c(4), 40.0),
        ];
        Ok(Self {
            loads: loads.into_iter().collect::<Result<_>>()?,
            tasks: JoinSet::new(),
            done: Arc::default(),
            stop: tokio::sync::watch::Sender::new(false),
        })
    }

    /// One that downloads slowly, again and again. Each download is to be whole.
    pub(crate) fn add_download(&mut self, address: SocketAddr) {
        let (stop, done) = (self.stop.subscribe(), self.done.clone());
        self.tasks.spawn(async move {
            while !*stop.borrow() {
                download(address).await.context("download")?;
                done.fetch_add(1, Relaxed);
            }
            Ok(())
        });
    }

    /// One that chats over a websocket. It may be closed between two messages; then it comes again.
    pub(crate) fn add_chat(&mut self, address: SocketAddr) {
        let (stop, done) = (self.stop.subscribe(), self.done.clone());
        self.tasks.spawn(async move {
            while !*stop.borrow() {
                let mut near = RawConn::connect(address).await.context("a new chat")?;
                near.write(ASK).await?;
                let agreed = near.read_until(b"\r\n\r\n", SOON).await;
                ensure!(agreed.status() == Some(101), "chat: {}", agreed.text());
                while !*stop.borrow() {
                    if near.write(b"ping").await.is_err() {
                        break;
                    }
                    let echoed = near.read_until(b"ping", SOON).await;
                    if !echoed.text().contains("ping") {
                        break;
                    }
                    done.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Ok(())
        });
    }

    /// Waits until all are at work.
    pub(crate) async fn at_work(&self) -> Result<()> {
        let before: Vec<u64> = self.loads.iter().map(Running::sent).collect();
        eventually(SOON, "users of every kind", async || {
            for (load, before) in self.loads.iter().zip(&before) {
                ensure!(load.sent() > before + 20, "{} {before}", load.sent());
            }
            Ok(())
        })
        .await
    }

    /// Ends them; fails when a request did, or when the servers' account differs from theirs. Gives back how many there were.
    pub(crate) async fn satisfied(self, platform: &Platform) -> Result<u64> {
        let (sent, reports) = self.end().await?;
        for report in reports {
            ensure!(report.failed == 0, "{report}");
            let account = reconcile(&report, platform.ledgers());
            ensure!(account.is_clean(), "{account:?}");
        }
        Ok(sent)
    }

    /// Ends them; tells how many requests and messages there were, and what became of the short requests.
    pub(crate) async fn end(mut self) -> Result<(u64, Vec<Report>)> {
        self.stop.send_replace(true);
        let (mut sent, mut failed, mut resent) = (self.done.load(Relaxed), 0, 0);
        let mut reports = Vec::new();
        for load in self.loads.drain(..) {
            let report = load.stop().await;
            if report.failed > 0 {
                eprintln!("{report}\n{}", report.failures());
            }
            resent += report.resent;
            sent += report.sent;
            failed += report.failed;
            reports.push(report);
        }
        while let Some(task) = self.tasks.join_next().await {
            task??;
        }
        eprintln!("{sent} requests and messages, {resent} sent again, {failed} failed");
        Ok((sent, reports))
    }
}

async fn download(address: SocketAddr) -> Result<()> {
    let mut conn = Dial::http1(address).connect().await?;
    let request = Request::get(format!("/bytes/{DOWNLOAD}")).body(empty())?;
    let response = conn.begin(request).await?;
    let seed = response.headers().get(BODY_SEED).context("no seed")?;
    let mut checker = pattern::Checker::new(seed.to_str()?.parse()?);
    let mut body = response.into_body();
    let mut since = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            checker.feed(&data);
            since += data.len();
        }
        // About 4 MB a second.
        if since > 200_000 {
            since = 0;
            sleep(Duration::from_millis(50)).await;
        }
    }
    ensure!(
        checker.is_intact() && checker.seen() == DOWNLOAD as u64,
        "{} of {DOWNLOAD} bytes",
        checker.seen()
    );
    Ok(())
}

/// A server that agrees to websockets, and sends back what it gets.
pub(crate) async fn echo() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            tasks.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let (mut input, mut output) = stream.split();
                if output.write_all(AGREE).await.is_ok() {
                    let _ = tokio::io::copy(&mut input, &mut output).await;
                }
            });
        }
    });
    Ok((address, task))
}
