//! One request of a load, from its ticket to a verdict.

use std::error::Error;
use std::fmt;
use std::io;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use super::pool::{Lease, Pool};
use super::{Load, Resend, Ticket};
use crate::http::{Body, empty, full, is_refused};
use crate::pattern;
use crate::server::{BODY_BYTES, BODY_SEED, SERVED_BY, TEST_ID};

/// How often a request is sent again that certainly was not processed: a new connection may be told to go as well.
pub(crate) const RESENDS: usize = 3;

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Status.
    pub status: u16,
    /// `x-served-by`, or empty.
    pub server: String,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for counting.
    pub kind: Kind,
    /// More about it, for reading.
    pub detail: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No connection.
    Connect,
    /// Closed before the head of the answer.
    Closed,
    /// Reset before the head of the answer.
    Reset,
    /// The answer ended before its body did.
    Truncated,
    /// No complete answer before the deadline.
    Timeout,
    /// A status that does not count as a success.
    Status(u16),
    /// The answer to another request.
    Mixed,
    /// Wrong bytes.
    Corrupt,
    /// Never sent: too many requests were under way.
    Saturated,
    /// Something else that HTTP forbids.
    Protocol,
}

/// A failure, and whether the request may be sent again.
struct Broken {
    failure: Failure,
    /// Certainly not processed.
    is_unsent: bool,
    /// No byte of an answer came.
    is_silent: bool,
}

/// Sends the request of `ticket`; gives the id it was last sent under, the result, and whether it was sent again.
pub(super) async fn perform(
    load: &Load,
    pool: &Pool,
    ticket: &Ticket,
) -> (String, Result<Served, Failure>, bool) {
    let mut id = ticket.id.clone();
    let mut resent = 0;
    let end = ticket.due + load.deadline;
    loop {
        let tried = timeout_at(end, attempt(load, pool, ticket, &id, resent > 0)).await;
        let (broken, was_reused) = match tried {
            Ok(Ok(served)) => return (id, Ok(served), resent > 0),
            Ok(Err(broken)) => broken,
            Err(_) => {
                let failure = Failure::new(Kind::Timeout, format!("after {:?}", load.deadline));
                return (id, Err(failure), resent > 0);
            }
        };
        let is_safe = ticket.method != Method::POST && broken.is_silent && was_reused;
        let may_resend = match load.resend {
            Resend::Never => false,
            Resend::Unsent => broken.is_unsent,
            Resend::Safe => broken.is_unsent || (is_safe && resent == 0),
        };
        if resent == RESENDS || !may_resend {
            return (id, Err(broken.failure), resent > 0);
        }
        resent += 1;
        id.push_str("+1");
    }
}

async fn attempt(
    load: &Load,
    pool: &Pool,
    ticket: &Ticket,
    id: &str,
    is_fresh: bool,
) -> Result<Served, (Broken, bool)> {
    let mut lease = pool
        .lease(ticket.target, ticket.index, is_fresh)
        .await
        .map_err(|e| (Broken::new(Kind::Connect, format!("{e:#}")), false))?;
    let was_reused = lease.is_reused;
    let served = converse(load, ticket, id, &mut lease)
        .await
        .map_err(|e| (e, was_reused))?;
    pool.give_back(lease);
    Ok(served)
}

async fn converse(
    load: &Load,
    ticket: &Ticket,
    id: &str,
    lease: &mut Lease,
) -> Result<Served, Broken> {
    let request = request(load, ticket, id)
        .map_err(|e| Broken::new(Kind::Protocol, format!("not sendable: {e}")))?;
    let response = lease
        .conn
        .begin(request)
        .await
        .map_err(|e| Broken::before_head(&e))?;
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    let sample = read_checked(&head.headers, body).await?;
    let server = text_of(&head.headers, SERVED_BY).to_owned();
    let answered = text_of(&head.headers, TEST_ID);
    if !answered.is_empty() && answered != id {
        return Err(Broken::new(
            Kind::Mixed,
            format!("got the answer to {answered}"),
        ));
    }
    if !(load.accept)(status) {
        let by = if server.is_empty() {
            "no server"
        } else {
            &server
        };
        return Err(Broken::new(
            Kind::Status(status),
            format!("from {by}: {}", sample.trim()),
        ));
    }
    Ok(Served { status, server })
}

/// Who sends the request: everybody in turn, in an order that has nothing to do with whose turn other things are.
fn user(index: u64, users: u16) -> u16 {
    let mixed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    u16::try_from(mixed % u64::from(users)).unwrap_or_default()
}

fn request(load: &Load, ticket: &Ticket, id: &str) -> Result<Request<Body>, http::Error> {
    let mut request = Request::builder()
        .method(&ticket.method)
        .uri(&ticket.path)
        .header(TEST_ID, id);
    for (name, value) in &load.fields {
        request = request.header(name, value);
    }
    if load.users > 0 {
        // Of the range for benchmarks (RFC 2544).
        let [high, low] = user(ticket.index, load.users).to_be_bytes();
        request = request.header("x-forwarded-for", format!("198.18.{high}.{low}"));
    }
    if ticket.method != Method::POST {
        return request.body(empty());
    }
    let seed = pattern::seed(id);
    request
        .header(HeaderName::from_static(BODY_SEED), HeaderValue::from(seed))
        .header(CONTENT_LENGTH, load.post_bytes)
        .body(full(pattern::whole(seed, load.post_bytes)))
}

/// Reads the body, checks it against its announced pattern, and keeps its beginning.
async fn read_checked(fields: &HeaderMap, mut body: Incoming) -> Result<String, Broken> {
    const SAMPLE: usize = 160;
    let seed = text_of(fields, BODY_SEED).parse().ok();
    let mut checker = pattern::Checker::new(seed.unwrap_or(0));
    let mut sample = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            Broken::new(
                Kind::Truncated,
                format!("after {} bytes: {}", checker.seen(), chain(&e)),
            )
        })?;
        if let Ok(bytes) = frame.into_data() {
            checker.feed(&bytes);
            sample.extend(bytes.iter().take(SAMPLE.saturating_sub(sample.len())));
        }
    }
    let announced: Option<u64> = text_of(fields, BODY_BYTES).parse().ok();
    if let Some(announced) = announced.filter(|length| *length != checker.seen()) {
        let detail = format!("{} of {announced} bytes, then a proper end", checker.seen());
        return Err(Broken::new(Kind::Truncated, detail));
    }
    if seed.is_some() && !checker.is_intact() {
        return Err(Broken::new(Kind::Corrupt, "the body has wrong bytes"));
    }
    Ok(String::from_utf8_lossy(&sample).into_owned())
}

fn text_of<'a>(fields: &'a HeaderMap, name: &str) -> &'a str {
    fields
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn find<T: Error + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

// === impl Kind ===

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Closed => f.write_str("closed"),
            Self::Reset => f.write_str("reset"),
            Self::Truncated => f.write_str("truncated"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Mixed => f.write_str("mixed"),
            Self::Corrupt => f.write_str("corrupt"),
            Self::Saturated => f.write_str("saturated"),
            Self::Protocol => f.write_str("protocol"),
        }
    }
}

// === impl Broken ===

impl Broken {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(kind, detail),
            is_unsent: false,
            is_silent: false,
        }
    }

    fn before_head(error: &anyhow::Error) -> Self {
        let hyper = find::<hyper::Error>(error);
        let h2 = find::<h2::Error>(error);
        let io = find::<io::Error>(error).map(io::Error::kind);
        let is_unsent =
            is_refused(error) || hyper.is_some_and(|e| e.is_canceled() || e.is_closed());
        let kind = match io {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Kind::Reset,
            _ if h2.is_some_and(h2::Error::is_reset) => Kind::Reset,
            _ if is_unsent || hyper.is_some_and(hyper::Error::is_incomplete_message) => {
                Kind::Closed
            }
            _ if io == Some(io::ErrorKind::UnexpectedEof) => Kind::Closed,
            _ => Kind::Protocol,
        };
        let is_silent = matches!(kind, Kind::Reset | Kind::Closed);
        Self {
            failure: Failure::new(kind, format!("{error:#}")),
            is_unsent,
            is_silent,
        }
    }
}
