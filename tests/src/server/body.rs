//! The body of an answer: what it consists of, and a producer that sends it bit by bit and breaks it on command.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use tokio::time::sleep;

use super::Shared;
use super::answer::sleep_if;
use super::behaviour::{Behaviour, Fault};
use super::conn::{ConnState, Cut};
use super::flight::{Flight, Tracked};
use crate::feed::{Feed, feed};
use crate::pattern;

/// Between the last bytes and the cut: long enough for the peer to read them, so that it sees both.
pub(super) const LAG: Duration = Duration::from_millis(15);

/// The body to send, before faults.
pub(super) enum Content {
    Whole(Bytes),
    Pattern {
        seed: u64,
        length: u64,
        is_declared: bool,
    },
    Events(u64),
    WithTrailers(Bytes),
}

/// Sends a body bit by bit, and breaks it where the script says.
struct Producer {
    shared: Arc<Shared>,
    conn: Arc<ConnState>,
    pause: Duration,
    piece: usize,
    fault: Option<Fault>,
    is_http2: bool,
}

pub(super) fn body_of(
    content: Content,
    script: &Behaviour,
    mut flight: Flight,
    fault: Option<Fault>,
    version: Version,
) -> Tracked {
    match content {
        Content::Whole(bytes) if fault.is_none() && script.chunk_delay.is_zero() => {
            Tracked::whole(bytes, flight)
        }
        content => {
            if fault.is_some() {
                flight.fault();
            }
            let (feed, body) = feed();
            let left = content.length();
            let producer = Producer {
                shared: flight.shared.clone(),
                conn: flight.conn.clone(),
                pause: script.chunk_delay,
                piece: script.chunk_bytes.max(1),
                fault,
                is_http2: version == Version::HTTP_2,
            };
            tokio::spawn(producer.run(content, feed));
            Tracked::new(body, flight, left)
        }
    }
}

// === impl Producer ===

impl Producer {
    async fn run(self, content: Content, mut feed: Feed) {
        let stop_after = self.fault.map(|fault| match fault {
            Fault::Truncate => content.length().unwrap_or(2) / 2,
            _ => 1,
        });
        let mut sent = 0_u64;
        let mut index = 0_u64;
        while let Some(mut bytes) = content.piece(sent, index, self.piece) {
            if index > 0 {
                sleep_if(self.pause).await;
            }
            self.shared.wait_open().await;
            let room = stop_after.map_or(usize::MAX, |stop| {
                usize::try_from(stop.saturating_sub(sent)).unwrap_or(usize::MAX)
            });
            bytes.truncate(room);
            sent += bytes.len() as u64;
            index += 1;
            if feed.send_data(bytes).await.is_err() {
                return;
            }
            if stop_after.is_some_and(|stop| sent >= stop) {
                return self.cut(feed).await;
            }
        }
        if matches!(content, Content::WithTrailers(_)) {
            let fields = HeaderMap::from_iter([(
                HeaderName::from_static("x-trailer"),
                HeaderValue::from_static("done"),
            )]);
            // Fails only when the peer went away.
            let _ = feed.send_trailers(fields).await;
        }
    }

    async fn cut(self, feed: Feed) {
        sleep(LAG).await;
        match self.fault {
            Some(Fault::Truncate) if self.is_http2 => {
                feed.abort(io::Error::other("cut short by the script"))
                    .await;
            }
            Some(Fault::Truncate) => self.conn.cut(Cut::Close),
            _ => self.conn.cut(Cut::Reset),
        }
    }
}

// === impl Content ===

impl Content {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Pattern { length, .. } => Some(*length),
            Self::Events(_) | Self::WithTrailers(_) => None,
        }
    }

    /// The length to announce in `Content-Length`.
    pub(super) fn declared(&self) -> Option<u64> {
        match self {
            Self::Pattern {
                is_declared: false, ..
            } => None,
            other => other.length(),
        }
    }

    /// The bytes from `sent` on (events: the event `index`), at most `limit`; `None` at the end.
    fn piece(&self, sent: u64, index: u64, limit: usize) -> Option<Bytes> {
        match self {
            Self::Whole(bytes) | Self::WithTrailers(bytes) => {
                let start = usize::try_from(sent)
                    .ok()
                    .filter(|start| *start < bytes.len())?;
                Some(bytes.slice(start..bytes.len().min(start + limit)))
            }
            Self::Pattern { seed, length, .. } => {
                let left = length.checked_sub(sent).filter(|left| *left > 0)?;
                Some(pattern::chunk(
                    *seed,
                    sent,
                    usize::try_from(left).map_or(limit, |n| n.min(limit)),
                ))
            }
            Self::Events(count) => (index < *count)
                .then(|| Bytes::from(format!("id: {index}\ndata: event {index}\n\n"))),
        }
    }
}
