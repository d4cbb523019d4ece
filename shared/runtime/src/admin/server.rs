//! Binding, the thread, and the life of a connection.

use super::{
    AdminSource, CONNECTION_LIFETIME, Gate, HEAD_TIMEOUT, MAX_CONNECTIONS, MAX_HEAD, Visitor,
    answer::Body, routes,
};
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
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

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

/// The running listener. It stops when this is dropped, so keep it until the process exits.
#[must_use = "the admin listener stops when its handle is dropped"]
#[derive(Debug)]
pub struct AdminHandle {
    local_addr: SocketAddr,
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
        let bind_error = |source: io::Error| AdminError::Bind {
            address,
            remedy: remedy(&source, address),
            source,
        };
        let listener = std::net::TcpListener::bind(address).map_err(bind_error)?;
        listener.set_nonblocking(true).map_err(bind_error)?;
        let local_addr = listener.local_addr().map_err(bind_error)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let desk = Desk {
            source,
            gate: Arc::new(gate),
        };
        std::thread::Builder::new()
            .name("lb-admin".to_owned())
            .spawn(move || runtime.block_on(run(listener, desk, stopped)))
            .map_err(AdminError::Thread)?;
        Ok(AdminHandle {
            local_addr,
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

async fn run(listener: std::net::TcpListener, desk: Desk, stopped: oneshot::Receiver<Infallible>) {
    match TcpListener::from_std(listener) {
        Ok(listener) => tokio::select! {
            () = accept(listener, desk) => {}
            _ = stopped => {}
        },
        Err(error) => log::error!("admin: the listener can't be watched: {error}"),
    }
}

async fn accept(listener: TcpListener, desk: Desk) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return; // Never closed.
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                let desk = desk.clone();
                let visitor = Visitor {
                    name: from.to_string(),
                    trusted: false,
                };
                tokio::spawn(async move {
                    serve(stream, desk, visitor).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::warn!("admin: can't accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    desk: Desk,
    visitor: Visitor,
) {
    let visitor = Arc::new(visitor);
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
        () = tokio::time::sleep(CONNECTION_LIFETIME) => {
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
