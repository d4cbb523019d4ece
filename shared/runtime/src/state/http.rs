//! Questions to other processes, each on a connection of its own.

use super::skew;
use crate::clock;
use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::time::UNIX_EPOCH;
use tokio::io::{AsyncRead, AsyncWrite};

/// Size of an answer.
const MAX_ANSWER: usize = 64 << 20;

/// An answer as a whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// How far the other's clock is ahead of this one's, in milliseconds, give or take a second.
    pub(super) ahead_ms: Option<i64>,
}

/// Sends a request; the answer's body may go on for ever. The caller sets the deadline.
///
/// # Errors
/// The connection breaks off before the answer's head.
pub(super) async fn send<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, or when the answer is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("state: a connection ended early: {error}");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// Sends a request and reads its answer to the end. The caller sets the deadline.
///
/// # Errors
/// The connection breaks off, or the answer is too long.
pub(super) async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<Reply>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let response = send(stream, request).await?;
    let (status, ahead_ms) = (response.status(), ahead(response.headers()));
    let body = Limited::new(response.into_body(), MAX_ANSWER);
    let body = body.collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    Ok(Reply {
        status,
        body,
        ahead_ms,
    })
}

fn ahead(headers: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let theirs = date.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let theirs = u64::try_from(theirs).ok()?;
    Some(skew::ahead(theirs, clock::unix_millis()))
}

// === impl Reply ===

impl Reply {
    /// What an answer that is no success says, in one line.
    pub(super) fn complaint(&self) -> String {
        let told: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let told = told.and_then(|told| {
            let text = told.get("error").or_else(|| told.get("message"))?;
            Some(text.as_str()?.to_owned())
        });
        let status = self.status.as_u16();
        told.map_or_else(
            || format!("status {status}"),
            |told| format!("{told} ({status})"),
        )
    }
}
