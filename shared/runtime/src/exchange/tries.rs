//! Tries: endpoint after endpoint, until a response passes or the policy says stop.

use super::admission;
use super::mirror;
use super::pump::{Pump, TryEnd, failure_of};
use super::request::Request;
use super::upstream_head;
use crate::listen::Connection;
use crate::plan::Action;
use crate::upstream::Endpoint;
use crate::worker::Worker;
use lb_core::reason::Reason;
use lb_core::retry::Failure;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::client::HttpSession as Upstream;
use pingora_error::ErrorType;
use std::sync::Arc;

/// Runs tries until one ends the request.
pub(super) async fn run(
    worker: &Worker,
    session: &mut ServerSession,
    connection: Connection,
    request: &mut Request,
) -> TryEnd {
    prepare(session, request);
    request.pin(session.req_header(), connection);
    mirror::prepare(session, connection, request);
    if request.trusted {
        request.report = worker.shared.reporter.due(&worker.shared, request.started);
    }
    if let Err(end) = admission::enter(session, request).await {
        return end;
    }
    let mut last = TryEnd::Refused(Reason::NoEndpoint);
    loop {
        let endpoint = match admission::select(session, request).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) => {
                return match last {
                    TryEnd::Refused(_) if request.tries.is_short_of_room() => {
                        TryEnd::Refused(Reason::Overloaded)
                    }
                    last => last,
                };
            }
            Err(end) => return end,
        };
        let end = attempt(worker, session, connection, request, &endpoint).await;
        let pause = match end {
            TryEnd::Retry(pause) => pause,
            TryEnd::Failed(failure) => {
                request.account_failure(failure);
                request.sample_failure(failure);
                match request.after_failure(failure) {
                    Ok(pause) => {
                        last = TryEnd::Failed(failure);
                        pause
                    }
                    Err(_) => return TryEnd::Failed(failure),
                }
            }
            end => return end,
        };
        if !pause.is_zero() {
            pingora_timeout::sleep(pause).await;
            request.tick();
        }
    }
}

/// What holds for all tries.
fn prepare(session: &mut ServerSession, request: &mut Request) {
    request.is_upgrade = session.is_upgrade_req()
        && session
            .get_header(http::header::UPGRADE)
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    request.body.complete = session.is_body_empty();
    let rule = request.rule.clone();
    rule.budget.deposit(request.now);
    match &rule.action {
        Action::Pool(pool) if pool.spec.policy.needs_key() => {
            request.hash_key = Some(request.hash(&pool.spec.hash_on, session.req_header()));
        }
        Action::Regions(route) => request.ask = request.ask(route, session.req_header()),
        Action::Pool(_) | Action::Redirect(_) => {}
    }
}

/// One try at `endpoint`.
async fn attempt(
    worker: &Worker,
    session: &mut ServerSession,
    connection: Connection,
    request: &mut Request,
    endpoint: &Arc<Endpoint>,
) -> TryEnd {
    request.begin_try(endpoint);
    let began = request.now;
    let upstream = connect(worker, request, endpoint).await;
    let connected = match &upstream {
        Ok((_, true)) => began,
        _ => request.tick(),
    };
    let (mut upstream, reused) = match upstream {
        Ok(upstream) => upstream,
        Err(failure) => {
            request.tries.in_flight = None;
            return TryEnd::Failed(failure);
        }
    };
    request.connected(began, connected, reused);
    let end = match send_head(session, connection, request, &mut upstream).await {
        Ok(()) => {
            Pump::new(&worker.shared, session, &mut upstream, request)
                .run()
                .await
        }
        Err(end) => end,
    };
    request.tries.in_flight = None;
    let now = request.tick();
    request.times.upstream += now.since(connected);
    match end {
        TryEnd::Complete { reusable, .. } => {
            if (reusable && !request.is_upgrade) || matches!(upstream, Upstream::H2(_)) {
                worker.dialer.keep(endpoint, upstream).await;
            }
        }
        _ => drop_upstream(upstream),
    }
    end
}

/// Opens or reuses a connection within the connect limit.
async fn connect(
    worker: &Worker,
    request: &mut Request,
    endpoint: &Endpoint,
) -> Result<(Upstream, bool), Failure> {
    if !request.is_upgrade
        && let Some((session, idle)) =
            worker
                .dialer
                .reuse(endpoint, !request.idempotent, request.now)
    {
        request.tries.idle = idle;
        return Ok((session, true));
    }
    let limit = request.rule.timeouts.connect.min(request.time_left());
    let session = worker.dialer.open(endpoint, request.is_upgrade);
    match pingora_timeout::timeout(limit, session).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => {
            log::debug!("connecting to {}: {error}", endpoint.key.address);
            Err(Failure::Connect)
        }
        Err(_) => Err(Failure::Connect),
    }
}

/// Sends the request's head.
async fn send_head(
    session: &mut ServerSession,
    connection: Connection,
    request: &mut Request,
    upstream: &mut Upstream,
) -> Result<(), TryEnd> {
    let is_h2 = matches!(upstream, Upstream::H2(_));
    let head = upstream_head::build(session, connection, request, is_h2).map_err(|error| {
        log::debug!("building a request's head: {error}");
        TryEnd::Refused(Reason::BadRequest)
    })?;
    request.times.sent = request.now;
    let sent = match upstream {
        Upstream::H2(h2) => {
            let ends = request.body.complete && request.body.size() == 0;
            h2.write_request_header(head, ends)
        }
        other => other.write_request_header(head).await,
    };
    sent.map_err(|error| match error.etype() {
        // The kernel took nothing of it, so the endpoint can't have seen it.
        ErrorType::WriteError => TryEnd::Failed(Failure::NotProcessed),
        _ => TryEnd::Failed(failure_of(&error)),
    })
}

/// Gives a response up: an HTTP/1 connection is closed, an HTTP/2 stream is reset.
fn drop_upstream(mut upstream: Upstream) {
    if let Upstream::H2(h2) = &mut upstream {
        h2.shutdown();
    }
}
