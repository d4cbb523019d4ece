//! One request through the proxy: admit, route, try, answer, account.
//!
//! What is decided (route, region, endpoint, retry) is decided by `lb-core`; this module only carries
//! it out, over Pingora's sessions and connector. The loop is ours rather than pingora-proxy's for two
//! reasons: that one has a single read timeout for an upstream (see [`pump`]), and it spends two
//! channels and two tasks per request.

mod account;
mod admission;
mod admit;
mod answer;
mod fault;
mod mirror;
mod pump;
mod rate;
mod request;
mod response_head;
mod select;
mod sticky;
mod tries;
mod upstream_head;

use crate::clock;
use crate::listen::Connection;
use crate::plan::{Action, Plan};
use crate::wire::Handle;
use crate::worker::{Ongoing, Worker};
use account::Ended;
use answer::Answer;
use lb_core::reason::Reason;
use lb_core::retry::Failure;
use lb_core::time::Instant;
use pingora_core::protocols::http::ServerSession;
use pump::TryEnd;
pub(crate) use rate::RateLimiter;
use request::{Admitted, Request};
use std::time::Duration;

/// Serves one request whose head has been read. Tells whether its response is complete, so that the
/// connection can carry the next request.
pub(crate) async fn serve(
    worker: &Worker,
    session: &mut ServerSession,
    connection: Connection,
) -> bool {
    let _ongoing = Ongoing::begin(&worker.shared);
    let started = clock::now();
    let plan = worker.shared.plan.load_full();
    let admitted = match admit::admit(&plan, session, connection) {
        Ok(admitted) => admitted,
        Err((admitted, reason)) => {
            return turn_away(worker, session, &plan, &admitted, started, reason).await;
        }
    };
    if worker.shared.overload.refuses() {
        return turn_away(
            worker,
            session,
            &plan,
            &admitted,
            started,
            Reason::Overloaded,
        )
        .await;
    }
    let head = session.req_header();
    let route = plan.table.find(
        admit::host(head),
        &head.method,
        head.uri.path(),
        &head.headers,
    );
    let Some(rule) = route.and_then(|index| plan.rules.get(index).cloned()) else {
        return turn_away(worker, session, &plan, &admitted, started, Reason::NoRoute).await;
    };
    let mut request = Request::new(
        plan,
        rule,
        admitted,
        session.req_header(),
        connection.peer,
        started,
    );
    request.tells_leaving = request.trusted && worker.shared.lifecycle.tells_leaving();
    let ended = unless_cut(worker, session, connection, &mut request).await;
    // However long the client takes to read an answer of ours, the pool has no part in it.
    request.entry = None;
    mirror::send(worker, &mut request);
    account::record(worker, session, &request, &ended);
    let patience = request.plan.limits.write_timeout.get();
    if ended.is_clean() && is_delivered(session, patience).await {
        linger(session).await;
        return true;
    }
    // Dropping an HTTP/1 session closes the connection: the client sees that the response broke off.
    session.shutdown().await;
    false
}

/// Waits until the kernel has taken the response. What the client still sends is read meanwhile and dropped: it may
/// be waiting with its own end for ours.
async fn is_delivered(session: &mut ServerSession, patience: Duration) -> bool {
    let handle = session
        .as_http1()
        .and_then(|http1| Handle::of(http1.stream()));
    let Some(handle) = handle.filter(Handle::has_backlog) else {
        return true;
    };
    loop {
        let reads = !session.was_upgraded() && !session.is_body_done();
        tokio::select! {
            biased;
            delivered = handle.drained(patience) => return delivered.is_ok(),
            piece = session.read_request_body(), if reads => if piece.is_err() {
                return false;
            },
        }
    }
}

/// Answers a request that no route takes. Tells whether the connection can carry another.
async fn turn_away(
    worker: &Worker,
    session: &mut ServerSession,
    plan: &Plan,
    admitted: &Admitted,
    started: Instant,
    reason: Reason,
) -> bool {
    let answer = if reason == Reason::Overloaded {
        worker.shared.overload.shed(admitted.priority);
        Answer::overloaded(plan, admitted.trusted)
    } else {
        Answer::refusal(plan, reason, None)
    };
    let tells_leaving = admitted.trusted && worker.shared.lifecycle.tells_leaving();
    let status = answer
        .leaving(tells_leaving)
        .send(session, &admitted.id)
        .await;
    account::unrouted(worker, plan, session, admitted, started, status, reason);
    status.is_some() && is_delivered(session, plan.limits.write_timeout.get()).await
}

/// Runs a routed request to its end, or to that of the process.
async fn unless_cut(
    worker: &Worker,
    session: &mut ServerSession,
    connection: Connection,
    request: &mut Request,
) -> Ended {
    let is_over = || worker.shared.lifecycle.is_ending();
    let is_http1 = session.as_http1().is_some();
    let ended = {
        let mut work = std::pin::pin!(run(worker, session, connection, request));
        if is_http1 {
            worker.cut.unless(is_over, work.as_mut()).await
        } else {
            // A connection of HTTP/2 tells its streams itself, with a code that tells its client.
            Some(work.await)
        }
    };
    match ended {
        Some(Ended::Broken { status, .. }) if is_over() => Ended::Broken {
            status,
            reason: Reason::CutOff,
        },
        Some(ended) => ended,
        None => Ended::Broken {
            status: session
                .response_written()
                .map_or(0, |head| head.status.as_u16()),
            reason: Reason::CutOff,
        },
    }
}

/// Runs a routed request to its end.
async fn run(
    worker: &Worker,
    session: &mut ServerSession,
    connection: Connection,
    request: &mut Request,
) -> Ended {
    if let Action::Redirect(redirect) = &request.rule.action {
        let answer = Answer::redirect(&request.plan, redirect, session, connection.tls)
            .leaving(request.tells_leaving);
        return Ended::answered(answer.send(session, &request.id).await, None);
    }
    if too_long(session, request) {
        return refuse(session, request, Reason::BodyTooLarge).await;
    }
    if let Err(answer) = rate::check(session, request) {
        let status = answer.send(session, &request.id).await;
        return Ended::answered(status, Some(Reason::RateLimited));
    }
    if request.rule.fault.is_some()
        && let Some(status) = fault::disturb(session.req_header(), request).await
    {
        let answer = Answer::injected(&request.plan, status, request);
        let sent = answer.send(session, &request.id).await;
        return Ended::answered(sent, Some(Reason::FaultInjected));
    }
    match tries::run(worker, session, connection, request).await {
        TryEnd::Complete { status, .. } => Ended::Proxied { status },
        TryEnd::Broken { status, reason } => Ended::Broken { status, reason },
        TryEnd::ClientLeft { status } => {
            request.client_left();
            Ended::Broken {
                status: status.unwrap_or_default(),
                reason: Reason::ClientLeft,
            }
        }
        TryEnd::Refused(reason) => refuse(session, request, reason).await,
        TryEnd::Failed(Failure::FirstByteTimeout) if request.time_left().is_zero() => {
            refuse(session, request, Reason::DeadlineExceeded).await
        }
        TryEnd::Failed(failure) => refuse(session, request, failure.reason()).await,
        TryEnd::Retry(_) => refuse(session, request, Reason::NoEndpoint).await,
    }
}

async fn refuse(session: &mut ServerSession, request: &Request, reason: Reason) -> Ended {
    let answer = Answer::refusal(&request.plan, reason, Some(request));
    Ended::answered(answer.send(session, &request.id).await, Some(reason))
}

/// Whether the body is announced to be longer than the route allows.
fn too_long(session: &ServerSession, request: &Request) -> bool {
    let announced = session
        .get_header(http::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    matches!((announced, request.rule.max_body), (Some(length), Some(limit)) if length > limit)
}

/// After an early answer, reads what the client still sends for a while: closing over unread bytes
/// resets the connection and can take the answer with it.
async fn linger(session: &mut ServerSession) {
    if !session.is_body_done() && session.as_http1().is_some() && !session.was_upgraded() {
        // A body that can't be read to its end leaves the connection out of step: a second attempt
        // could find a request in what is left of it.
        if session.drain_request_body().await.is_err() {
            session.set_keepalive(None);
        }
    }
}
