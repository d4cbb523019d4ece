//! HTTP/2 connections: each stream is a request of its own.

use super::Connection;
use super::h1::head_limits;
use crate::clock;
use crate::exchange;
use crate::wire::Wire;
use crate::worker::Worker;
use bytes::Bytes;
use lb_core::config::model::{H2Limits, Limits};
use lb_core::http::h2::check_h2;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession as H2Session, default_h2_options, handshake,
};
use pingora_core::protocols::{Digest, Stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// How long a client may take for its preface and first settings, and for the goodbye.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take to close after our goodbye: what it sends until it has read that must not reset the connection.
const LINGER: Duration = Duration::from_millis(500);
/// How long a connection may be idle while this process is overloaded.
const IDLE_IN_OVERLOAD: Duration = Duration::from_millis(500);
/// Requests that the library refuses on one connection before it is closed.
const MAX_REJECTED: u32 = 32;
/// Receive window of a stream: a stream that the upstream takes slowly holds at most this.
const STREAM_WINDOW: u32 = 1 << 20;
/// Receive window of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;

type Inner = ::h2::server::Connection<Stream, Bytes>;

/// Counts a connection's running streams, so that an idle one can be told.
struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Serves a connection until one side ends it.
pub(super) async fn serve(worker: &Worker, io: Wire, connection: Connection) {
    let limits = worker.shared.plan.load().limits.clone();
    let options = options(&limits.h2);
    let handle = io.handle();
    let shaken = tokio::time::timeout(HANDSHAKE, handshake(Box::new(io), Some(options))).await;
    let Ok(Ok(h2)) = shaken else { return };
    serve_streams(worker, h2, connection, &limits).await;
    handle.linger(LINGER).await;
}

/// Takes streams until the connection is to be closed.
async fn serve_streams(worker: &Worker, mut h2: Inner, connection: Connection, limits: &Limits) {
    let running = Arc::new(AtomicU32::new(0));
    let lifecycle = &worker.shared.lifecycle;
    let turn = clock::with_rng(|rng| lifecycle.draw(clock::now(), rng));
    let mut due = std::pin::pin!(lifecycle.due(turn, clock::now));
    let mut ending = lifecycle.ending();
    let mut ending = std::pin::pin!(ending.reached());
    let (mut left, mut rejected) = (false, 0);
    let mut overload = worker.shared.overload.watch();
    loop {
        let idle = limits.h2.idle_timeout.get();
        // After the goodbye, what was written last may still be on its way to a slow client.
        let patience = match (worker.shared.overload.closes(), left) {
            (false, false) => idle,
            (false, true) => idle.max(HANDSHAKE),
            (true, false) => IDLE_IN_OVERLOAD,
            (true, true) => HANDSHAKE,
        };
        let accepted = tokio::select! {
            accepted = H2Session::from_h2_conn(&mut h2, digest()) => accepted,
            () = &mut due, if !left => {
                h2.graceful_shutdown();
                left = true;
                continue;
            }
            // Streams that end in the middle, and a client that may not take them for whole.
            () = &mut ending, if left => {
                if running.load(Relaxed) > 0 {
                    h2.abrupt_shutdown(::h2::Reason::CANCEL);
                }
                return finish(h2).await;
            }
            // The patience is another one now.
            Ok(()) = overload.changed() => continue,
            () = pingora_timeout::sleep(patience) => {
                if running.load(Relaxed) == 0 {
                    if left {
                        return finish(h2).await;
                    }
                    // What crosses the goodbye is served.
                    h2.graceful_shutdown();
                    left = true;
                }
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                running.fetch_add(1, Relaxed);
                spawn(
                    worker,
                    session,
                    connection,
                    Running(running.clone()),
                    limits,
                );
            }
            Ok(Some(H2Accept::Rejected)) if rejected < MAX_REJECTED => rejected += 1,
            _ => return,
        }
    }
}

/// Writes what is left to write. A request that comes now is refused, which tells its client that it was not looked at.
async fn finish(mut h2: Inner) {
    let rest = async {
        while let Some(Ok((_, mut answer))) = h2.accept().await {
            answer.send_reset(::h2::Reason::REFUSED_STREAM);
        }
    };
    let _ = tokio::time::timeout(HANDSHAKE, rest).await;
}

fn spawn(
    worker: &Worker,
    session: H2Session,
    connection: Connection,
    running: Running,
    limits: &Limits,
) {
    let Some(worker) = worker.handle() else {
        return;
    };
    let write_timeout = limits.write_timeout.get();
    let head_limits = head_limits(limits);
    tokio::spawn(async move {
        let _running = running;
        let mut session = ServerSession::new_http2(session);
        session.set_write_timeout(Some(write_timeout));
        let head = session.req_header();
        if let Err(fault) = check_h2(&head.method, &head.uri, &head.headers, &head_limits) {
            worker.shared.metrics.reject_as(fault.label());
            let _ = session.respond_error(fault.status()).await;
            return;
        }
        if exchange::serve(&worker, &mut session, connection).await {
            let _ = session.finish().await;
        }
    });
}

fn digest() -> Arc<Digest> {
    thread_local! {
        static NONE: Arc<Digest> = Arc::new(Digest {
            ssl_digest: None,
            timing_digest: Vec::new(),
            proxy_digest: None,
            socket_digest: None,
        });
    }
    NONE.with(Arc::clone)
}

fn options(limits: &H2Limits) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_list.get()).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(limits.max_resets)
        .max_pending_accept_reset_streams(limits.max_resets)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    options
}
