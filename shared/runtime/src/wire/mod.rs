//! A connection's bytes, as Pingora's HTTP sessions want them: to clients and to endpoints.
//!
//! # Problem
//! A session writes and waits. While it waits nothing is read from that side, so that two peers which
//! both send before they read lock each other through us, although either would read in the end. And
//! Pingora's own stream keeps 64 KiB of read buffer and reads the clock at every pending write.
//!
//! # Choice
//! A [`Wire`] that is *detached* takes every write at once: what the kernel does not accept waits here,
//! and whoever moves bytes asks the [`Handle`] for the backlog before it fetches the next piece. So each
//! direction waits for itself alone, and memory stays bounded by one piece. Without a request there is no
//! buffer at all, so that an idle connection costs little; small writes are collected, so that a
//! response's head and body leave in one system call.
//!
//! # Rejected
//! Splitting the sessions in two: Pingora's have one stream for both directions. Two tasks and a channel
//! for each direction, as pingora-proxy has: it costs several microseconds per request, and its upstream
//! half still stops reading while it writes.
//!
//! # Limits
//! HTTP/2 has its own flow control per stream and writes frames of all streams: its connections are not
//! detached. One lock guards both directions; it is never contended, since one task owns a connection.

mod handle;
mod pingora;
mod transport;

pub(crate) use handle::Handle;

use crate::clock;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use lb_core::http::chunk::{ChunkFault, ChunkScanner, Scanned};
use lb_core::time::Instant;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use transport::Transport;

/// Writes up to this size are collected; a larger one goes out at once.
const COLLECT: usize = 16 << 10;
/// What is read at a time while nothing is known of what comes; most heads fit.
const FIRST_READ: usize = 4 << 10;
/// First size of the buffer that collects.
const FIRST: usize = 1 << 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    shared: Arc<Mutex<Inner>>,
}

/// How an idle connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It can be used.
    Quiet,
    /// The peer has closed it.
    Closed,
    /// The peer spoke unasked.
    Unfit,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    /// Bytes that were read ahead and are read again first.
    ahead: Bytes,
    /// Bytes that wait for a flush, or for the kernel.
    pending: BytesMut,
    /// TLS may hold bytes of its own that the kernel has not taken.
    unflushed: bool,
    detached: bool,
    /// Since when the kernel has taken nothing of what waits.
    stalled: Option<Instant>,
    /// Checks the framing of the body that is being read.
    chunks: Option<ChunkScanner>,
    /// Bytes that the kernel has taken.
    sent: u64,
    /// Bytes that it had taken when the request began.
    mark: u64,
}

// === impl Wire ===

impl Wire {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::new(Transport::Plain(stream))
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::new(Transport::Tls(Box::new(stream)))
    }

    /// A connection that Pingora's connector opened.
    pub(crate) fn connected(stream: pingora_core::protocols::Stream) -> Self {
        Self::new(Transport::Connected(stream))
    }

    fn new(transport: Transport) -> Self {
        let inner = Inner {
            transport,
            ahead: Bytes::new(),
            pending: BytesMut::new(),
            unflushed: false,
            detached: false,
            stalled: None,
            chunks: None,
            sent: 0,
            mark: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(inner)),
        }
    }

    /// Makes every write succeed at once. The writer must ask [`Handle::backlog`] before the next piece.
    pub(crate) fn detach(self) -> Self {
        self.lock().detached = true;
        self
    }

    /// Ties writes to the kernel's pace again.
    pub(crate) fn attach(self) -> Self {
        self.lock().detached = false;
        self
    }

    /// Puts bytes back, to be read first.
    pub(crate) fn unread(&self, bytes: Bytes) {
        self.lock().ahead = bytes;
    }

    /// Checks that what comes next is a well-formed chunked body; `ahead` of it was read already. Reading fails with
    /// [`io::ErrorKind::InvalidData`] at the first fault: Pingora's reader takes a size without a digit for 0,
    /// and line ends that other readers don't.
    ///
    /// # Errors
    /// The fault, when it is in `ahead`.
    pub(crate) fn expect_chunks(&self, ahead: &[u8]) -> Result<(), ChunkFault> {
        let mut scanner = ChunkScanner::new();
        scanner.scan(ahead)?;
        self.lock().chunks = Some(scanner).filter(|scanner| !scanner.is_done());
        Ok(())
    }

    /// The way to what waits to be written, beside the session that owns the connection.
    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// Reads what comes next into `buffer`, which takes no memory until something has come.
    pub(crate) async fn read_first(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            let mut room = [MaybeUninit::uninit(); FIRST_READ];
            let mut read = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut *self).poll_read(cx, &mut read))?;
            buffer.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
        .await
    }

    /// How an idle connection is. `cx` is woken when that changes.
    pub(crate) fn condition(&self, cx: &mut Context<'_>) -> Condition {
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let mut inner = self.lock();
        if !inner.pending.is_empty() || !inner.ahead.is_empty() {
            return Condition::Unfit;
        }
        match Pin::new(&mut inner.transport).poll_read(cx, &mut buf) {
            Poll::Pending => Condition::Quiet,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => Condition::Unfit,
            Poll::Ready(_) => Condition::Closed,
        }
    }

    /// Marks where a request begins, for [`Handle::is_unheard`].
    pub(crate) fn begin(&self) {
        let mut inner = self.lock();
        inner.mark = inner.sent;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    /// Hands everything that waits to the kernel.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pending.has_remaining() {
            match Pin::new(&mut self.transport).poll_write(cx, &self.pending) {
                Poll::Ready(Ok(0)) => return self.give_up(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    self.pending.advance(written);
                    self.sent += written as u64;
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return self.give_up(error),
                Poll::Pending => return self.stall(),
            }
        }
        self.pending = BytesMut::new();
        if self.unflushed {
            match Pin::new(&mut self.transport).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return self.give_up(error),
                Poll::Pending => return self.stall(),
            }
        }
        self.stalled = None;
        Poll::Ready(Ok(()))
    }

    fn stall(&mut self) -> Poll<io::Result<()>> {
        self.stalled.get_or_insert_with(clock::now);
        Poll::Pending
    }

    /// What can't be written is dropped: nobody waits for it any more.
    fn give_up(&mut self, error: io::Error) -> Poll<io::Result<()>> {
        self.pending = BytesMut::new();
        self.unflushed = false;
        self.stalled = None;
        Poll::Ready(Err(error))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.pending.len() + buf.len() > COLLECT {
            match self.poll_drain(cx) {
                Poll::Ready(drained) => drained?,
                Poll::Pending if self.detached => return self.collect(buf),
                Poll::Pending => return Poll::Pending,
            }
        }
        if buf.len() <= COLLECT {
            return self.collect(buf);
        }
        self.unflushed = self.transport.is_tls();
        match Pin::new(&mut self.transport).poll_write(cx, buf) {
            Poll::Pending if self.detached => {
                let _ = self.stall();
                self.collect(buf)
            }
            Poll::Ready(Ok(written)) => {
                self.sent += written as u64;
                Poll::Ready(Ok(written))
            }
            other => other,
        }
    }

    fn scan(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(scanner) = &mut self.chunks else {
            return Ok(());
        };
        match scanner.scan(bytes) {
            Ok(Scanned::More) => Ok(()),
            Ok(Scanned::End { .. }) => {
                self.chunks = None;
                Ok(())
            }
            Err(fault) => Err(io::Error::new(io::ErrorKind::InvalidData, fault)),
        }
    }

    fn collect(&mut self, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.unflushed = self.transport.is_tls();
        if self.pending.capacity() == 0 {
            // Room for the body that follows the head.
            self.pending.reserve(buf.len().max(FIRST));
        }
        self.pending.put_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }
}

// === what sessions ask of a connection ===

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.ahead.has_remaining() {
            let count = inner.ahead.len().min(buf.remaining());
            buf.put_slice(&inner.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        // Whoever reads has nothing more to write for now. Pingora's session flushes a body of known
        // length at its end only: a slow one would stay here until then. What goes wrong shows at
        // the next write.
        if !inner.pending.is_empty() {
            let _ = inner.poll_drain(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.transport).poll_read(cx, buf))?;
        inner.scan(buf.filled().get(before..).unwrap_or_default())?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        match inner.poll_drain(cx) {
            Poll::Pending if inner.detached => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_drain(cx))?;
        Pin::new(&mut inner.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
