//! Binding, the thread, and the life of a connection.

use super::{
    AdminSource, CONNECTION_LIFETIME, Gate, HEAD_TIMEOUT, MAX_CONNECTIONS, MAX_HEAD, Visitor,
    answer::Body, local::Listeners, local::LocalDoor, routes,
};
use crate::handover::{Gate as Door, Slot, Watch};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Pause after the system refused to accept, which happens when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Header fields of a request.
const MAX_FIELDS: usize = 64;

/// Starts the admin listener.
#[derive(Debug)]
pub struct AdminServer;

/// Answers requests, however they come in.
#[derive(Clone)]
pub(crate) struct Desk {
    source: Arc<dyn AdminSource>,
    gate: Arc<Gate>,
}

/// Where the API is to be had.
#[derive(Debug)]
pub(crate) struct Doors {
    /// For all.
    pub(crate) listener: std::net::TcpListener,
    /// The listener's place in the process.
    pub(crate) slot: Arc<Slot>,
    /// For the user of this process, also when another process has the listener.
    pub(crate) local: Option<(Arc<LocalDoor>, Listeners)>,
}

/// The running listener. It stops when this is dropped, so keep it until the process exits.
#[must_use = "the admin listener stops when its handle is dropped"]
#[derive(Debug)]
pub struct AdminHandle {
    local_addr: SocketAddr,
    local: Option<Arc<LocalDoor>>,
    /// Closed by the drop, which is the signal to stop.
    _stop: oneshot::Sender<Infallible>,
}

/// Why the admin listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address could not be bound.
    #[error("the admin listener can't bind {address}: {source}; {remedy}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        remedy: String,
    },
    /// The thread or its event loop could not be made.
    #[error("the admin listener's thread can't start: {0}; raise the limit on processes or files")]
    Thread(#[source] io::Error),
}

// === impl AdminServer ===

impl AdminServer {
    /// Binds `address` and serves `source` on a thread of its own; `gate` decides who may write. Port 0 lets the system choose.
    ///
    /// # Errors
    /// [`AdminError`] names the address and what to do about it.
    pub fn start(
        address: SocketAddr,
        source: Arc<dyn AdminSource>,
        gate: Gate,
    ) -> Result<AdminHandle, AdminError> {
        let listener = Self::bind(address)?;
        let bound = listener.local_addr().unwrap_or(address);
        let slot = Slot::new("admin", bound, Door::Open);
        Self::open(
            Doors {
                listener,
                slot,
                local: None,
            },
            source,
            gate,
        )
    }

    /// Binds `address`.
    pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener, AdminError> {
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        bound.map_err(|source| AdminError::Bind {
            address,
            remedy: remedy(&source, address),
            source,
        })
    }

    /// Serves `source` at `doors` on a thread of its own.
    pub(crate) fn open(
        doors: Doors,
        source: Arc<dyn AdminSource>,
        gate: Gate,
    ) -> Result<AdminHandle, AdminError> {
        let local_addr = doors.slot.address;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let desk = Desk {
            source,
            gate: Arc::new(gate),
        };
        let (local, listeners) = doors.local.unzip();
        let (listener, slot) = (doors.listener, doors.slot);
        let run = async move {
            tokio::select! {
                () = accept(listener, slot, listeners, desk) => {}
                _ = stopped => {}
            }
        };
        std::thread::Builder::new()
            .name("lb-admin".to_owned())
            .spawn(move || runtime.block_on(run))
            .map_err(AdminError::Thread)?;
        Ok(AdminHandle {
            local_addr,
            local,
            _stop: stop,
        })
    }
}

// === impl AdminHandle ===

impl AdminHandle {
    /// The address that is bound, with the port that the system chose.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The socket in the run directory, if there is one.
    pub(crate) fn local(&self) -> Option<Arc<LocalDoor>> {
        self.local.clone()
    }
}

fn remedy(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process has it (`ss -ltnp 'sport = :{port}'` names it): stop that one or change `admin.address`"
        ),
        io::ErrorKind::PermissionDenied => {
            "choose a port from 1024 on in `admin.address`, or grant CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no address {}: use 127.0.0.1, or 0.0.0.0 for all, in `admin.address`",
            address.ip()
        ),
        _ => "change `admin.address`".to_owned(),
    }
}

/// Accepts at both doors.
async fn accept(
    listener: std::net::TcpListener,
    slot: Arc<Slot>,
    local: Option<Listeners>,
    desk: Desk,
) {
    let tcp = match TcpListener::from_std(listener) {
        Ok(tcp) => Arc::new(tcp),
        Err(error) => return log::error!("admin: the listener can't be watched: {error}"),
    };
    slot.hold(&tcp);
    let inside = async {
        match local {
            Some(listeners) => accept_local(listeners, &desk).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(accept_all(&tcp, &slot, &desk), inside);
}

/// Whoever reaches the address, while this process has it.
async fn accept_all(listener: &TcpListener, slot: &Slot, desk: &Desk) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut door = slot.watch();
    while door.opened().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return; // Never closed.
        };
        tokio::select! {
            biased;
            () = door.left() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let visitor = Visitor {
                        name: from.to_string(),
                        trusted: false,
                    };
                    spawn(stream, desk, visitor, place, Some(slot.watch()));
                }
                Err(error) => pause(&error).await,
            },
        }
    }
}

/// The user of this process and root: the socket is in a directory of theirs.
async fn accept_local(mut listeners: Listeners, desk: &Desk) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut listener: Option<UnixListener> = None;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            Some(fresh) = listeners.recv() => {
                match UnixListener::from_std(fresh) {
                    Ok(fresh) => listener = Some(fresh),
                    Err(error) => log::error!("admin: the local socket can't be watched: {error}"),
                }
                continue;
            }
            accepted = next(listener.as_ref()) => accepted,
        };
        match accepted {
            Ok(stream) => {
                let visitor = Visitor {
                    name: "the local socket".to_owned(),
                    trusted: true,
                };
                spawn(stream, desk, visitor, place, None);
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn next(listener: Option<&UnixListener>) -> io::Result<UnixStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

async fn pause(error: &io::Error) {
    log::warn!("admin: can't accept a connection: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn spawn(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    desk: &Desk,
    visitor: Visitor,
    place: OwnedSemaphorePermit,
    door: Option<Watch>,
) {
    let desk = desk.clone();
    tokio::spawn(async move {
        serve(stream, desk, visitor, door).await;
        drop(place);
    });
}

/// Returns when another process answers at this address: whoever asks next is to ask that one.
async fn shut(door: Option<Watch>) {
    match door {
        Some(mut door) => door.left().await,
        None => std::future::pending().await,
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    desk: Desk,
    visitor: Visitor,
    door: Option<Watch>,
) {
    let visitor = Arc::new(visitor);
    let over = async {
        tokio::select! {
            () = tokio::time::sleep(CONNECTION_LIFETIME) => {}
            () = shut(door) => {}
        }
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, visitor) = (desk.clone(), visitor.clone());
        async move {
            let response = routes::answer(&*desk.source, &desk.gate, &visitor, request).await;
            Ok::<Response<Body>, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_FIELDS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = over => {
            connection.as_mut().graceful_shutdown();
            // A peer that doesn't read its answer loses it here.
            match tokio::time::timeout(HEAD_TIMEOUT, connection).await {
                Ok(ended) => ended,
                Err(_late) => return,
            }
        }
    };
    if let Err(error) = ended {
        log::debug!("admin: a connection ended early: {error}");
    }
}
