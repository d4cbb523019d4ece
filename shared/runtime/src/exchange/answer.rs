//! Answers that this process gives itself: refusals, redirects.
//!
//! One place turns a reason into status, fields and body. A gRPC client gets its own form of failure: a
//! response of trailers only (gRPC over HTTP/2, "Responses"), since it does not look at a body.

use super::admit;
use super::rate::RateLimiter;
use super::request::Request;
use super::response_head::OVERLOADED;
use crate::clock;
use crate::plan::{Plan, Tier};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method};
use lb_core::http::tier::{DRAINING, UNSERVED};
use lb_core::limit::gcra::Limited;
use lb_core::limit::shed;
use lb_core::reason::Reason;
use lb_core::route::target::RedirectPlan;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::Result;
use pingora_http::ResponseHeader;

/// An answer to be sent.
pub(super) struct Answer {
    status: u16,
    reason: Option<Reason>,
    location: Option<HeaderValue>,
    retry_after: Option<u64>,
    /// Tells a tier above what it can't see from the status, by a field of this name.
    tells: Option<HeaderName>,
    /// Tells a tier above that this process leaves.
    tells_leaving: bool,
    /// `RateLimit-Policy` and `RateLimit`.
    rate: Option<[HeaderValue; 2]>,
    body: String,
}

// === impl Answer ===

impl Answer {
    /// A refusal. The body names tier, object and reason, and nothing of the request.
    pub(super) fn refusal(plan: &Plan, reason: Reason, request: Option<&Request>) -> Self {
        let status = reason.status().unwrap_or(499);
        let tier = match plan.identity.tier {
            Tier::Global => "global-lb",
            Tier::Regional => "regional-lb",
        };
        let place = request.map(place).unwrap_or_default();
        let body = format!(
            "{status} {}: {tier}{place}: {}\n",
            reason.label(),
            remedy(reason)
        );
        Self {
            status,
            reason: Some(reason),
            location: None,
            retry_after: retry_after(reason),
            tells: request.and_then(|request| told(reason, request)),
            tells_leaving: request.is_some_and(|r| r.tells_leaving),
            rate: None,
            body,
        }
    }

    /// A refusal for want of room in this process, before a route is known.
    pub(super) fn overloaded(plan: &Plan, trusted: bool) -> Self {
        Self {
            tells: trusted.then_some(OVERLOADED),
            ..Self::refusal(plan, Reason::Overloaded, None)
        }
    }

    /// A refusal by the route's rate limit.
    pub(super) fn rate_limited(request: &Request, limiter: &RateLimiter, limited: Limited) -> Self {
        Self {
            retry_after: Some(limited.retry_after_secs()),
            rate: limiter.fields(limited),
            ..Self::refusal(&request.plan, Reason::RateLimited, Some(request))
        }
    }

    /// The same, telling a trusted peer that this process leaves.
    pub(super) fn leaving(self, tells_leaving: bool) -> Self {
        Self {
            tells_leaving,
            ..self
        }
    }

    /// The answer of a drill.
    pub(super) fn injected(plan: &Plan, status: u16, request: &Request) -> Self {
        let refusal = Self::refusal(plan, Reason::FaultInjected, Some(request));
        let text = refusal.body.split_once(' ').map_or("", |(_, text)| text);
        Self {
            body: format!("{status} {text}"),
            status,
            ..refusal
        }
    }

    /// A redirect; a request that would be led back to itself finds nothing.
    pub(super) fn redirect(
        plan: &Plan,
        redirect: &RedirectPlan,
        session: &ServerSession,
        tls: bool,
    ) -> Self {
        let head = session.req_header();
        let scheme = if tls { "https" } else { "http" };
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let host = admit::host(head);
        if redirect.is_loop(scheme, host, target) {
            return Self::refusal(plan, Reason::NoRoute, None);
        }
        let location = redirect.location(scheme, host, target);
        Self {
            status: redirect.status(),
            reason: None,
            location,
            retry_after: None,
            tells: None,
            tells_leaving: false,
            rate: None,
            body: String::new(),
        }
    }

    /// Sends the answer. `None` when the client is gone.
    pub(super) async fn send(self, session: &mut ServerSession, id: &HeaderValue) -> Option<u16> {
        let status = self.status;
        if self.reason == Some(Reason::ClientLeft)
            || session
                .response_written()
                .is_some_and(|r| r.status.as_u16() >= 200)
        {
            return None;
        }
        // Where the request ends is not known then, so nothing after it may be read as another.
        if let Some(Reason::BadRequest | Reason::ClientTimeout | Reason::BodyTooLarge) = self.reason
        {
            session.set_keepalive(None);
        }
        let grpc = session
            .get_header(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let bodiless = session.req_header().method == Method::HEAD;
        let (head, body) = self.render(id, grpc && session.is_http2()).ok()?;
        let empty = bodiless || body.is_empty();
        if empty && session.is_http2() {
            // A gRPC client takes an empty DATA frame after the fields for a broken call.
            let head = HttpTask::Header(Box::new(head), true);
            session.response_duplex_vec(vec![head]).await.ok()?;
            return Some(status);
        }
        session.write_response_header(Box::new(head)).await.ok()?;
        let body = if empty {
            Bytes::new()
        } else {
            Bytes::from(body)
        };
        session.write_response_body(body, true).await.ok()?;
        Some(status)
    }

    fn render(self, id: &HeaderValue, grpc: bool) -> Result<(ResponseHeader, String)> {
        let fields = [self.tells.clone(), self.tells_leaving.then_some(DRAINING)];
        let (mut head, body) = self.render_plain(id, grpc)?;
        for field in fields.into_iter().flatten() {
            head.insert_header(field, "1")?;
        }
        Ok((head, body))
    }

    fn render_plain(self, id: &HeaderValue, grpc: bool) -> Result<(ResponseHeader, String)> {
        if let (true, Some(reason)) = (grpc, self.reason) {
            let mut head = ResponseHeader::build(200, Some(5))?;
            head.insert_header(CONTENT_TYPE, "application/grpc")?;
            head.insert_header(HeaderName::from_static("grpc-status"), grpc_status(reason))?;
            head.insert_header(HeaderName::from_static("grpc-message"), reason.label())?;
            head.insert_header(HeaderName::from_static("x-request-id"), id.clone())?;
            return Ok((head, String::new()));
        }
        let mut head = ResponseHeader::build(self.status, Some(8))?;
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(self.body.len()))?;
        if !self.body.is_empty() {
            head.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
            head.insert_header(CACHE_CONTROL, "no-store")?;
        }
        if let Some(location) = self.location {
            head.insert_header(LOCATION, location)?;
        }
        if let Some(seconds) = self.retry_after {
            head.insert_header(RETRY_AFTER, HeaderValue::from(seconds))?;
        }
        if let Some([policy, state]) = self.rate {
            head.insert_header(HeaderName::from_static("ratelimit-policy"), policy)?;
            head.insert_header(HeaderName::from_static("ratelimit"), state)?;
        }
        if self.status == 405 {
            head.insert_header(ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?;
        }
        head.insert_header(HeaderName::from_static("x-request-id"), id.clone())?;
        Ok((head, self.body))
    }
}

/// What a trusted peer is told of a refusal: not to ask here again, or that nothing below got any of the request.
fn told(reason: Reason, request: &Request) -> Option<HeaderName> {
    if !request.trusted {
        return None;
    }
    match reason {
        Reason::Overloaded => Some(OVERLOADED),
        Reason::NoEndpoint | Reason::ConnectFailed | Reason::Reset if !request.tries.reached => {
            Some(UNSERVED)
        }
        _ => None,
    }
}

/// Seconds for `Retry-After`. Whom an overload turned away must not come back all at once.
fn retry_after(reason: Reason) -> Option<u64> {
    if reason == Reason::Overloaded {
        return Some(clock::with_rng(shed::retry_after).into());
    }
    reason.retry_after().map(u64::from)
}

/// The object that failed: route, pool or region, endpoint.
fn place(request: &Request) -> String {
    let mut place = format!(" route \"{}\"", request.rule.name);
    if let Some(pool) = &request.tries.pool {
        place.push_str(&format!(" pool \"{}\"", pool.spec.name));
    }
    if let Some(endpoint) = &request.tries.last {
        place.push_str(&format!(" server \"{}\"", endpoint.key.server));
    }
    if request.tries.made > 1 {
        place.push_str(&format!(" after {} tries", request.tries.made));
    }
    place
}

fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::NoRoute => "no route matches host, path, method and header fields",
        Reason::NoEndpoint => "no endpoint is left to try",
        Reason::ConnectFailed => "no connection could be opened",
        Reason::Reset => "the connection broke before the response",
        Reason::Truncated => "the response broke off",
        Reason::Malformed => "the answer was not valid HTTP",
        Reason::FirstByteTimeout => "no response within the first-byte limit",
        Reason::IdleTimeout => "the response stalled",
        Reason::DeadlineExceeded => "the request's deadline passed",
        Reason::Overloaded => "overloaded; ask again later",
        Reason::RateLimited => "more requests than the route allows; ask again later",
        Reason::Loop => "the request passed here before",
        Reason::BadRequest => "the request is malformed",
        Reason::BodyTooLarge => "the body is too large",
        Reason::ClientTimeout => "the request's body did not arrive in time",
        Reason::ClientLeft => "the client left",
        Reason::CutOff => "this process ended before the request did",
        Reason::FaultInjected => "a fault that the route's configuration asks for",
    }
}

/// The gRPC status of a reason (gRPC, "HTTP to gRPC Status Code Mapping").
fn grpc_status(reason: Reason) -> &'static str {
    match reason.status() {
        Some(400 | 413 | 431) => "3",
        Some(404 | 405 | 501) => "12",
        Some(504) => "4",
        Some(408) => "1",
        _ => "14",
    }
}
