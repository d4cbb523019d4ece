//! How a stream ends when the process leaves.
//!
//! # Problem
//! Websockets, event streams and gRPC calls go on for as long as both sides like. Cut off by the exit, all of them look like a
//! crash, and their clients connect anew in one instant.
//!
//! # Choice
//! Each parts at a turn of its own, drawn when it begins (see [`crate::lifecycle::Lifecycle::parting`]), in the form that its
//! client understands:
//! - **websocket**: a close frame 1001 to both ends, each between two frames of its direction; then what they still say is read and
//!   dropped until both have answered, [`ANSWER`] at most (RFC 6455 §5.5.1, §7.1.1).
//! - **gRPC**: trailers with status 14, UNAVAILABLE, which clients may try again elsewhere.
//! - **text/event-stream**: a clean end. Its readers connect anew at any end (HTML, "processEventSourceEndOfBody"), while after a
//!   break they are free to give up; an event that is cut in two is dropped by them; and a series that has a last event says so
//!   in that event, since no reader can tell an end from a restart.
//!
//! # Rejected
//! To end other responses so: their clients would take a half for the whole. They run to the deadline and are cut, as are gRPC
//! over HTTP/1, which has no trailers here, and gRPC-Web, whose trailers are part of the body.
//!
//! # Limits
//! A client that takes nothing is not told: what waits for it comes first. Then the deadline cuts it. To find the boundaries of
//! a websocket's frames, its bytes are followed from the handshake on; other responses are not looked at.

use super::io::next_task;
use super::{Pump, TryEnd};
use crate::clock;
use crate::worker::{Shared, Streaming};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use lb_core::http::websocket::{FrameTracker, GOING_AWAY, close_frame};
use pingora_core::protocols::http::HttpTask;
use pingora_http::ResponseHeader;
use rand::RngExt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a websocket's ends may take to answer the close frame.
const ANSWER: Duration = Duration::from_secs(1);

/// A stream in flight.
pub(super) struct Stream {
    /// Counts it among those that have their own limit when the process leaves.
    _counted: Streaming,
    /// How it parts, and when; none: it is cut at the deadline.
    parts: Option<(Kind, Turn)>,
}

type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a stream is ended.
enum Kind {
    Websocket(Box<Frames>),
    Events,
    Grpc,
}

/// A websocket's two directions.
#[derive(Default)]
struct Frames {
    from_client: Way,
    from_server: Way,
}

/// One direction.
#[derive(Default)]
struct Way {
    frames: FrameTracker,
    /// Its receiver has got a close frame, from its sender or from us; what comes now is dropped.
    told: bool,
    /// Its sender sends no more.
    over: bool,
}

/// What came from either end.
enum Said {
    Client(Option<Bytes>),
    Server(Option<Bytes>),
    /// What waited for an end was taken, or will never be.
    Taken,
    Silence,
}

// === impl Stream ===

impl Stream {
    /// A stream whose response begins with `head`.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        peer: SocketAddr,
        head: &ResponseHeader,
        is_h2: bool,
    ) -> Self {
        let turn = || -> Turn {
            let lifecycle = shared.lifecycle.clone();
            let turn = clock::with_rng(|rng| rng.random());
            Box::pin(async move { lifecycle.parting(turn, clock::now).await })
        };
        Self {
            _counted: Streaming::begin(shared, peer),
            parts: Kind::of(head, is_h2).map(|kind| (kind, turn())),
        }
    }

    /// Whether it is told when the process leaves.
    pub(super) const fn will_part(&self) -> bool {
        self.parts.is_some()
    }

    /// Returns when it is its turn. Cancel-safe; not to be asked again.
    pub(super) async fn parting(stream: &mut Option<Self>) {
        match stream.as_mut().and_then(|stream| stream.parts.as_mut()) {
            Some((_, turn)) => turn.as_mut().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn on_client_bytes(&mut self, piece: &[u8]) {
        if let Some((Kind::Websocket(frames), _)) = &mut self.parts {
            frames.from_client.frames.pass(piece);
        }
    }

    pub(super) fn on_server_bytes(&mut self, piece: &[u8]) {
        if let Some((Kind::Websocket(frames), _)) = &mut self.parts {
            frames.from_server.frames.pass(piece);
        }
    }
}

// === impl Kind ===

impl Kind {
    fn of(head: &ResponseHeader, is_h2: bool) -> Option<Self> {
        let is = |name: HeaderName, test: fn(&[u8]) -> bool| {
            head.headers.get(name).is_some_and(|v| test(v.as_bytes()))
        };
        if head.status.as_u16() == 101 {
            let is_websocket = is(UPGRADE, |v| v.eq_ignore_ascii_case(b"websocket"));
            return is_websocket.then(|| Self::Websocket(Box::default()));
        }
        if is(CONTENT_TYPE, |v| v.starts_with(b"text/event-stream")) {
            // A body of known length can't end before it.
            let is_open = !head.headers.contains_key(http::header::CONTENT_LENGTH);
            return is_open.then_some(Self::Events);
        }
        let is_grpc = is(CONTENT_TYPE, |v| {
            v == b"application/grpc" || v.starts_with(b"application/grpc+")
        });
        (is_grpc && is_h2).then_some(Self::Grpc)
    }

    const fn label(&self) -> &'static str {
        match self {
            Self::Websocket(_) => "websocket",
            Self::Events => "events",
            Self::Grpc => "grpc",
        }
    }
}

// === impl Way ===

impl Way {
    /// What of `piece` is passed on, and whether a close frame of ours follows it.
    fn take(&mut self, piece: &Bytes) -> (Bytes, bool) {
        if self.told {
            self.frames.pass(piece);
            self.over |= self.frames.is_closed();
            return (Bytes::new(), false);
        }
        let Some(end) = self.frames.pass_to_boundary(piece) else {
            return (piece.clone(), false);
        };
        self.told = true;
        // Its sender closed of its own accord: there is nothing to add.
        let adds = !self.frames.is_closed();
        self.frames.pass(piece.get(end..).unwrap_or_default());
        self.over |= self.frames.is_closed();
        (piece.slice(..end), adds)
    }

    const fn is_done(&self) -> bool {
        self.told && self.over
    }
}

// === impl Pump ===

impl Pump<'_> {
    /// Ends the stream.
    pub(super) async fn part(&mut self) -> TryEnd {
        let status = self.head.unwrap_or_default();
        let Some((kind, _)) = self.stream.as_mut().and_then(|stream| stream.parts.take()) else {
            return TryEnd::ClientLeft { status: self.head };
        };
        let parted = &self.shared.metrics.families.drain_parted;
        parted.with_label_values(&[kind.label()]).inc();
        let farewell = match kind {
            Kind::Websocket(frames) => {
                self.close_websocket(*frames).await;
                return TryEnd::Complete {
                    status,
                    reusable: false,
                };
            }
            Kind::Events => HttpTask::Done,
            Kind::Grpc => HttpTask::Trailer(Some(Box::new(unavailable()))),
        };
        match self.session.response_duplex_vec(vec![farewell]).await {
            Ok(_) => TryEnd::Complete {
                status,
                reusable: false,
            },
            Err(_) => TryEnd::ClientLeft { status: self.head },
        }
    }

    /// Tells both ends of a websocket, and waits for their answers.
    async fn close_websocket(&mut self, mut frames: Frames) {
        let nothing = Bytes::new();
        self.tell_client(&mut frames, &nothing).await;
        self.tell_server(&mut frames, &nothing).await;
        let mut until = None;
        while !(frames.from_client.is_done() && frames.from_server.is_done()) {
            if frames.from_client.told && frames.from_server.told {
                until.get_or_insert_with(|| clock::now() + ANSWER);
            }
            let patience = until.map_or(self.idle_limit(), |until| clock::now().until(until));
            match self.listen(&frames, patience).await {
                Said::Client(Some(piece)) => self.tell_server(&mut frames, &piece).await,
                Said::Server(Some(piece)) => self.tell_client(&mut frames, &piece).await,
                // Whoever is gone in the middle of a frame leaves no room for another.
                Said::Client(None) if !frames.from_client.told => break,
                Said::Server(None) if !frames.from_server.told => break,
                Said::Client(None) => frames.from_client.over = true,
                Said::Server(None) => frames.from_server.over = true,
                Said::Taken => {}
                Said::Silence => break,
            }
        }
        if let Some(server) = &self.server {
            // If it can't be delivered, nobody is left to be told.
            let _ = server.drained(ANSWER).await;
        }
    }

    /// The next that either end says. An end that has not taken what it was sent holds the other back.
    async fn listen(&mut self, frames: &Frames, patience: Duration) -> Said {
        let limit = self.idle_limit();
        let client = self.client.as_ref().filter(|client| client.has_backlog());
        let server = self.server.as_ref().filter(|server| server.has_backlog());
        let (client_waits, server_waits) = (client.is_some(), server.is_some());
        let (hears_client, hears_server) = (!frames.from_client.over, !frames.from_server.over);
        tokio::select! {
            biased;
            _ = super::drained(client, limit), if client_waits => Said::Taken,
            _ = super::drained(server, limit), if server_waits => Said::Taken,
            task = next_task(self.upstream), if hears_server && !client_waits => Said::Server(match task {
                Ok(HttpTask::UpgradedBody(Some(piece), false)) => Some(piece),
                _ => None,
            }),
            piece = self.session.read_body_or_idle(false), if hears_client && !server_waits => {
                Said::Client(piece.ok().flatten())
            }
            () = pingora_timeout::sleep(patience) => Said::Silence,
        }
    }

    async fn tell_client(&mut self, frames: &mut Frames, piece: &Bytes) {
        let way = &mut frames.from_server;
        let (piece, adds) = way.take(piece);
        let close = adds.then(|| Bytes::from(close_frame(GOING_AWAY, None)));
        for bytes in [Some(piece), close].into_iter().flatten() {
            let task = HttpTask::UpgradedBody(Some(bytes), false);
            if self.session.response_duplex_vec(vec![task]).await.is_err() {
                frames.from_client.over = true;
            }
        }
    }

    async fn tell_server(&mut self, frames: &mut Frames, piece: &Bytes) {
        let (piece, adds) = frames.from_client.take(piece);
        let mask = || clock::with_rng(|rng| rng.random());
        let close = adds.then(|| Bytes::from(close_frame(GOING_AWAY, Some(mask()))));
        for bytes in [Some(piece), close].into_iter().flatten() {
            if !bytes.is_empty() {
                self.send(bytes).await;
            }
        }
        frames.from_server.over |= self.upload_broken;
    }
}

/// What a gRPC client takes for "ask again, elsewhere".
fn unavailable() -> HeaderMap {
    let fields = [("grpc-status", "14"), ("grpc-message", "leaving")];
    let fields = fields.map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    HeaderMap::from_iter(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            head.insert_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn only_what_has_a_form_of_goodbye_parts() {
        let kind = |status, fields: &[(&'static str, &'static str)], is_h2| {
            Kind::of(&head(status, fields), is_h2).map(|kind| kind.label())
        };
        let typed = |value, is_h2| kind(200, &[("content-type", value)], is_h2);
        assert_eq!(
            kind(101, &[("upgrade", "WebSocket")], false),
            Some("websocket")
        );
        assert_eq!(kind(101, &[("upgrade", "other")], false), None);
        assert_eq!(
            typed("text/event-stream; charset=utf-8", false),
            Some("events")
        );
        assert_eq!(typed("application/grpc", true), Some("grpc"));
        assert_eq!(typed("application/grpc+proto", true), Some("grpc"));
        assert_eq!(typed("application/grpc", false), None, "no trailers");
        assert_eq!(typed("application/grpc-web", true), None);
        assert_eq!(typed("text/html", true), None);
        let measured = [
            ("content-type", "text/event-stream"),
            ("content-length", "9"),
        ];
        assert_eq!(kind(200, &measured, false), None);
    }

    #[test]
    fn a_close_frame_comes_between_frames_and_after_it_nothing() {
        let mut way = Way::default();
        way.frames.pass(b"\x82\x05ab");
        assert_eq!(way.take(&Bytes::new()), (Bytes::new(), false), "inside");
        assert_eq!(
            way.take(&Bytes::from_static(b"cd")),
            (Bytes::from_static(b"cd"), false)
        );
        let (passed, adds) = way.take(&Bytes::from_static(b"e\x81\x01x"));
        assert_eq!((&passed[..], adds), (&b"e"[..], true));
        assert!(way.told && !way.over);
        assert_eq!(
            way.take(&Bytes::from_static(b"\x81\x01y")).0,
            Bytes::new(),
            "dropped"
        );
        way.take(&Bytes::from_static(b"\x88\x00"));
        assert!(way.is_done(), "answered");
    }

    #[test]
    fn who_closed_already_is_not_closed_again() {
        let mut way = Way::default();
        way.frames.pass(b"\x88\x00");
        assert_eq!(way.take(&Bytes::new()), (Bytes::new(), false));
        assert!(way.is_done());
        let mut way = Way::default();
        way.frames.pass(b"\x88");
        let (passed, adds) = way.take(&Bytes::from_static(b"\x00rest"));
        assert_eq!((&passed[..], adds), (&b"\x00"[..], false));
        assert!(way.is_done());
    }
}
