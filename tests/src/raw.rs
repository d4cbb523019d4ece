//! Bytes on a TCP connection: for requests that a proper client cannot send, and for seeing what a proxy forwards.
//!
//! [`RawConn`] is the client's side, stepwise; [`exchange`] writes once and reads. [`Recorder`] is the server's side:
//! it answers each request head with fixed bytes and keeps everything it received, so that a test can tell exactly
//! which bytes crossed the proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer closed properly.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// Nothing more came before the deadline; the connection is still open.
    Open,
    /// The awaited bytes are there.
    Found,
}

/// What was read, and how it ended.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// All bytes read.
    pub bytes: Vec<u8>,
    /// Why reading stopped.
    pub end: End,
}

/// A TCP connection under the test's control.
#[derive(Debug)]
pub struct RawConn {
    stream: TcpStream,
}

/// A server that records raw bytes and answers each head with the same bytes.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

/// Writes `bytes` on a new connection and reads until the peer closes or `deadline` has passed.
///
/// # Errors
///
/// When connecting fails. A write cut off by the peer is no error: what it answered is still read.
pub async fn exchange(address: SocketAddr, bytes: &[u8], deadline: Duration) -> Result<RawAnswer> {
    let mut conn = RawConn::connect(address).await?;
    conn.write(bytes).await.ok();
    Ok(conn.read_to_end(deadline).await)
}

// === impl RawConn ===

impl RawConn {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nothing accepts.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// When the peer has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends our end (FIN) while still reading.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn finish(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Resets the connection (RST) instead of closing it.
    ///
    /// # Errors
    ///
    /// When the socket refuses the option.
    pub fn reset(self) -> Result<()> {
        Ok(self.stream.set_zero_linger()?)
    }

    /// Reads until the peer ends the connection, at most for `deadline`.
    pub async fn read_to_end(&mut self, deadline: Duration) -> RawAnswer {
        self.read_while(deadline, |_| true).await
    }

    /// Reads until `wanted` was seen, at most for `deadline`.
    pub async fn read_until(&mut self, wanted: &[u8], deadline: Duration) -> RawAnswer {
        self.read_while(deadline, |bytes| !contains(bytes, wanted))
            .await
    }

    async fn read_while(&mut self, deadline: Duration, more: impl Fn(&[u8]) -> bool) -> RawAnswer {
        let until = Instant::now() + deadline;
        let mut bytes = Vec::new();
        let end = loop {
            match timeout_at(until, self.stream.read_buf(&mut bytes)).await {
                Ok(Ok(0)) => break End::Closed,
                Ok(Ok(_)) if more(&bytes) => {}
                Ok(Ok(_)) => break End::Found,
                Ok(Err(_)) => break End::Reset,
                Err(_) => break End::Open,
            }
        };
        RawAnswer { bytes, end }
    }
}

// === impl RawAnswer ===

impl RawAnswer {
    /// All of it as text, for messages and simple checks.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Status of the first answer; `None` when there is no status line.
    pub fn status(&self) -> Option<u16> {
        self.statuses().first().copied()
    }

    /// Statuses of all answers, informational ones included. A body that quotes a status line counts too.
    pub fn statuses(&self) -> Vec<u16> {
        let text = self.text();
        text.match_indices("HTTP/1.")
            .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
            .collect()
    }

    /// Whether the peer ended the connection, in either way.
    pub fn is_over(&self) -> bool {
        matches!(self.end, End::Closed | End::Reset)
    }
}

// === impl Recorder ===

impl Recorder {
    /// Starts on a free address; `answer` is sent after each blank line that ends a head.
    ///
    /// # Errors
    ///
    /// When no address is free.
    pub async fn start(answer: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind(crate::ports::free()?).await?;
        let address = listener.local_addr()?;
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let all = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let index = {
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(Vec::new());
                    all.len() - 1
                };
                tokio::spawn(record(stream, answer, all.clone(), index));
            }
        });
        Ok(Self {
            address,
            seen,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection received so far, in the order of their coming.
    pub fn received(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(
    mut stream: TcpStream,
    answer: &'static [u8],
    all: Arc<Mutex<Vec<Vec<u8>>>>,
    index: usize,
) {
    let mut answered = 0;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let heads = {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(mine) = all.get_mut(index) else {
                return;
            };
            mine.extend_from_slice(buffer.get(..length).unwrap_or_default());
            mine.windows(4)
                .filter(|window| window == b"\r\n\r\n")
                .count()
        };
        while answered < heads {
            answered += 1;
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes
        .windows(wanted.len().max(1))
        .any(|window| window == wanted)
}
