//! A body that is sent bit by bit.
//!
//! http-body-util has a channel for that, which loses the last piece when its sender is dropped between the reader's two looks, one for a piece
//! and one for the end. On a busy machine, two of some thirty thousand answers of the scripted servers were cut short so.

use std::io;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::http::Body;

/// The end at which pieces go in; when it is dropped, the body is complete.
#[derive(Debug)]
pub struct Feed(mpsc::Sender<io::Result<Frame<Bytes>>>);

/// Nobody reads the body any more.
#[derive(Debug)]
pub struct Unread;

/// A body and its feed, which is one piece ahead of the reader at most.
pub fn feed() -> (Feed, Body) {
    let (feed, mut pieces) = mpsc::channel(1);
    let pieces = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    (Feed(feed), StreamBody::new(pieces).boxed_unsync())
}

// === impl Feed ===

impl Feed {
    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When nobody reads.
    pub async fn send_data(&mut self, bytes: Bytes) -> Result<(), Unread> {
        self.send(Ok(Frame::data(bytes))).await
    }

    /// Sends trailer fields, after which nothing may come.
    ///
    /// # Errors
    ///
    /// When nobody reads.
    pub async fn send_trailers(&mut self, fields: HeaderMap) -> Result<(), Unread> {
        self.send(Ok(Frame::trailers(fields))).await
    }

    /// Breaks the body off. Where nobody reads it, it is already.
    pub async fn abort(self, error: io::Error) {
        let _ = self.0.send(Err(error)).await;
    }

    async fn send(&self, frame: io::Result<Frame<Bytes>>) -> Result<(), Unread> {
        self.0.send(frame).await.map_err(|_returned| Unread)
    }
}

// === impl Unread ===

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the body")
    }
}

impl std::error::Error for Unread {}
