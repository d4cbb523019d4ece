//! Copies of a share of a route's requests, sent to another pool.
//!
//! **Problem.** A new version should see real traffic before users see it, and must be able to do nothing to them: not by
//! its answers, not by its slowness, not by its death.
//!
//! **Choice.** The copy's head is made when the request is routed; it is sent once the user's own exchange is over, by a
//! task of its own, with the body as far as it was kept for retries. Nobody waits for it; its answer is read
//! and dropped. Copies that are under way are bounded per route: beyond, they are dropped and counted.
//!
//! **Rejected.** Sending both at once: the body would have to be fed to two peers at the pace of the slower one,
//! or kept without bound.
//!
//! **Limits.** Requests with more than 64 KiB of body, upgrades, and those whose client left while sending are not
//! copied. A copy comes as much later as the user's exchange took. It is tried once.

use super::pump::next_task;
use super::request::Request;
use super::upstream_head;
use crate::clock;
use crate::listen::Connection;
use crate::plan::MirrorRule;
use crate::upstream::Endpoint;
use crate::worker::Worker;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use lb_core::http::tier::{ATTEMPT, DEADLINE, Deadline};
use lb_core::outlier::is_failed_status;
use lb_core::sample::by_chance;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::client::HttpSession as Upstream;
use pingora_error::Result;
use pingora_http::RequestHeader;
use std::sync::Arc;

/// Tells the pool that nobody waits for its answer.
const MIRROR: HeaderName = HeaderName::from_static("x-lb-mirror");
/// Bytes of an answer that are read before the connection is given up instead.
const MAX_ANSWER: usize = 1 << 20;

/// A copy that is to be sent.
pub(super) struct Copy {
    head: Box<RequestHeader>,
    endpoint: Arc<Endpoint>,
}

/// Draws whether the request is copied, and makes the copy's head.
pub(super) fn prepare(session: &mut ServerSession, connection: Connection, request: &mut Request) {
    let rule = request.rule.clone();
    let Some(mirror) = &rule.mirror else { return };
    let drawn = clock::with_rng(|rng| by_chance(mirror.share, rng));
    if !drawn || session.is_upgrade_req() {
        return;
    }
    let key = mirror.pool.spec.policy.needs_key();
    let key = key.then(|| request.hash(&mirror.pool.spec.hash_on, session.req_header()));
    let now = request.now;
    let Some(endpoint) = clock::with_rng(|rng| mirror.pool.pick(key, &[], now, rng)) else {
        mirror.dropped.inc();
        return;
    };
    let h2 = speaks_h2(&endpoint);
    let Ok(mut head) = upstream_head::build(session, connection, request, h2) else {
        return;
    };
    let limit = Deadline::new(rule.timeouts.request).to_value();
    let _ = head.insert_header(MIRROR, HeaderValue::from_static("1"));
    let _ = head.insert_header(DEADLINE, limit);
    let _ = head.insert_header(ATTEMPT, HeaderValue::from_static("1"));
    if !head.headers.contains_key(http::header::HOST) {
        let _ = head.insert_header(http::header::HOST, endpoint.key.address.to_string());
    }
    request.copy = Some(Copy { head, endpoint });
}

/// Sends the copy, when there is one, without waiting for anything.
pub(super) fn send(worker: &Worker, request: &mut Request) {
    let Some(copy) = request.copy.take() else {
        return;
    };
    let rule = request.rule.clone();
    let Some(mirror) = &rule.mirror else { return };
    let Some(body) = request.body.whole().map(<[Bytes]>::to_vec) else {
        mirror.dropped.inc();
        return;
    };
    let (Ok(place), Some(worker)) = (mirror.places.clone().try_acquire_owned(), worker.handle())
    else {
        mirror.dropped.inc();
        return;
    };
    tokio::spawn(async move {
        let _place = place;
        let Some(mirror) = &rule.mirror else { return };
        let endpoint = copy.endpoint.clone();
        let sent = pingora_timeout::timeout(rule.timeouts.request, ask(&worker, copy, body)).await;
        account(mirror, &endpoint, sent.ok().and_then(Result::ok));
    });
}

/// Sends one copy and reads its answer; gives the status.
async fn ask(worker: &Worker, copy: Copy, body: Vec<Bytes>) -> Result<u16> {
    let Copy { head, endpoint } = copy;
    let _load = endpoint.load.begin();
    let mut upstream = match worker.dialer.reuse(&endpoint, true, clock::now()) {
        Some((session, _)) => session,
        None => {
            worker
                .dialer
                .open(&endpoint, !speaks_h2(&endpoint))
                .await?
                .0
        }
    };
    match &mut upstream {
        Upstream::H2(h2) => h2.write_request_header(head, body.is_empty())?,
        other => other.write_request_header(head).await?,
    }
    for piece in &body {
        upstream.write_request_body(piece.clone(), false).await?;
    }
    if !body.is_empty() || !matches!(upstream, Upstream::H2(_)) {
        upstream.finish_request_body().await?;
    }
    let (mut status, mut read) = (0, 0);
    loop {
        let task = next_task(&mut upstream).await?;
        match &task {
            HttpTask::Header(head, _) => status = head.status.as_u16(),
            HttpTask::Body(Some(piece), _) => read += piece.len(),
            _ => {}
        }
        if task.is_end() {
            worker.dialer.keep(&endpoint, upstream).await;
            return Ok(status);
        }
        if read > MAX_ANSWER {
            return Ok(status);
        }
    }
}

fn account(mirror: &MirrorRule, endpoint: &Endpoint, status: Option<u16>) {
    let failed = status.is_none_or(is_failed_status);
    endpoint.count(failed);
    endpoint.note_outcome(failed, clock::now());
    match status {
        Some(status) => {
            endpoint.metrics.response(status);
            mirror.answered.inc();
        }
        None => {
            endpoint.metrics.failure();
            mirror.failed.inc();
        }
    }
}

/// Whether the endpoint takes nothing but HTTP/2. Where both would do, copies go over HTTP/1.1.
fn speaks_h2(endpoint: &Endpoint) -> bool {
    endpoint.peer.options.alpn == ALPN::H2
}
