//! HTTP/1 connections: from one request's head to the next.
//!
//! The head is read here, not by Pingora's session, which limits each read but not the whole: a client
//! that sends a byte a minute would hold a connection for ever, on a reused one without any limit. A
//! complete head is checked byte by byte for ambiguity and handed to the session as if it had been
//! pipelined, without a copy.

use super::{Connection, h2};
use crate::clock;
use crate::exchange;
use crate::wire::Wire;
use crate::worker::Worker;
use bytes::BytesMut;
use lb_core::config::model::Limits;
use lb_core::http::head::{Framing, HeadFault, HeadInfo, HeadLimits, check_head, find_head_end};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for the rest of a head.
const HEAD_BUFFER: usize = 2 << 10;
/// How long a refused client may take to read its answer.
const LINGER: Duration = Duration::from_secs(2);

/// What a connection begins with.
enum Start {
    /// A head and where it ends.
    Head(HeadInfo, usize),
    Preface,
    /// The client left, or stayed silent.
    Gone,
    Slow,
    Fault(HeadFault),
}

/// Serves a connection until one side ends it.
pub(super) async fn serve(worker: &Worker, io: Wire, connection: Connection, h1: bool, h2c: bool) {
    let mut io = Box::new(io.detach());
    let mut buffer = BytesMut::new();
    let mut served = 0u32;
    // Waits for the connection's whole life: to register anew for each request would cost each request.
    let lifecycle = &worker.shared.lifecycle;
    let turn = clock::with_rng(|rng| lifecycle.draw(clock::now(), rng));
    let mut closing = lifecycle.closing();
    let mut closing = std::pin::pin!(closing.reached());
    loop {
        let plan = worker.shared.plan.load_full();
        let limits = &plan.limits;
        let start = read_head(
            closing.as_mut(),
            &mut io,
            &mut buffer,
            limits,
            h2c && served == 0,
        )
        .await;
        match start {
            Ok(Start::Head(info, end)) if h1 => {
                let ahead = buffer.get(end..).unwrap_or_default();
                if info.framing == Framing::Chunked
                    && let Err(fault) = io.expect_chunks(ahead)
                {
                    worker.shared.metrics.reject_as(fault.label());
                    return refuse(&mut io, 400, fault.reason()).await;
                }
                served = served.saturating_add(1);
                let last = limits.keepalive_requests > 0 && served >= limits.keepalive_requests;
                let leaves = lifecycle.is_leaving() && lifecycle.is_due(turn, clock::now());
                let stays = !leaves && !worker.shared.overload.closes();
                let keep = info.is_persistent() && !last && stays;
                let head = std::mem::take(&mut buffer);
                // Boxed, so that a connection that is idle does not hold the room of a request.
                match Box::pin(request(worker, io, connection, head, keep, limits)).await {
                    Some((next, rest)) => (io, buffer) = (next, rest),
                    None => return,
                }
            }
            Ok(Start::Preface) => {
                io.unread(buffer.freeze());
                return Box::pin(h2::serve(worker, io.attach(), connection)).await;
            }
            Ok(Start::Fault(fault)) => {
                worker.shared.metrics.reject_as(fault.label());
                return refuse(&mut io, fault.status(), fault.reason()).await;
            }
            Ok(Start::Slow) => {
                worker.shared.metrics.reject_as("slow_head");
                return refuse(&mut io, 408, "the request's head did not arrive in time").await;
            }
            Ok(Start::Head(..) | Start::Gone) | Err(_) => return,
        }
    }
}

/// Reads up to the end of a head. `buffer` may hold the start of it already.
async fn read_head(
    closing: Pin<&mut impl Future<Output = ()>>,
    io: &mut Wire,
    buffer: &mut BytesMut,
    limits: &Limits,
    h2c: bool,
) -> io::Result<Start> {
    if buffer.is_empty() {
        let first = pingora_timeout::timeout(limits.keepalive_timeout.get(), io.read_first(buffer));
        let read = tokio::select! {
            biased;
            read = first => read,
            () = closing => return Ok(Start::Gone),
        };
        match read {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Err(error)) => return Err(error),
            _ => return Ok(Start::Gone),
        }
    }
    if let Some(start) = inspect(buffer, 0, limits, h2c) {
        return Ok(start);
    }
    let rest = finish_head(io, buffer, limits, h2c);
    match pingora_timeout::timeout(limits.header_timeout.get(), rest).await {
        Ok(start) => start,
        Err(_) => Ok(Start::Slow),
    }
}

/// Reads on until the head is complete or refused.
async fn finish_head(
    io: &mut Wire,
    buffer: &mut BytesMut,
    limits: &Limits,
    h2c: bool,
) -> io::Result<Start> {
    loop {
        let searched = buffer.len();
        buffer.reserve(HEAD_BUFFER);
        if io.read_buf(buffer).await? == 0 {
            return Ok(Start::Gone);
        }
        if let Some(start) = inspect(buffer, searched, limits, h2c) {
            return Ok(start);
        }
    }
}

/// What `buffer` begins with, when that can be told.
fn inspect(buffer: &[u8], searched: usize, limits: &Limits, h2c: bool) -> Option<Start> {
    if h2c && PREFACE.starts_with(buffer.get(..PREFACE.len()).unwrap_or(buffer)) {
        return (buffer.len() >= PREFACE.len()).then_some(Start::Preface);
    }
    let limits = head_limits(limits);
    match find_head_end(buffer, searched) {
        Some(end) => {
            let head = buffer.get(..end).unwrap_or_default();
            let checked = check_head(head, &limits);
            Some(checked.map_or_else(Start::Fault, |info| Start::Head(info, end)))
        }
        None if buffer.len() > limits.max_size => Some(Start::Fault(HeadFault::HeadSize)),
        None => None,
    }
}

pub(super) fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        max_size: limits.max_header_size.as_usize(),
        max_fields: limits.max_headers,
        max_target: limits.max_target.as_usize(),
    }
}

/// Serves one request; gives the connection back when it can carry another, with bytes read ahead.
async fn request(
    worker: &Worker,
    io: Box<Wire>,
    connection: Connection,
    head: BytesMut,
    keep: bool,
    limits: &Limits,
) -> Option<(Box<Wire>, BytesMut)> {
    let mut session = ServerSession::new_http1(io as Stream);
    session.set_pipelining_enabled(true);
    session.set_pipelined_prefix(head);
    session.set_read_timeout(Some(limits.body_timeout.get()));
    session.set_write_timeout(Some(limits.write_timeout.get()));
    session.set_total_drain_timeout(Some(LINGER));
    match session.read_request().await {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            log::debug!("a head that passed the strict check was refused by the parser: {error}");
            let _ = session.respond_error(400).await;
            return None;
        }
    }
    if !keep {
        session.set_keepalive(None);
    }
    if !exchange::serve(worker, &mut session, connection).await {
        return None;
    }
    let (stream, rest) = session.finish().await.ok().flatten()?.into_parts();
    let io = stream.into_any().downcast::<Wire>().ok()?;
    Some((io, rest.unwrap_or_default()))
}

/// Answers a head that was never parsed, and closes.
async fn refuse(io: &mut Wire, status: u16, reason: &str) {
    let phrase = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let body = format!("{status} {phrase}: {reason}\n");
    let answer = format!(
        "HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let farewell = async {
        io.write_all(answer.as_bytes()).await?;
        io.shutdown().await?;
        // Closing with unread bytes would reset the connection and could take the answer with it.
        let mut sink = BytesMut::with_capacity(HEAD_BUFFER);
        while io.read_buf(&mut sink).await? > 0 {
            sink.clear();
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, farewell).await;
}
