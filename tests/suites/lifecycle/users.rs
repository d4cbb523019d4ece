//! Users of every kind at once, each with an account of its own.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Request;
use strata_tests::eventually;
use strata_tests::http::{self as client, Dial};
use strata_tests::load::{Load, Mode, Running};
use strata_tests::pattern;
use strata_tests::peers::{self, Held, Peer};
use strata_tests::reconcile::reconcile;
use strata_tests::server::{BODY_SEED, Ledger};
use strata_tests::subject::Upstream;
use strata_tests::topology::{Platform, Topology};
use strata_tests::websocket::{CLOSE, Socket, TEXT};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(20);
/// Between two pieces of a slow body; ten of them are 3 s.
const PIECE: Duration = Duration::from_millis(300);
const PIECES: usize = 10;
const SEED: u64 = 9;

/// Two regions before servers for all kinds of users: r1 is reached over HTTP/1.1, r2 over HTTP/2, which gRPC needs.
pub(crate) struct Stage {
    pub(crate) platform: Platform,
    _websocket: Peer,
    _grpc: Peer,
}

/// Users under way.
pub(crate) struct Users {
    loads: Vec<(&'static str, Running)>,
    chats: Vec<JoinHandle<Account>>,
    uploads: Vec<JoinHandle<Account>>,
    grpc: Held,
    stop: watch::Sender<bool>,
}

/// What became of one kind of users.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) kind: &'static str,
    /// Requests or messages that went well.
    pub(crate) done: u64,
    /// Streams that were told to end, and were opened anew.
    pub(crate) parted: u64,
    pub(crate) failures: Vec<String>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Accounts(pub(crate) Vec<Account>);

// === impl Stage ===

impl Stage {
    /// With `route` as one more line of both global routes.
    pub(crate) async fn start(
        globals: usize,
        shutdown: &'static str,
        route: &'static str,
    ) -> Result<Self> {
        Self::start_from(None, globals, shutdown, route).await
    }

    /// The same with the programs of another directory.
    pub(crate) async fn start_from(
        programs: Option<&Path>,
        globals: usize,
        shutdown: &'static str,
        route: &'static str,
    ) -> Result<Self> {
        let (websocket, grpc) =
            tokio::try_join!(peers::websocket_server(), peers::grpc_server("g"))?;
        let plan = Topology::two_tier()
            .globals(globals)
            .regions(2, 2, 2)
            .external_pool("ws", &[websocket.address], Upstream::Http1)
            .external_pool("grpc", &[grpc.address], Upstream::H2c)
            .tune_global(move |file| {
                file.front.shutdown = shutdown.to_owned();
                file.route_extra = route.to_owned();
                file.regions[1].extra = "protocol: h2".to_owned();
                file.more_routes = format!(
                    "  - name: grpc\n    match: {{ path: {{ prefix: /strata.Echo/ }} }}\n    \
                     regions: {{ allowed: [r2] }}\n    {route}\n"
                );
            })
            .tune_regional(move |file| {
                file.front.shutdown = shutdown.to_owned();
                file.routes[2].prefix = "/strata.Echo/".to_owned();
                file.pools[2].health_check = Some("enabled: false".to_owned());
            });
        let plan = match programs {
            Some(programs) => plan.programs(programs),
            None => plan,
        };
        let platform = plan.start().await?;
        for server in platform.servers() {
            server.script(|s| s.chunk_delay = PIECE);
        }
        Ok(Self {
            platform,
            _websocket: websocket,
            _grpc: grpc,
        })
    }
}

// === impl Users ===

impl Users {
    /// Starts them all and waits until each kind has been served.
    pub(crate) async fn start(address: SocketAddr) -> Result<Self> {
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
    pub(crate) async fn stop(self, ledgers: Vec<&Ledger>) -> Result<Accounts> {
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
            Err(error) => account.failures.push(format!("{error:#}")),
        }
    }
    account
}

async fn upload_once(dial: &Dial) -> Result<()> {
    let (mut sender, body) = client::streamed();
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
    pub(crate) fn failed(&self) -> usize {
        self.0.iter().map(|account| account.failures.len()).sum()
    }

    pub(crate) fn parted(&self, kind: &str) -> u64 {
        let of_kind = self.0.iter().filter(|account| account.kind == kind);
        of_kind.map(|account| account.parted).sum()
    }

    /// Each kind did something.
    pub(crate) fn is_busy(&self) -> bool {
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
