//! One GET of the admin API at a unix socket.

use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Time for an answer.
const LIMIT: Duration = Duration::from_secs(3);
/// Largest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;

/// Status and body of a GET.
pub(super) async fn get(socket: &Path, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: lbctl\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        parse(&answer).ok_or_else(|| io::Error::other("no HTTP answer"))
    };
    tokio::time::timeout(LIMIT, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The connection was to be closed after the answer, so that the body is the rest.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_status_and_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(parse(answer), Some((200, b"hi".to_vec())));
        assert_eq!(parse(b"HTTP/1.1 200"), None);
    }
}
