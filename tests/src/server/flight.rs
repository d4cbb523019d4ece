//! A request under way, and the body of its answer: both end in the ledger, however they end.
//!
//! hyper drops a request's futures and body when the peer goes away, so "aborted" is what a drop means unless
//! something said otherwise before.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, SizeHint};

use super::Shared;
use super::conn::ConnState;
use super::ledger::{Entry, Fate, Seen};

/// A request under way; dropping it before `finish` means that the peer went away.
pub(super) struct Flight {
    pub(super) shared: Arc<Shared>,
    pub(super) conn: Arc<ConnState>,
    pub(super) entry: Option<Entry>,
    pub(super) fate: Fate,
}

/// A body that ends its flight when all of it was handed over.
pub(super) struct Tracked {
    inner: UnsyncBoxBody<Bytes, io::Error>,
    flight: Flight,
    left: Option<u64>,
}

// === impl Flight ===

impl Flight {
    /// `None` stands for a health probe, which is only counted.
    pub(super) fn begin(shared: Arc<Shared>, conn: Arc<ConnState>, seen: Option<Seen>) -> Self {
        conn.begin();
        let entry = seen.map(|seen| shared.ledger.begin(seen));
        if entry.is_none() {
            shared.ledger.probe();
        }
        Self {
            shared,
            conn,
            entry,
            fate: Fate::Aborted,
        }
    }

    pub(super) fn note_status(&self, status: u16) {
        if let Some(entry) = self.entry {
            self.shared
                .ledger
                .update(entry, |seen| seen.status = status);
        }
    }

    /// The script breaks this one, whatever happens to its body.
    pub(super) fn fault(&mut self) {
        if let Some(entry) = self.entry {
            self.shared
                .ledger
                .update(entry, |seen| seen.fate = Fate::Faulted);
        }
        self.fate = Fate::Faulted;
    }

    fn finish(&mut self) {
        if self.fate == Fate::Aborted {
            self.fate = Fate::Answered;
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.shared.ledger.end(entry, self.fate);
        }
        self.conn.end();
    }
}

// === impl Tracked ===

impl Tracked {
    /// All bytes at once.
    pub(super) fn whole(bytes: Bytes, flight: Flight) -> Self {
        let left = Some(bytes.len() as u64);
        Self::new(
            Full::new(bytes).map_err(infallible).boxed_unsync(),
            flight,
            left,
        )
    }

    /// No body, because HTTP forbids one here.
    pub(super) fn none(mut flight: Flight) -> Self {
        flight.fate = Fate::Answered;
        Self::new(
            Empty::new().map_err(infallible).boxed_unsync(),
            flight,
            None,
        )
    }

    /// Any body; `left` is its length, when known.
    pub(super) fn new(
        inner: UnsyncBoxBody<Bytes, io::Error>,
        flight: Flight,
        left: Option<u64>,
    ) -> Self {
        Self {
            inner,
            flight,
            left,
        }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.flight.finish(),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(length));
                if self.left == Some(0) {
                    self.flight.finish();
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn infallible(error: Infallible) -> io::Error {
    match error {}
}
