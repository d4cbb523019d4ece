//! Users of every kind at once, each with an account of its own.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::eventually;
use crate::feed::feed;
use crate::http::{Dial, is_refused};
use crate::load::{Load, Mode, Running};
use crate::pattern;
use crate::peers::{self, Held, Peer};
use crate::reconcile::reconcile;
use crate::server::{BODY_SEED, Ledger};
use crate::subject::Upstream;
use crate::topology::{Platform, Topology};
use crate::websocket::{CLOSE, Socket, TEXT};
use anyhow::{Context, Result, bail, ensure};
use http::Request;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(20);
/// Between two pieces of a slow body; ten of them are 3 s.
pub const PIECE: Duration = Duration::from_millis(300);
const PIECES: usize = 10;
const SEED: u64 = 9;

/// Servers for those whom a scripted server can't serve: a websocket and a gRPC server that others wrote.
#[derive(Debug)]
pub struct Servers {
    websocket: Peer,
    grpc: Peer,
}

/// Users under way: short requests over kept, new and HTTP/2 connections, downloads and uploads of 3 s over both, websockets, and a
/// gRPC call of both directions.
#[derive(Debug)]
pub struct Users {
    loads: Vec<(&'static str, Running)>,
    chats: Vec<JoinHandle<Account>>,
    uploads: Vec<JoinHandle<Account>>,
    grpc: Held,
    stop: watch::Sender<bool>,
}

/// What became of one kind of users.
#[derive(Debug, Default)]
pub struct Account {
    /// `keep-alive`, `websocket` …
    pub kind: &'static str,
    /// Requests or messages that went well.
    pub done: u64,
    /// Streams that were told to end, and were opened anew.
    pub parted: u64,
    /// What went wrong, each time.
    pub failures: Vec<String>,
}

/// All of them.
#[derive(Debug)]
pub struct Accounts(pub Vec<Account>);

// === impl Servers ===

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// When Python or its packages are missing.
    pub async fn start() -> Result<Self> {
        let (websocket, grpc) =
            tokio::try_join!(peers::websocket_server(), peers::grpc_server("g"))?;
        Ok(Self { websocket, grpc })
    }

    /// Adds their pools to a plan with a pool for all the rest. Where there are two regions, the first is reached over HTTP/1.1,
    /// and the second over HTTP/2, which gRPC needs.
    pub fn behind(&self, plan: Topology) -> Topology {
        plan.external_pool("ws", &[self.websocket.address], Upstream::Http1)
            .external_pool("grpc", &[self.grpc.address], Upstream::H2c)
            .tune_regional(|file| {
                for route in file.routes.iter_mut().filter(|route| route.name == "grpc") {
                    "/strata.Echo/".clone_into(&mut route.prefix);
                }
                for pool in file.pools.iter_mut().filter(|pool| pool.name == "grpc") {
                    pool.health_check = Some("enabled: false".to_owned());
                }
            })
            .tune_global(|file| {
                let Some(second) = file.regions.get_mut(1) else {
                    return;
                };
                "protocol: h2".clone_into(&mut second.extra);
                file.more_routes = format!(
                    "  - name: grpc\n    match: {{ path: {{ prefix: /strata.Echo/ }} }}\n    \
                     regions: {{ allowed: [{}] }}\n    {}\n",
                    second.name, file.route_extra
                );
            })
    }
}

// === impl Users ===

impl Users {
    /// Starts them all at `address`, where `platform` is reached, and waits until each kind has been served.
    ///
    /// # Errors
    ///
    /// When a kind is not served in time.
    pub async fn start(platform: &Platform, address: SocketAddr) -> Result<Self> {
        for server in platform.servers() {
            server.script(|s| s.chunk_delay = PIECE);
        }
        let quick = |mode, rate| {
            let load = resending(Load::at(address), mode).rate(rate);
            load.posts(0.3, 500).deadline(SOON).start()
        };
        let slow = |mode| {
            let load = resending(Load::at(address), mode).rate(1.5);
            let path = format!("/bytes/{}", PIECES * 16 * 1024);
            let load = load.paths([path]);
            load.deadline(SOON).late_after(SOON).start()
        };
        let loads = vec![
            ("keep-alive", quick(Mode::KeepAlive, 50.0)?),
            ("new connections", quick(Mode::NewConnection, 15.0)?),
            ("HTTP/2", quick(Mode::H2c(4), 50.0)?),
            ("slow downloads", slow(Mode::NewConnection)?),
            ("slow downloads over HTTP/2", slow(Mode::H2c(2))?),
        ];
        let stop = watch::Sender::new(false);
        let chats = (0..4).map(|_| tokio::spawn(chat(address, stop.subscribe())));
        let dials = [Dial::http1(address), Dial::h2c(address)];
        let uploads = dials.map(|dial| tokio::spawn(upload(dial, stop.subscribe())));
        let users = Self {
            loads,
            chats: chats.collect(),
            uploads: uploads.into(),
            grpc: peers::grpc_stream(address).await?,
            stop,
        };
        eventually(SOON, "users of every kind", async || {
            let least = users.loads.iter().map(|(_, load)| load.snapshot().ok).min();
            ensure!(least > Some(1), "{least:?}");
            Ok(())
        })
        .await?;
        Ok(users)
    }

    /// Ends them all, and compares what they got with what servers saw.
    ///
    /// # Errors
    ///
    /// When a client gave no account.
    pub async fn stop(self, ledgers: Vec<&Ledger>) -> Result<Accounts> {
        self.stop.send_replace(true);
        let mut accounts = Vec::new();
        for (kind, load) in self.loads {
            let report = load.stop().await;
            let seen = reconcile(&report, ledgers.clone());
            let mut account = Account {
                kind,
                done: report.ok + report.late,
                ..Account::default()
            };
            for outcome in report.outcomes.iter().filter(|o| o.result.is_err()) {
                account.failures.push(format!("{outcome:?}"));
            }
            if account.failures.is_empty() && !seen.is_clean() {
                account.failures.push(seen.to_string());
            }
            accounts.push(account);
        }
        for talk in self.chats.into_iter().chain(self.uploads) {
            accounts.push(talk.await?);
        }
        let grpc = self.grpc.stopped(SOON).await?;
        let failures = grpc["failures"].as_array().context("failures")?;
        accounts.push(Account {
            kind: "gRPC",
            done: grpc["echoed"].as_u64().unwrap_or_default(),
            parted: grpc["parted"].as_u64().unwrap_or_default(),
            failures: failures.iter().map(ToString::to_string).collect(),
        });
        Ok(Accounts(accounts))
    }
}

/// What GOAWAY left out is asked again, as every client of HTTP/2 does; nothing else is.
fn resending(load: Load, mode: Mode) -> Load {
    let load = load.mode(mode);
    match mode {
        Mode::H2c(_) => load.resend_unsent(),
        Mode::KeepAlive | Mode::NewConnection => load.no_resend(),
    }
}

/// A websocket that is used all the time. One that is told to go away does, and comes back; any other end is a failure.
async fn chat(address: SocketAddr, stop: watch::Receiver<bool>) -> Account {
    let mut account = Account {
        kind: "websocket",
        ..Account::default()
    };
    while !*stop.borrow() {
        if let Err(error) = converse(address, &stop, &mut account).await {
            account.failures.push(format!("{error:#}"));
            sleep(Duration::from_millis(100)).await;
        }
    }
    account
}

async fn converse(
    address: SocketAddr,
    stop: &watch::Receiver<bool>,
    account: &mut Account,
) -> Result<()> {
    let mut socket = timeout(SOON, Socket::connect(address, "/ws/chat"))
        .await?
        .context("the handshake")?;
    loop {
        if *stop.borrow() {
            return socket.send(CLOSE, &1000_u16.to_be_bytes()).await;
        }
        let message = format!("message {}", account.done);
        socket.send(TEXT, message.as_bytes()).await?;
        let frame = timeout(SOON, socket.next()).await??;
        match frame.context("the end, without a close frame")? {
            frame if frame.payload == message.as_bytes() => account.done += 1,
            frame if frame.opcode == CLOSE => {
                ensure!(frame.close_code()? == 1001, "{frame:?}");
                socket.send(CLOSE, &frame.payload).await?;
                let end = timeout(SOON, socket.next()).await?;
                ensure!(end.context("after the close frame")?.is_none(), "a frame");
                account.parted += 1;
                return Ok(());
            }
            frame => bail!("another's echo: {frame:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Uploads that take 3 s, one after the other, each on a connection of its own.
async fn upload(dial: Dial, stop: watch::Receiver<bool>) -> Account {
    let mut account = Account {
        kind: "slow uploads",
        ..Account::default()
    };
    while !*stop.borrow() {
        match upload_once(&dial).await {
            Ok(()) => account.done += 1,
            // The connection said goodbye before it had the request: the next one asks again.
            Err(error) if is_refused(&error) => {}
            Err(error) => account.failures.push(format!("{error:#}")),
        }
    }
    account
}

async fn upload_once(dial: &Dial) -> Result<()> {
    let (mut sender, body) = feed();
    let request = Request::post("/upload")
        .header(BODY_SEED, SEED)
        .body(body)?;
    let mut conn = dial.connect().await?;
    let answer = tokio::spawn(async move { conn.send(request).await });
    for piece in 0..PIECES as u64 {
        // It shows in the answer when nobody takes it.
        let _ = sender
            .send_data(pattern::chunk(SEED, piece * 1_000, 1_000))
            .await;
        sleep(PIECE).await;
    }
    drop(sender);
    let report = timeout(SOON, answer).await???;
    ensure!(report.status == 200, "{report:?}");
    let report = report.json()?;
    let is_whole = report["bytes"] == PIECES * 1_000 && report["intact"] == true;
    ensure!(is_whole, "{report}");
    Ok(())
}

// === impl Accounts ===

impl Accounts {
    /// Failures of all kinds.
    pub fn failed(&self) -> usize {
        self.0.iter().map(|account| account.failures.len()).sum()
    }

    /// Streams of this kind that were told to end.
    pub fn parted(&self, kind: &str) -> u64 {
        let of_kind = self.0.iter().filter(|account| account.kind == kind);
        of_kind.map(|account| account.parted).sum()
    }

    /// What went well, of all kinds.
    pub fn done(&self) -> u64 {
        self.0.iter().map(|account| account.done).sum()
    }

    /// Each kind did something.
    pub fn is_busy(&self) -> bool {
        self.0.iter().all(|account| account.done > 0)
    }
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for account in &self.0 {
            let Account {
                kind,
                done,
                parted,
                failures,
            } = account;
            writeln!(
                f,
                "{kind}: {done} done, {parted} parted, {} failed",
                failures.len()
            )?;
            for failure in failures.iter().take(5) {
                writeln!(f, "    {failure}")?;
            }
        }
        Ok(())
    }
}
