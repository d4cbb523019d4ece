//! The request's head as the endpoint sees it.

use super::admit;
use super::request::Request;
use crate::clock;
use crate::listen::Connection;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use http::uri::Authority;
use http::{HeaderValue, Version};
use lb_core::http::forward::{Traceparent, append_forwarded_for, is_forwarding_name};
use lb_core::http::tier::{ATTEMPT, Attempt, DEADLINE, Deadline, PRIORITY, Priority};
use lb_core::route::edit::HeaderSink;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Fields that this hop adds, so that the table of fields need not grow.
const ADDED: usize = 8;

/// Fields of one connection only (RFC 9110 §7.6.1), beside those that `Connection` names.
pub(super) const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    TE,
    TRAILER,
    UPGRADE,
];

/// Builds the head for one try. `h2` tells the version that the endpoint speaks.
pub(super) fn build(
    session: &mut ServerSession,
    connection: Connection,
    request: &Request,
    h2: bool,
) -> Result<Box<RequestHeader>> {
    let has_body = !session.is_body_empty();
    let asked = session.req_header();
    let received = asked.version;
    let wants_trailers = asked
        .headers
        .get(TE)
        .is_some_and(|te| te.as_bytes() == b"trailers");
    let authority = asked.uri.authority().cloned();
    let mut head = copy(asked, request.trusted)?;
    frame(&mut head, has_body, h2)?;
    if request.is_upgrade {
        head.insert_header(CONNECTION, "upgrade")?;
        head.insert_header(UPGRADE, "websocket")?;
    }
    if h2 && wants_trailers {
        head.insert_header(TE, "trailers")?;
    }
    target(&mut head, authority, request, h2)?;
    forward(&mut head, connection, request, received)?;
    if !request.rule.request_edits.is_empty() {
        request.rule.request_edits.apply(&mut Edit(&mut head));
    }
    Ok(Box::new(head))
}

/// Copies the head without what ends at this hop, and without what an untrusted peer must not claim.
/// Names go on in lower case, as in HTTP/2 (and as Envoy and HAProxy write them).
fn copy(from: &RequestHeader, trusted: bool) -> Result<RequestHeader> {
    let room = from.headers.len() + ADDED;
    let mut head = RequestHeader::build_no_case(from.method.clone(), from.raw_path(), Some(room))?;
    let named = from
        .headers
        .get(CONNECTION)
        .and_then(|value| value.to_str().ok());
    for (name, value) in &from.headers {
        let ends_here = HOP_BY_HOP.contains(name)
            || named.is_some_and(|list| names(list).any(|n| n.eq_ignore_ascii_case(name.as_str())));
        if !ends_here && (trusted || !is_forwarding_name(name.as_str())) {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(head)
}

/// The names in a `Connection` field.
pub(super) fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// Frames the body for the endpoint's version.
fn frame(head: &mut RequestHeader, has_body: bool, h2: bool) -> Result<()> {
    if h2 {
        // We answer it: `Pump::say_continue`.
        head.remove_header(&EXPECT);
    }
    let chunked = head.remove_header(&TRANSFER_ENCODING).is_some();
    if has_body && !h2 && (chunked || !head.headers.contains_key(CONTENT_LENGTH)) {
        head.remove_header(&CONTENT_LENGTH);
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

/// Host and target: in origin form for HTTP/1, rewritten as the route says.
fn target(
    head: &mut RequestHeader,
    authority: Option<Authority>,
    request: &Request,
    h2: bool,
) -> Result<()> {
    let rule = &request.rule;
    if let Some(authority) = &authority
        && let Ok(value) = HeaderValue::try_from(authority.as_str())
    {
        head.insert_header(HOST, value)?;
    }
    // HTTP/1.0 may leave it out, HTTP/1.1 may not: what we pass on as 1.1 names the endpoint then.
    if let (false, Some(endpoint)) = (head.headers.contains_key(HOST), &request.tries.last) {
        head.insert_header(HOST, endpoint.key.address.to_string())?;
    }
    if let Some(host) = &rule.rewrite_host {
        if let Some(asked) = head.headers.get(HOST).cloned() {
            head.insert_header(FORWARDED_HOST, asked)?;
        }
        head.insert_header(HOST, host.clone())?;
    }
    let current = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let rewritten = rule
        .rewrite
        .as_ref()
        .and_then(|rewrite| rewrite.apply(current));
    if authority.is_some() || rewritten.is_some() {
        let target = rewritten.unwrap_or_else(|| current.to_owned());
        if let Ok(uri) = http::Uri::try_from(target) {
            head.set_uri(uri);
        }
    }
    head.set_version(if h2 {
        Version::HTTP_2
    } else {
        Version::HTTP_11
    });
    Ok(())
}

/// Who asked, over which way, how often already, and by when.
fn forward(
    head: &mut RequestHeader,
    connection: Connection,
    request: &Request,
    received: Version,
) -> Result<()> {
    let chain = head.headers.get_all(&FORWARDED_FOR).iter();
    let chain = append_forwarded_for(chain, connection.peer.ip());
    head.insert_header(FORWARDED_FOR, chain)?;
    if !head.headers.contains_key(&FORWARDED_PROTO) {
        head.insert_header(
            FORWARDED_PROTO,
            if connection.tls { "https" } else { "http" },
        )?;
    }
    head.append_header(VIA, request.plan.identity.pseudonym.value(received).clone())?;
    head.insert_header(REQUEST_ID, request.id.clone())?;
    let (trace, kept) =
        clock::with_rng(|rng| Traceparent::next_hop(head.headers.get(&TRACEPARENT), false, rng));
    head.insert_header(TRACEPARENT, trace.to_value())?;
    if !kept {
        head.remove_header(&TRACESTATE);
    }
    let attempt = u8::try_from(request.attempt()).unwrap_or(Attempt::MAX);
    head.insert_header(ATTEMPT, HeaderValue::from(u16::from(attempt)))?;
    head.insert_header(DEADLINE, Deadline::new(request.time_left()).to_value())?;
    let priority = match request.priority {
        Priority::Default if request.tries.is_guest => Priority::Displaced,
        priority => priority,
    };
    if priority != Priority::default() {
        head.insert_header(PRIORITY, priority.to_value())?;
    }
    Ok(())
}

/// The host that is asked for, for the log.
pub(super) fn host(session: &ServerSession) -> &str {
    admit::host(session.req_header())
}

/// Applies a plan's edits to a request.
struct Edit<'a>(&'a mut RequestHeader);

/// Applies a plan's edits to a response.
pub(super) struct EditResponse<'a>(pub(super) &'a mut ResponseHeader);

impl HeaderSink for Edit<'_> {
    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.insert_header(name.clone(), value.clone());
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.append_header(name.clone(), value.clone());
    }
}

impl HeaderSink for EditResponse<'_> {
    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.insert_header(name.clone(), value.clone());
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.append_header(name.clone(), value.clone());
    }
}
