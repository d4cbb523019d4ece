//! Binding, and the accept loop.

use super::caps::{Counts, Place};
use super::{Connection, TlsListener, h1, h2};
use crate::handover::{Gate, Slot};
use crate::wire::Wire;
use crate::worker::Worker;
use futures_util::FutureExt;
use lb_core::config::model::{Listener, Protocol};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Connections that wait in the kernel.
const BACKLOG: i32 = 4096;

/// Why an address can't be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{name}\" can't bind {address}: {source}{hint}")]
pub struct ListenError {
    name: String,
    address: SocketAddr,
    source: io::Error,
    hint: &'static str,
}

/// A bound listener of one thread.
#[derive(Debug)]
pub struct BoundListener {
    /// Its name in the configuration.
    pub name: String,
    /// Its address, with the port that was chosen when 0 was asked for.
    pub address: SocketAddr,
    /// Its connections, over all threads.
    pub counts: Arc<Counts>,
    /// Its place in the process.
    pub(crate) slot: Arc<Slot>,
    /// Its queue begins when an upgrade is settled, because it would end with this process.
    pub(crate) late: bool,
    socket: std::net::TcpListener,
    h1: bool,
    h2c: bool,
    tls: Option<Arc<TlsListener>>,
}

/// How a listener's connections begin.
#[derive(Clone)]
struct Entry {
    h1: bool,
    h2c: bool,
    acceptor: Option<TlsAcceptor>,
    counts: Arc<Counts>,
}

/// Binds a listener once for each of `threads`, by `SO_REUSEPORT`, so that the kernel spreads
/// connections over them and no thread wakes for another's. With `upgrade`, another process serves: the sockets that it handed over
/// come first, and nothing is accepted before its word.
///
/// # Errors
/// [`ListenError`] with a remedy. Nothing stays bound.
pub(crate) fn bind(
    listener: &Listener,
    tls: Option<&Arc<TlsListener>>,
    threads: usize,
    inherited: Vec<std::net::TcpListener>,
    upgrade: bool,
) -> Result<Vec<BoundListener>, ListenError> {
    let protocols = listener.effective_protocols();
    let mut address = listener.address;
    let counts = Arc::new(Counts::default());
    let late = !inherited.is_empty();
    if late && inherited.len() < threads {
        share(&inherited);
    }
    let gate = if upgrade { Gate::Shut } else { Gate::Open };
    let fault = |address, source: io::Error| ListenError {
        name: listener.name.to_string(),
        address,
        hint: hint(&source),
        source,
    };
    let mut bound = Vec::with_capacity(threads.max(inherited.len()));
    let mut inherited = inherited.into_iter();
    while bound.len() < threads || inherited.len() > 0 {
        let (socket, late) = match inherited.next() {
            Some(socket) => (socket, false),
            None => {
                let opened = open(address, threads > 1 || late, !upgrade);
                (opened.map_err(|source| fault(address, source))?, late)
            }
        };
        if let Ok(local) = socket.local_addr() {
            address = local;
        }
        bound.push(BoundListener {
            name: listener.name.to_string(),
            address,
            counts: counts.clone(),
            slot: Slot::new(listener.name.as_str(), address, gate),
            late,
            socket,
            h1: protocols.contains(&Protocol::Http1),
            h2c: protocols.contains(&Protocol::H2c),
            tls: tls.cloned(),
        });
    }
    Ok(bound)
}

/// Lets further sockets be bound beside these, which may have been alone until now.
fn share(sockets: &[std::net::TcpListener]) {
    for socket in sockets {
        if let Err(error) = socket2::SockRef::from(socket).set_reuse_port(true) {
            log::warn!("a socket can't be shared: {error}");
        }
    }
}

/// Accepts until the process stops accepting.
pub(crate) async fn run(worker: Arc<Worker>, listener: BoundListener) {
    let mut gate = listener.slot.watch();
    if !gate.opened().await {
        return;
    }
    let listening = socket2::SockRef::from(&listener.socket).listen(BACKLOG);
    let socket = match listening.and_then(|()| TcpListener::from_std(listener.socket)) {
        Ok(socket) => Arc::new(socket),
        Err(error) => {
            log::error!("listener {} {}: {error}", listener.name, listener.address);
            return;
        }
    };
    listener.slot.hold(&socket);
    let entry = Entry {
        h1: listener.h1,
        h2c: listener.h2c,
        acceptor: listener
            .tls
            .map(|tls| TlsAcceptor::from(tls.config.clone())),
        counts: listener.counts,
    };
    let mut closing = worker.shared.lifecycle.closing();
    while gate.opened().await {
        let accepted = tokio::select! {
            biased;
            () = gate.left() => continue,
            () = closing.reached() => return sweep(&worker, &entry, &socket),
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(&worker, &entry, stream, peer),
            Err(error) => {
                log::warn!("listener {}: accept: {error}", listener.name);
                // Out of descriptors: the connection stays queued, and a pause lets others end.
                if matches!(error.raw_os_error(), Some(23 | 24)) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Takes what waits in the queue of a socket that is about to be closed, which would reset it.
fn sweep(worker: &Arc<Worker>, entry: &Entry, socket: &TcpListener) {
    let next = || tokio::task::unconstrained(socket.accept()).now_or_never();
    while let Some(Ok((stream, peer))) = next() {
        admit(worker, entry, stream, peer);
    }
}

fn admit(worker: &Arc<Worker>, entry: &Entry, stream: TcpStream, peer: SocketAddr) {
    let shared = &worker.shared;
    let plan = shared.plan.load();
    let ip = peer.ip().to_canonical();
    let refuse = |limit: &str| {
        let refused = &shared.metrics.families.connections_refused;
        refused.with_label_values(&[limit]).inc();
    };
    let is_trusted = plan.trust.is_trusted(ip);
    // The tier above is answered, and goes elsewhere with it: what it had sent on a connection that just closes, it could not repeat.
    if shared.overload.refuses() && !is_trusted {
        return refuse("overload");
    }
    let place = match shared
        .caps
        .admit(ip, is_trusted, &entry.counts, &plan.limits)
    {
        Ok(place) => place,
        Err(full) => return refuse(full.label()),
    };
    let _ = stream.set_nodelay(true);
    tokio::spawn(serve(worker.clone(), entry.clone(), stream, peer, place));
}

async fn serve(
    worker: Arc<Worker>,
    entry: Entry,
    stream: TcpStream,
    peer: SocketAddr,
    _place: Place,
) {
    let Some(acceptor) = entry.acceptor else {
        let connection = Connection { peer, tls: false };
        return h1::serve(
            &worker,
            Wire::plain(stream),
            connection,
            entry.h1,
            entry.h2c,
        )
        .await;
    };
    let limit = worker.shared.plan.load().limits.tls_handshake_timeout.get();
    match tokio::time::timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let connection = Connection { peer, tls: true };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = Wire::tls(stream);
            if is_h2 {
                Box::pin(h2::serve(&worker, io, connection)).await;
            } else {
                h1::serve(&worker, io, connection, entry.h1, false).await;
            }
        }
        Ok(Err(error)) => log::debug!("TLS handshake with {peer}: {error}"),
        Err(_) => log::debug!("TLS handshake with {peer}: no end within {limit:?}"),
    }
}

fn open(address: SocketAddr, share: bool, listen: bool) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if listen {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            ": another process serves there; stop it or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            ": ports below 1024 need CAP_NET_BIND_SERVICE; grant it or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has the address",
        _ => "",
    }
}
