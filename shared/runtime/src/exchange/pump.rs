//! Moving the bytes of one try: the request up, the response down, each at the other's pace.
//!
//! One loop watches both directions. A piece is read only when the piece before it was taken, so
//! back-pressure travels through and memory stays flat whatever the size; each direction waits for itself
//! alone (see [`crate::wire`]), so that peers which both send first don't lock each other. Over HTTP/2 a
//! response waits for its stream's window and its request waits with it. While the response is awaited the
//! client is watched too: when it leaves, dropping the upstream session cancels the work at once.
//!
//! pingora-proxy does the same with two tasks and two channels per request. It knows one read timeout
//! for an upstream, which has to serve as first-byte limit, as idle limit of a download and as idle
//! limit of a websocket; here each phase sets its own.

mod io;
mod parting;

use super::request::Request;
use super::response_head;
use crate::wire::Handle;
use crate::worker::Shared;
use bytes::Bytes;
use h2::SendStream;
pub(super) use io::next_task;
use io::{Stuck, drained, ready_task, send_some};
use lb_core::reason::Reason;
use lb_core::retry::Failure;
use parting::Stream;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::client::HttpSession as Upstream;
use pingora_error::{BError, ErrorType};
use std::io::{ErrorKind, Result as IoResult};
use std::sync::Arc;
use std::time::Duration;

/// Pieces of a response that are gathered into one write.
const GATHER: usize = 4;

/// How often, and how many times, the kernel is asked whether a reset has come.
const RESET_POLL: Duration = Duration::from_millis(2);
const RESET_POLLS: usize = 15;

/// How a try ended.
#[derive(Debug)]
pub(super) enum TryEnd {
    /// The response went to the client in full. Tells whether the upstream connection may be kept.
    Complete { status: u16, reusable: bool },
    /// Another try follows after the pause; the user saw nothing.
    Retry(Duration),
    /// The try failed; the user saw nothing.
    Failed(Failure),
    /// The client's fault: this answer, if it can still be given.
    Refused(Reason),
    /// The response broke off after its head.
    Broken { status: u16, reason: Reason },
    /// The client left.
    ClientLeft { status: Option<u16> },
}

/// One try's two directions.
pub(super) struct Pump<'a> {
    pub(super) session: &'a mut ServerSession,
    pub(super) upstream: &'a mut Upstream,
    pub(super) request: &'a mut Request,
    /// What waits to be taken by the client, over HTTP/1.
    client: Option<Handle>,
    /// What waits to be taken by the endpoint, over HTTP/1.
    server: Option<Handle>,
    /// The request's way to the endpoint, over HTTP/2.
    upload: Option<SendStream<Bytes>>,
    /// The piece that waits for its window.
    pending: Bytes,
    /// The upstream takes no more of the request; what it answered is still read.
    upload_broken: bool,
    head: Option<u16>,
    tunnel: bool,
    shared: &'a Arc<Shared>,
    /// A response that goes on for as long as both sides like, and is told when the process leaves.
    stream: Option<Stream>,
}

/// What happened next.
enum Event {
    Response(Result<HttpTask, BError>),
    Body(Result<Option<Bytes>, BError>),
    /// The endpoint took what waited, or broke off.
    Uploaded(Result<(), Stuck>),
    /// The client took what waited, or broke off.
    Delivered(IoResult<()>),
    /// It is the stream's turn to end.
    Parting,
}

// === impl Pump ===

impl<'a> Pump<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        session: &'a mut ServerSession,
        upstream: &'a mut Upstream,
        request: &'a mut Request,
    ) -> Self {
        let client = session.as_http1().and_then(|h1| Handle::of(h1.stream()));
        let server = match &*upstream {
            Upstream::H1(h1) => Handle::of(h1.stream()),
            _ => None,
        };
        Self {
            session,
            upstream,
            request,
            client,
            server,
            upload: None,
            pending: Bytes::new(),
            upload_broken: false,
            head: None,
            tunnel: false,
            shared,
            stream: None,
        }
    }

    /// Runs the try to its end. The request's head has been sent.
    pub(super) async fn run(mut self) -> TryEnd {
        if let Upstream::H2(h2) = &mut *self.upstream {
            self.upload = h2.take_request_body_writer();
            self.say_continue().await;
        }
        self.replay().await;
        loop {
            self.set_read_timeout();
            let end = match self.next_event().await {
                Event::Response(Ok(task)) => self.on_response(task).await,
                Event::Response(Err(error)) => Some(self.on_upstream_error(&error).await),
                Event::Body(Ok(piece)) => self.on_body(piece).await,
                Event::Body(Err(error)) => Some(self.on_client_error(&error)),
                Event::Uploaded(result) => self.on_uploaded(result),
                Event::Delivered(Ok(())) => None,
                Event::Delivered(Err(_)) => Some(TryEnd::ClientLeft { status: self.head }),
                Event::Parting => Some(self.part().await),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Tells an HTTP/1.1 client that waits for it to send its body. An HTTP/1 endpoint says so itself and
    /// its word is passed on; one that speaks HTTP/2 is not asked (RFC 9110 §10.1.1 lets a proxy answer).
    async fn say_continue(&mut self) {
        let asked = self.session.req_header();
        let waits = asked.version == http::Version::HTTP_11
            && asked.headers.contains_key(http::header::EXPECT)
            && !self.request.body.complete
            && self.session.response_written().is_none();
        if waits {
            // A client that is gone shows at the next read.
            let _ = self.session.write_continue_response().await;
        }
    }

    async fn next_event(&mut self) -> Event {
        // A tunnel's bytes come after the request's body, which was complete before it began.
        let idle = self.request.body.complete && !self.tunnel;
        let patience = self.idle_limit();
        let client_patience = self.request.plan.limits.write_timeout.get();
        let client = self.client.as_ref().filter(|client| client.has_backlog());
        let server = self.server.as_ref().filter(|server| server.has_backlog());
        let (client_waits, server_waits) = (client.is_some(), server.is_some());
        let window_waits = !self.pending.is_empty();
        let parts = self.stream.as_ref().is_some_and(Stream::will_part);
        tokio::select! {
            biased;
            // First: the others may be ready all the time.
            () = Stream::parting(&mut self.stream), if parts => Event::Parting,
            taken = drained(client, client_patience), if client_waits => Event::Delivered(taken),
            taken = drained(server, patience), if server_waits => {
                Event::Uploaded(taken.map_err(|_broken| Stuck))
            }
            task = next_task(self.upstream), if !client_waits => Event::Response(task),
            sent = send_some(&mut self.upload, &mut self.pending, patience), if window_waits => {
                Event::Uploaded(sent)
            }
            piece = self.session.read_body_or_idle(idle), if !window_waits && !server_waits => {
                Event::Body(piece)
            }
        }
    }

    /// How long a side of a running exchange may stand still.
    fn idle_limit(&self) -> Duration {
        if self.tunnel {
            self.request.plan.limits.tunnel_idle_timeout.get()
        } else {
            self.request.rule.timeouts.idle
        }
    }

    /// Before the head: the first-byte limit, once the request is complete; until then the client sets
    /// the pace. After it: the idle limit, of a tunnel its own.
    fn set_read_timeout(&mut self) {
        let limit = match self.head {
            Some(_) => Some(self.idle_limit()),
            None if self.request.body.complete => Some(self.request.head_timeout()),
            None => None,
        };
        self.upstream.set_read_timeout(limit);
    }

    /// Sends what earlier tries took from the client, and the end of the body when it is known.
    async fn replay(&mut self) {
        for piece in self.request.body.kept().to_vec() {
            self.send(piece).await;
            while !self.pending.is_empty() && !self.upload_broken {
                let limit = self.idle_limit();
                let sent = send_some(&mut self.upload, &mut self.pending, limit).await;
                self.upload_broken |= sent.is_err();
            }
        }
        if self.request.body.complete {
            self.finish_upload().await;
        }
    }

    async fn on_body(&mut self, piece: Option<Bytes>) -> Option<TryEnd> {
        // Over HTTP/2 a body that trailers follow ends without the session calling it done.
        let ended = piece.is_none();
        match piece {
            Some(piece) if !piece.is_empty() => {
                let limit = if self.tunnel {
                    None
                } else {
                    self.request.rule.max_body
                };
                if !self.tunnel && !self.request.body.take(&piece, limit) {
                    return Some(match self.head {
                        None => TryEnd::Refused(Reason::BodyTooLarge),
                        Some(status) => TryEnd::Broken {
                            status,
                            reason: Reason::BodyTooLarge,
                        },
                    });
                }
                self.send(piece).await;
            }
            Some(_) => {}
            None if self.tunnel => {
                if let Some(server) = &self.server {
                    // What the client said last still goes out; if it can't, nobody is left to be told.
                    let _ = server.drained(self.idle_limit()).await;
                }
                let status = self.head.unwrap_or_default();
                return Some(TryEnd::Complete {
                    status,
                    reusable: false,
                });
            }
            None => {}
        }
        if !self.tunnel && (ended || self.session.is_body_done()) && !self.request.body.complete {
            self.request.body_ended();
            if self.head.is_none() {
                self.request.count_upload();
            }
            if self.pending.is_empty() {
                self.finish_upload().await;
            }
        }
        None
    }

    /// Hands a piece on. Over HTTP/2 it then waits for the window, beside the response.
    async fn send(&mut self, piece: Bytes) {
        if self.upload_broken {
            return;
        }
        if self.upload.is_some() {
            self.pending = piece;
            return;
        }
        if self.tunnel
            && let Upstream::H1(h1) = &mut *self.upstream
        {
            h1.maybe_upgrade_body_writer();
        }
        if let Some(stream) = &mut self.stream {
            stream.on_client_bytes(&piece);
        }
        let sent = self.upstream.write_request_body(piece, false).await;
        self.upload_broken |= sent.is_err();
    }

    async fn finish_upload(&mut self) {
        if self.upload_broken {
            return;
        }
        let finished = match self.upload.as_mut() {
            Some(upload) => upload.send_data(Bytes::new(), true).is_ok(),
            None => self.upstream.finish_request_body().await.is_ok(),
        };
        self.upload_broken |= !finished;
    }

    fn on_uploaded(&mut self, result: Result<(), Stuck>) -> Option<TryEnd> {
        if result.is_err() {
            self.upload_broken = true;
            self.pending = Bytes::new();
            self.server = None;
        }
        if self.pending.is_empty()
            && self.request.body.complete
            && let Some(upload) = self.upload.as_mut()
            && !self.upload_broken
        {
            self.upload_broken |= upload.send_data(Bytes::new(), true).is_err();
        }
        None
    }

    async fn on_response(&mut self, task: HttpTask) -> Option<TryEnd> {
        let mut tasks = Vec::with_capacity(GATHER);
        let mut task = task;
        loop {
            if let HttpTask::Header(head, _) = &mut task {
                let status = head.status.as_u16();
                if status >= 200 || status == 101 {
                    if let Err(end) = response_head::judge(self.session, self.request, head) {
                        return Some(end);
                    }
                    if response_head::is_stream(head) {
                        let is_h2 = self.session.is_http2();
                        self.stream =
                            Some(Stream::begin(self.shared, self.request.peer, head, is_h2));
                    }
                    self.begin_response(status);
                } else if self.session.req_header().version == http::Version::HTTP_10 {
                    return None;
                }
                response_head::prepare(self.session, self.request, head);
            }
            if let (HttpTask::UpgradedBody(Some(piece), _), Some(stream)) =
                (&task, &mut self.stream)
            {
                stream.on_server_bytes(piece);
            }
            let last = task.is_end();
            tasks.push(task);
            if last || tasks.len() == GATHER {
                break;
            }
            match ready_task(self.upstream) {
                Some(Ok(next)) => task = next,
                Some(Err(error)) => {
                    let _ = self.session.response_duplex_vec(tasks).await;
                    return Some(self.on_upstream_error(&error).await);
                }
                None => break,
            }
        }
        self.write(tasks).await
    }

    fn begin_response(&mut self, status: u16) {
        self.head = Some(status);
        self.tunnel = status == 101;
        if self.tunnel {
            // Either side may be silent for as long as the other: each event restarts both limits.
            self.session
                .set_read_timeout(Some(self.request.plan.limits.tunnel_idle_timeout.get()));
        }
        self.request.head_arrived();
        self.request.leave_admission(status);
    }

    async fn write(&mut self, tasks: Vec<HttpTask>) -> Option<TryEnd> {
        let over = tasks.last().is_some_and(HttpTask::is_end);
        if over {
            // The endpoint is done, however long the client takes to read the rest. A client that asks
            // again at once must not find its own last request as load.
            self.request.tries.in_flight = None;
        }
        let informational = self.head.is_none();
        match self.session.response_duplex_vec(tasks).await {
            Err(_) => Some(TryEnd::ClientLeft { status: self.head }),
            Ok(done) if (done || over) && !informational => {
                let status = self.head.unwrap_or_default();
                let waits = self.server.as_ref().is_some_and(Handle::has_backlog);
                let sent = self.request.body.complete && !self.upload_broken && !waits;
                Some(TryEnd::Complete {
                    status,
                    reusable: over && sent && !self.tunnel,
                })
            }
            Ok(_) => None,
        }
    }

    async fn on_upstream_error(&mut self, error: &BError) -> TryEnd {
        log::debug!("reading a response: {error}");
        let timed_out = *error.etype() == ErrorType::ReadTimedout;
        match self.head {
            Some(status) if self.tunnel => TryEnd::Complete {
                status,
                reusable: false,
            },
            Some(status) if timed_out => TryEnd::Broken {
                status,
                reason: Reason::IdleTimeout,
            },
            Some(status) => TryEnd::Broken {
                status,
                reason: Reason::Truncated,
            },
            None if timed_out => TryEnd::Failed(Failure::FirstByteTimeout),
            None => TryEnd::Failed(match failure_of(error) {
                Failure::Reset => self.on_break().await,
                failure => failure,
            }),
        }
    }

    /// The connection broke before the response's head. Whether the request may have been read matters when it must
    /// not be repeated; the endpoint's reset tells, and may still be on its way.
    async fn on_break(&mut self) -> Failure {
        if let Some(endpoint) = self
            .request
            .tries
            .last
            .as_ref()
            .filter(|_| self.request.tries.reused)
        {
            endpoint
                .idle_limit
                .on_close(self.request.tries.idle, self.request.now);
        }
        if !self.request.idempotent
            && let Some(server) = &self.server
            && is_unheard(server).await
        {
            return Failure::NotProcessed;
        }
        if self.request.tries.reused {
            Failure::Stale
        } else {
            Failure::Reset
        }
    }

    fn on_client_error(&mut self, error: &BError) -> TryEnd {
        log::debug!("reading a request: {error}");
        let malformed = error
            .root_cause()
            .downcast_ref::<std::io::Error>()
            .is_some_and(|cause| cause.kind() == ErrorKind::InvalidData);
        match (error.etype(), self.head) {
            (_, None) if malformed => TryEnd::Refused(Reason::BadRequest),
            (_, Some(status)) if self.tunnel => TryEnd::Complete {
                status,
                reusable: false,
            },
            (ErrorType::ReadTimedout, None) => TryEnd::Refused(Reason::ClientTimeout),
            (ErrorType::CustomCode(..) | ErrorType::Custom(_), None) => {
                TryEnd::Refused(Reason::BadRequest)
            }
            (_, status) => TryEnd::ClientLeft { status },
        }
    }
}

/// Whether the endpoint can't have seen the request, as soon as its kernel has told.
async fn is_unheard(server: &Handle) -> bool {
    for _ in 0..RESET_POLLS {
        if let Some(known) = server.is_unheard() {
            return known;
        }
        tokio::time::sleep(RESET_POLL).await;
    }
    false
}

/// What an upstream's error says about whether the request was processed.
pub(super) fn failure_of(error: &BError) -> Failure {
    let h2 = error.root_cause().downcast_ref::<h2::Error>();
    if h2.is_some_and(|e| {
        e.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (e.is_go_away() && e.is_remote() && e.reason() == Some(h2::Reason::NO_ERROR))
    }) {
        return Failure::NotProcessed;
    }
    match error.etype() {
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 | ErrorType::H2Error
            if h2.is_none() =>
        {
            Failure::Malformed
        }
        ErrorType::ReadTimedout => Failure::FirstByteTimeout,
        _ => Failure::Reset,
    }
}
