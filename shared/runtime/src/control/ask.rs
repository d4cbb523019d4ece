//! A question to another process's admin listener.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Size of one answer.
const MAX_ANSWER: usize = 16 << 10;

/// `GET path` on a connection of its own. The caller sets the deadline.
///
/// # Errors
/// No connection, no complete answer, another status than 2xx, or more than [`MAX_ANSWER`] bytes.
pub(super) async fn get(admin: &str, path: &str) -> anyhow::Result<Bytes> {
    let stream = match admin.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect(address).await?,
        Err(_) => TcpStream::connect(admin).await?,
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let request = http::Request::get(path)
            .header(http::header::HOST, admin)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "status {status}");
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let body = body.collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes())
    };
    // Driven here rather than by a task of its own, so that it ends with the caller's deadline.
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => return answer,
        ended = &mut connection => ended?,
    }
    exchange.await
}
