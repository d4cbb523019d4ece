//! HTTP over the unix socket of a replica on this machine.
//!
//! # Choice
//! hyper's client connection over tokio's `UnixStream`: one request, one connection. The HTTP library of [`crate::client`] opens TCP
//! only, and its way to bring another transport is outside its promise of stability.
//!
//! # Rejected
//! An HTTP/1 client of our own: answers come chunked or with a length, and hyper is here already for the demo's servers.

use crate::client::{MAX_ANSWER, Post, late, unreachable};
use crate::failure::{Exit, Failure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::UnixStream;

/// What an admin address begins with when it is a socket's path.
pub(crate) const SCHEME: &str = "unix:";

/// Status and body of a GET, or of a POST when there is something to send. Not to be called from within a tokio runtime.
pub(crate) fn exchange(
    socket: &str,
    path: &str,
    post: Option<&Post>,
    timeout: Duration,
) -> Result<(u16, String), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(socket, &error))?;
    runtime.block_on(ask(socket, path, post, timeout))
}

/// The same from within a runtime.
pub(crate) async fn ask(
    socket: &str,
    path: &str,
    post: Option<&Post>,
    timeout: Duration,
) -> Result<(u16, String), Failure> {
    let admin = format!("{SCHEME}{socket}");
    let request = request(path, post).map_err(|error| failed(socket, &error))?;
    let asked = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| unreachable(&admin, &error.to_string()))?;
        let answer = answer(stream, request).await;
        answer.map_err(|error| failed(socket, &error))
    };
    match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(late(&admin, timeout)),
    }
}

fn failed(socket: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("asking {SCHEME}{socket}: {error}"))
}

fn request(path: &str, post: Option<&Post>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let request = Request::builder().uri(path).header("host", "localhost");
    match post {
        None => request.body(Full::default()),
        Some(post) => request
            .method("POST")
            .header("content-type", "application/json")
            .header("x-lb-request", "1")
            .body(Full::from(post.body.clone())),
    }
}

async fn answer(
    stream: UnixStream,
    request: Request<Full<Bytes>>,
) -> Result<(u16, String), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asked = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let limit = usize::try_from(MAX_ANSWER).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), limit).collect().await?;
        Ok((status, String::from_utf8(body.to_bytes().to_vec())?))
    };
    tokio::pin!(connection, asked);
    tokio::select! {
        answer = &mut asked => answer,
        // The connection may end before its last answer has been read.
        ended = &mut connection => { ended?; asked.await }
    }
}
