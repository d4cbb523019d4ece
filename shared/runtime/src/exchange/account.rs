//! What remains of a request: counts, durations, a log line, and the endpoint's record.

use super::request::{Admitted, Request};
use super::upstream_head;
use crate::access_log::Line;
use crate::clock;
use crate::plan::Plan;
use crate::worker::Worker;
use lb_core::outlier::is_failed_status;
use lb_core::reason::Reason;
use lb_core::retry::Failure;
use lb_core::time::Instant;
use pingora_core::protocols::http::ServerSession;
use rand::RngExt;
use std::time::Duration;

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// A response of the endpoint went through in full.
    Proxied { status: u16 },
    /// This process answered.
    Answered { status: u16, reason: Option<Reason> },
    /// The response broke off, or the client left.
    Broken { status: u16, reason: Reason },
}

// === impl Ended ===

impl Ended {
    pub(super) fn answered(status: Option<u16>, reason: Option<Reason>) -> Self {
        match status {
            Some(status) => Self::Answered { status, reason },
            None => Self::Broken {
                status: 0,
                reason: Reason::ClientLeft,
            },
        }
    }

    /// Whether the connection is in step, so that it can carry another request.
    pub(super) const fn is_clean(self) -> bool {
        !matches!(self, Self::Broken { .. })
    }

    const fn status(self) -> u16 {
        match self {
            Self::Proxied { status } | Self::Answered { status, .. } => status,
            Self::Broken { status, .. } => status,
        }
    }

    const fn reason(self) -> Option<Reason> {
        match self {
            Self::Proxied { .. } => None,
            Self::Answered { reason, .. } => reason,
            Self::Broken { reason, .. } => Some(reason),
        }
    }
}

impl Request {
    /// Notes that a connection stands.
    pub(super) fn connected(&mut self, began: Instant, now: Instant, reused: bool) {
        self.tries.reused = reused;
        self.times.connect = now.since(began);
        if let (false, Some(pool)) = (reused, &self.tries.pool) {
            pool.metrics
                .connect
                .observe(self.times.connect.as_secs_f64());
        }
    }

    /// Holds a failed try against its endpoint.
    pub(super) fn account_failure(&self, failure: Failure) {
        let (Some(endpoint), Some(pool)) = (&self.tries.last, &self.tries.pool) else {
            return;
        };
        let now = self.now;
        endpoint.count(true);
        match failure {
            Failure::Status(status) => endpoint.metrics.response(status),
            _ => endpoint.metrics.failure(),
        }
        if self.speaks_against(failure) {
            // Also a 500 that came fast: it would make its endpoint look like the best one.
            endpoint.load.penalize(now);
            endpoint.note_outcome(true, now);
        }
        if !failure.is_gateway_error() {
            return;
        }
        if let Some(region) = &self.tries.memory {
            region.tally.failed();
        }
        if endpoint.errors.record(true) {
            pool.convict(endpoint, now);
        }
    }

    /// Whether it counts in the comparison with the endpoint's peers. At the global tier a 500 is a server's, not the
    /// replica's that passed it on.
    fn speaks_against(&self, failure: Failure) -> bool {
        match failure {
            Failure::Status(status) if self.is_regional() => is_failed_status(status),
            other => other.is_gateway_error(),
        }
    }

    /// Credits the endpoint with a response.
    fn account_response(&self, status: u16, broken: bool) {
        let (Some(endpoint), Some(pool)) = (&self.tries.last, &self.tries.pool) else {
            return;
        };
        if let Some(told) = self.tries.told {
            return self.account_failure(told);
        }
        let failure = Failure::Status(status);
        if broken {
            return self.account_failure(Failure::Malformed);
        }
        if failure.is_gateway_error() {
            return self.account_failure(failure);
        }
        endpoint.count(false);
        if let Some(region) = &self.tries.memory {
            region.tally.succeeded(self.times.first_byte);
        }
        endpoint.metrics.response(status);
        let _ = endpoint.errors.record(false);
        let now = self.now;
        if self.speaks_against(failure) {
            endpoint.load.penalize(now);
            endpoint.note_outcome(true, now);
            return;
        }
        endpoint.note_outcome(false, now);
        let head_at = self.times.sent + self.times.first_byte;
        endpoint.load.observe(self.times.first_byte, head_at);
        pool.metrics
            .duration
            .observe(self.times.first_byte.as_secs_f64());
    }
}

impl Request {
    /// Tells the budget whether the last retry saved the request. A client that left says nothing of it.
    fn settle_retry(&self, ended: &Ended) {
        let Some(kind) = self.tries.retried else {
            return;
        };
        let saved = match *ended {
            Ended::Proxied { status } => !self.rule.retry.is_retryable_status(status),
            Ended::Answered { .. } => false,
            Ended::Broken {
                reason: Reason::ClientLeft,
                ..
            } => return,
            Ended::Broken { .. } => false,
        };
        self.rule.budget.settle(kind, saved, self.now);
    }
}

/// Records a routed request.
pub(super) fn record(worker: &Worker, session: &ServerSession, request: &Request, ended: &Ended) {
    let took = request.now.since(request.started);
    match *ended {
        Ended::Proxied { status } => request.account_response(status, false),
        Ended::Broken { status, reason } if status > 0 => {
            let guilty = matches!(reason, Reason::Truncated | Reason::IdleTimeout);
            request.account_response(status, guilty);
        }
        _ => {}
    }
    request.settle_retry(ended);
    let reason = ended.reason();
    if let Some(reason) = reason {
        worker.shared.metrics.reject(reason);
        if reason == Reason::Overloaded {
            worker.shared.requests.shed();
        }
        // What is refused by a limit is no failure.
        if !matches!(
            reason,
            Reason::ClientLeft | Reason::CutOff | Reason::Overloaded | Reason::RateLimited
        ) {
            worker.shared.requests.fail();
            request.rule.metrics.fail();
        }
    }
    let method = session.req_header().method.as_str();
    let own = took.saturating_sub(request.times.upstream);
    request
        .rule
        .metrics
        .record(ended.status(), method, took, own);
    let wanted = worker
        .shared
        .log
        .wants(ended.status(), reason.is_some(), took, draw);
    if wanted {
        let entry = Entry {
            session,
            plan: &request.plan,
            took,
            status: ended.status(),
            reason,
        };
        entry.write(
            worker,
            &request.id,
            &request.client.to_string(),
            Some(request),
        );
    }
}

/// Records a request that no route took.
pub(super) fn unrouted(
    worker: &Worker,
    plan: &Plan,
    session: &ServerSession,
    admitted: &Admitted,
    started: Instant,
    status: Option<u16>,
    reason: Reason,
) {
    let took = clock::now().since(started);
    let status = status.unwrap_or_default();
    worker.shared.metrics.reject(reason);
    if reason == Reason::Overloaded {
        worker.shared.requests.shed();
    }
    plan.unrouted
        .record(status, session.req_header().method.as_str(), took, took);
    if worker.shared.log.wants(status, true, took, draw) {
        let entry = Entry {
            session,
            plan,
            took,
            status,
            reason: Some(reason),
        };
        entry.write(worker, &admitted.id, &admitted.client.to_string(), None);
    }
}

fn draw() -> f64 {
    clock::with_rng(|rng| rng.random())
}

/// The parts of a log line that every request has.
struct Entry<'a> {
    session: &'a ServerSession,
    plan: &'a Plan,
    took: Duration,
    status: u16,
    reason: Option<Reason>,
}

// === impl Entry ===

impl Entry<'_> {
    fn write(
        &self,
        worker: &Worker,
        id: &http::HeaderValue,
        client: &str,
        request: Option<&Request>,
    ) {
        let head = self.session.req_header();
        let target = head.uri.path_and_query();
        let path = match target {
            Some(target) if worker.shared.log.has_query() => target.as_str(),
            Some(target) => target.path(),
            None => "*",
        };
        let tries = request.map(|request| &request.tries);
        let endpoint = tries.and_then(|tries| tries.last.as_ref());
        let times = request.map(|request| request.times).unwrap_or_default();
        let now = std::time::UNIX_EPOCH + Duration::from_millis(clock::unix_millis());
        let identity = &self.plan.identity;
        worker.shared.log.write(&Line {
            ts: humantime::format_rfc3339_millis(now).to_string(),
            level: level(self.status),
            tier: identity.tier.as_str(),
            region: identity.region.as_deref(),
            instance: &identity.replica,
            request_id: id.to_str().unwrap_or_default(),
            client_ip: client.to_owned(),
            method: head.method.as_str(),
            host: upstream_head::host(self.session),
            path,
            proto: proto(head.version),
            status: self.status,
            bytes_in: self.session.body_bytes_read() as u64,
            bytes_out: self.session.body_bytes_sent() as u64,
            duration_ms: millis(self.took),
            route: request.map_or("", |request| &request.rule.name),
            pool: tries
                .and_then(|t| t.pool.as_ref())
                .map_or("", |pool| &pool.spec.name),
            server: endpoint.map_or("", |endpoint| endpoint.key.server.as_str()),
            addr: endpoint
                .map(|endpoint| endpoint.key.address.to_string())
                .unwrap_or_default(),
            attempts: tries.map_or(0, |tries| tries.made),
            reused: tries.is_some_and(|tries| tries.reused),
            connect_ms: millis(times.connect),
            ttfb_ms: millis(times.first_byte),
            flags: self.reason.map_or("", Reason::flag),
            ua: head
                .headers
                .get(http::header::USER_AGENT)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default(),
        });
    }
}

fn level(status: u16) -> &'static str {
    match status {
        100..400 => "info",
        400..500 => "warn",
        _ => "error",
    }
}

fn proto(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
