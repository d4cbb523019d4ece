//! What a scripted server does with a request: plain data, changed while it runs.
//!
//! Faults that hit a share of the requests are drawn from the server's seeded generator, so a run can be repeated
//! as far as the order of arrival allows.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;

/// The script of a [`crate::server::Server`]. The default answers each path as described at [`Answer::ByPath`], at once.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What the answer is.
    pub answer: Answer,
    /// Status of all answers instead of the one they would have.
    pub status: Option<u16>,
    /// Share of requests, 0 to 1, answered with `error_status`.
    pub error_share: f64,
    /// Status for `error_share`.
    pub error_status: u16,
    /// Time between the request's arrival (or a free worker) and the head of its answer.
    pub head_delay: Duration,
    /// Time before each further piece of the body.
    pub chunk_delay: Duration,
    /// Size of a piece, in bytes (at most 65,521 for patterned bodies).
    pub chunk_bytes: usize,
    /// Time before each read of the request's body: a slow reader.
    pub read_delay: Duration,
    /// Requests served at once; the others wait for a worker. `None` is no limit.
    pub workers: Option<Arc<Semaphore>>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Share of requests that `fault` hits, 0 to 1.
    pub fault_share: f64,
    /// Statuses of informational answers sent first (plain HTTP/1.1 only).
    pub informational: Vec<u16>,
    /// Whether to answer before the body of the request has arrived.
    pub early: Early,
    /// Close connections that were quiet for this long, without a word.
    pub idle_close: Option<Duration>,
    /// Add `Connection: close` to each answer (HTTP/1.1).
    pub close_after_answer: bool,
    /// More header fields for each answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What `/healthz` says.
    pub health: Health,
}

/// The kind of answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// By the request's path; other paths give [`Answer::Text`]:
    /// `/echo`, `/bytes/N`, `/chunked/N`, `/events/N`, `/status/CODE`, `/delay/MS`, `/upload`, `/trailers`.
    ByPath,
    /// One line: the server's name and the request's id.
    Text,
    /// The request as JSON: server, method, path, version, headers (list of pairs), body, body_bytes.
    Echo,
    /// This many patterned bytes with `Content-Length`.
    Bytes(u64),
    /// This many patterned bytes without a declared length.
    Chunked(u64),
    /// This many server-sent events, `chunk_delay` apart.
    Events(u64),
    /// JSON about the request's body: bytes, intact (its pattern matched).
    Upload,
    /// A line of text, then the trailer field `x-trailer: done`.
    Trailers,
}

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// TCP reset instead of an answer.
    ResetBeforeHead,
    /// Head and the first piece of the body, then a TCP reset.
    ResetAfterHead,
    /// Orderly close instead of an answer.
    CloseBeforeHead,
    /// Half of the body, then an orderly close (HTTP/2: the stream is reset).
    Truncate,
    /// Bytes that are no HTTP, then an orderly close (plain HTTP/1.1 only).
    Garbage,
}

/// When the answer is sent, relative to the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// After the whole body.
    No,
    /// Before the body, which is then read to its end.
    ThenRead,
    /// Before the body, which is never read (HTTP/1.1: the connection closes).
    ThenDrop,
}

/// What `GET /healthz` says, apart from traffic. A frozen server never answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// 200.
    Pass,
    /// This status.
    Fail(u16),
    /// Nothing, ever.
    Hang,
    /// As any other request: the script applies.
    Follow,
}

// === impl Behaviour ===

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            answer: Answer::ByPath,
            status: None,
            error_share: 0.0,
            error_status: 500,
            head_delay: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            chunk_bytes: 16 * 1024,
            read_delay: Duration::ZERO,
            workers: None,
            fault: None,
            fault_share: 1.0,
            informational: Vec::new(),
            early: Early::No,
            idle_close: None,
            close_after_answer: false,
            headers: Vec::new(),
            health: Health::Pass,
        }
    }
}

impl Behaviour {
    /// Serves at most `count` requests at once; with `head_delay` as service time this gives a server a capacity.
    pub fn limit_workers(&mut self, count: usize) {
        self.workers = Some(Arc::new(Semaphore::new(count)));
    }

    /// Lets `fault` hit `share` of the requests.
    pub fn inject(&mut self, fault: Fault, share: f64) {
        self.fault = Some(fault);
        self.fault_share = share;
    }
}

// === impl Answer ===

impl Answer {
    /// The answer for a path, as described at [`Answer::ByPath`].
    pub(crate) fn of_path(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/');
        let name = parts.next().unwrap_or_default();
        let number = parts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        match name {
            "echo" => Self::Echo,
            "bytes" => Self::Bytes(number),
            "chunked" => Self::Chunked(number),
            "events" => Self::Events(number),
            "upload" => Self::Upload,
            "trailers" => Self::Trailers,
            _ => Self::Text,
        }
    }
}
