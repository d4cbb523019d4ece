//! A scriptable HTTP server: HTTP/1.1, h2c by prior knowledge and, when given an identity, TLS.
//!
//! **Problem.** Resilience shows only against servers that misbehave on command: slow, broken, frozen, refusing,
//! closing connections at the wrong moment, cutting bodies short.
//!
//! **Choice.** hyper speaks the protocol; a [`Behaviour`] that tests change at any time says what to answer and what
//! to break; [`Ledger`] keeps account. Whatever lies below HTTP goes around hyper, see `conn.rs`.
//!
//! **Limits.** [`Server::freeze`] holds requests and new connections back inside this process: peers see an open port
//! that never answers, as with SIGSTOP, but the kernel keeps acknowledging bytes up to hyper's buffers.

mod answer;
mod behaviour;
mod body;
mod conn;
mod flight;
mod ledger;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::wait::eventually;

pub use self::behaviour::{Answer, Behaviour, Early, Fault, Health};
use self::conn::{ConnState, Cut, SharedStream};
pub use self::ledger::{Counts, Fate, Ledger, Seen, TEST_ID};

/// Header field with the name of the server that answered.
pub const SERVED_BY: &str = "x-served-by";
/// Header field with the seed of a patterned body.
pub const BODY_SEED: &str = "x-body-seed";
/// Header field with the length of a patterned body.
pub const BODY_BYTES: &str = "x-body-bytes";

const BACKLOG: u32 = 1024;

/// Settings of a server that cannot change once it runs.
#[derive(Debug, Default)]
pub struct Builder {
    name: String,
    address: Option<SocketAddr>,
    seed: u64,
    tls: Option<Arc<ServerConfig>>,
    behaviour: Behaviour,
}

/// A running server; dropping it closes the port and all connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    address: SocketAddr,
    tls: Option<TlsAcceptorDebug>,
    behaviour: RwLock<Arc<Behaviour>>,
    is_open: watch::Sender<bool>,
    rng: Mutex<StdRng>,
    conns: Mutex<HashMap<u64, Arc<ConnState>>>,
    ledger: Ledger,
}

/// `TlsAcceptor` with a `Debug`, which the original lacks.
#[derive(Clone)]
struct TlsAcceptorDebug(TlsAcceptor);

/// Keeps a connection in the books for as long as it lives.
struct Registered {
    shared: Arc<Shared>,
    number: u64,
}

// === impl Builder ===

impl Builder {
    /// Listens here instead of on a free address.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Seed of the generator that draws faults; 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Speaks TLS, with the protocols that `config` accepts by ALPN.
    #[must_use]
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Changes the script before the start.
    #[must_use]
    pub fn script(mut self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.behaviour);
        self
    }

    /// Starts serving.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start(self) -> Result<Server> {
        let address = match self.address {
            Some(address) => address,
            None => crate::ports::free()?,
        };
        let shared = Arc::new(Shared {
            name: self.name,
            address,
            tls: self
                .tls
                .map(|config| TlsAcceptorDebug(TlsAcceptor::from(config))),
            behaviour: RwLock::new(Arc::new(self.behaviour)),
            is_open: watch::Sender::new(true),
            rng: Mutex::new(StdRng::seed_from_u64(self.seed)),
            conns: Mutex::default(),
            ledger: Ledger::default(),
        });
        let server = Server {
            shared,
            acceptor: Mutex::new(None),
        };
        server.reopen().await?;
        Ok(server)
    }
}

// === impl Server ===

impl Server {
    /// Starts a server with the default script on a free address.
    ///
    /// # Errors
    ///
    /// When no address is free.
    pub async fn start(name: impl Into<String>) -> Result<Self> {
        Self::builder(name).start().await
    }

    /// Settings for a server called `name`, which it puts into [`SERVED_BY`].
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            ..Builder::default()
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it listens, or did before [`Server::refuse`].
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Its account of requests.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Changes the script for requests that arrive from now on.
    pub fn script(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut current = self
            .shared
            .behaviour
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut next = Behaviour::clone(&current);
        change(&mut next);
        *current = Arc::new(next);
    }

    /// Goes back to the default script.
    pub fn behave(&self) {
        self.script(|behaviour| *behaviour = Behaviour::default());
    }

    /// Stops answering, probes included; connections stay open and new ones are not taken from the backlog.
    pub fn freeze(&self) {
        self.shared.is_open.send_replace(false);
    }

    /// Goes on with what [`Server::freeze`] held back.
    pub fn thaw(&self) {
        self.shared.is_open.send_replace(true);
    }

    /// Closes the port: new connections are refused, open ones live on.
    pub async fn refuse(&self) {
        let acceptor = self.lock_acceptor().take();
        if let Some(acceptor) = acceptor {
            acceptor.abort();
            // Cancelled is the expected result; waiting makes sure that the port is closed.
            let _ = acceptor.await;
        }
    }

    /// Opens the same port again; does nothing when it is open.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn reopen(&self) -> Result<()> {
        if self.lock_acceptor().is_some() {
            return Ok(());
        }
        let address = self.shared.address;
        // A child that is being forked just now may hold the old listener until its exec.
        let what = format!("binding {address}");
        let limit = Duration::from_secs(1);
        let listener = eventually(limit, &what, async || Ok(bind(address)?)).await?;
        let task = tokio::spawn(accept_all(self.shared.clone(), listener));
        *self.lock_acceptor() = Some(task);
        Ok(())
    }

    /// Dies as a killed process does: the port closes and each connection is reset.
    pub async fn crash(&self) {
        self.refuse().await;
        self.reset_connections();
    }

    /// Resets each open connection; the port stays open.
    pub fn reset_connections(&self) {
        self.shared.cut_all(Cut::Reset);
    }

    /// Closes each open connection with FIN; the port stays open.
    pub fn close_connections(&self) {
        self.shared.cut_all(Cut::Close);
    }

    fn lock_acceptor(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(acceptor) = self.lock_acceptor().take() {
            acceptor.abort();
        }
        self.shared.cut_all(Cut::Close);
    }
}

// === impl Shared ===

impl Shared {
    fn behaviour(&self) -> Arc<Behaviour> {
        self.behaviour
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits while the server is frozen.
    async fn wait_open(&self) {
        // Cannot fail: the sender lives in self.
        let _ = self.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }

    fn cut_all(&self, how: Cut) {
        for conn in self.lock_conns().values() {
            conn.cut(how);
        }
    }

    fn lock_conns(&self) -> MutexGuard<'_, HashMap<u64, Arc<ConnState>>> {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Registered ===

impl Registered {
    fn new(shared: Arc<Shared>, stream: &Arc<TcpStream>) -> (Self, Arc<ConnState>) {
        let number = shared.ledger.connected();
        let conn = Arc::new(ConnState::new(number, stream, shared.tls.is_none()));
        shared.lock_conns().insert(number, conn.clone());
        (Self { shared, number }, conn)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.lock_conns().remove(&self.number);
        self.shared.ledger.disconnected();
    }
}

// === impl TlsAcceptorDebug ===

impl std::fmt::Debug for TlsAcceptorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        shared.wait_open().await;
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        shared.wait_open().await;
        tokio::spawn(serve(shared.clone(), stream));
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    // Without it small answers would wait for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(stream);
    let (_registered, conn) = Registered::new(shared.clone(), &stream);
    let io = SharedStream(stream.clone());
    let how = tokio::select! {
        // First, because a cut also breaks the body, at which hyper would close properly.
        biased;
        how = conn.wait_cut() => how,
        () = speak(shared.clone(), conn.clone(), io.clone()) => Cut::Close,
        () = grow_tired(&shared, &conn, &io) => {
            shared.ledger.unread(&io.hang_up());
            Cut::Close
        }
    };
    if how == Cut::Reset {
        // Fails only on a socket that is dead already.
        let _ = stream.set_zero_linger();
    }
}

async fn speak(shared: Arc<Shared>, conn: Arc<ConnState>, io: SharedStream) {
    let service = service_fn({
        let shared = shared.clone();
        move |request| answer::handle(shared.clone(), conn.clone(), request)
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // A broken connection shows in the ledger as aborted requests.
    match &shared.tls {
        None => {
            let _ = builder.serve_connection(TokioIo::new(io), service).await;
        }
        Some(TlsAcceptorDebug(acceptor)) => {
            if let Ok(stream) = acceptor.accept(io).await {
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        }
    }
}

/// Resolves when the connection has been quiet for longer than the script allows. On a busy machine a request may wait
/// unread by then, and is served, as by any server that reads before it looks at its timers.
async fn grow_tired(shared: &Shared, conn: &ConnState, io: &SharedStream) {
    loop {
        let limit = shared.behaviour().idle_close;
        let is_open = *shared.is_open.borrow();
        if limit.is_some_and(|limit| is_open && conn.quiet() >= limit) && !io.has_unread() {
            return;
        }
        let pause = if limit.is_some() { 1 } else { 20 };
        sleep(Duration::from_millis(pause)).await;
    }
}
