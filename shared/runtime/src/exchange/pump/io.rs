//! Single steps of the two directions.

use crate::wire::Handle;
use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::client::HttpSession as Upstream;
use pingora_error::{BError, Error, ErrorType};
use std::io;
use std::time::Duration;

/// The endpoint takes no more of the request.
pub(super) struct Stuck;

/// The next piece of the response. Cancel-safe.
pub(in super::super) async fn next_task(upstream: &mut Upstream) -> Result<HttpTask, BError> {
    match upstream {
        Upstream::H1(h1) => h1.read_response_task().await,
        Upstream::H2(h2) => {
            if h2.response_header().is_none() {
                h2.read_response_header().await?;
                let end = h2.check_response_end_or_error()?;
                let Some(head) = h2.response_header().cloned() else {
                    return Err(Error::explain(
                        ErrorType::InvalidH2,
                        "a response without a head",
                    ));
                };
                return Ok(HttpTask::Header(Box::new(head), end));
            }
            match h2.read_response_body().await? {
                Some(piece) => {
                    let end = h2.check_response_end_or_error()?;
                    Ok(HttpTask::Body(Some(piece), end))
                }
                None => {
                    let trailers: Option<HeaderMap> = h2.read_trailers().await?;
                    Ok(HttpTask::Trailer(trailers.map(Box::new)))
                }
            }
        }
        Upstream::Custom(()) => Ok(HttpTask::Done),
    }
}

/// The next piece of the response when it is there already.
pub(super) fn ready_task(upstream: &mut Upstream) -> Option<Result<HttpTask, BError>> {
    use futures_util::FutureExt;
    tokio::task::unconstrained(next_task(upstream)).now_or_never()
}

/// Waits until one side has taken what waits for it. Cancel-safe.
pub(super) async fn drained(side: Option<&Handle>, limit: Duration) -> io::Result<()> {
    match side {
        Some(side) => side.drained(limit).await,
        None => Ok(()),
    }
}

/// Sends as much of `pending` as the stream's window takes. Cancel-safe: what was not sent stays.
pub(super) async fn send_some(
    upload: &mut Option<SendStream<Bytes>>,
    pending: &mut Bytes,
    limit: Duration,
) -> Result<(), Stuck> {
    let Some(stream) = upload else { return Ok(()) };
    stream.reserve_capacity(pending.len());
    let window = std::future::poll_fn(|cx| stream.poll_capacity(cx));
    match pingora_timeout::timeout(limit, window).await {
        Ok(Some(Ok(window))) => {
            let piece = pending.split_to(window.min(pending.len()));
            stream.send_data(piece, false).map_err(|_closed| Stuck)
        }
        Ok(Some(Err(_)) | None) | Err(_) => Err(Stuck),
    }
}
