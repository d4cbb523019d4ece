//! One connection of a scripted server, which can be cut at any moment.
//!
//! hyper owns a connection's stream, but a script must reset it, or slip bytes in, from a request handler. So hyper
//! gets a [`SharedStream`], and [`ConnState`] keeps a weak handle to the same socket. Cutting drops hyper's side; a
//! reset first sets zero linger, so that the close becomes an RST.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// How to end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not at all.
    No,
    /// FIN (the kernel makes it an RST when unread bytes are waiting).
    Close,
    /// RST.
    Reset,
}

/// What handlers know of their connection.
#[derive(Debug)]
pub(crate) struct ConnState {
    /// From 1, in the order of accepting.
    pub(crate) number: u64,
    stream: Weak<TcpStream>,
    is_plain: bool,
    cut: watch::Sender<Cut>,
    in_flight: AtomicUsize,
    quiet_since: Mutex<Instant>,
}

/// A TCP stream that several owners may use; it closes when the last one is gone.
#[derive(Debug, Clone)]
pub(crate) struct SharedStream(pub(crate) Arc<TcpStream>);

// === impl ConnState ===

impl ConnState {
    pub(crate) fn new(number: u64, stream: &Arc<TcpStream>, is_plain: bool) -> Self {
        Self {
            number,
            stream: Arc::downgrade(stream),
            is_plain,
            cut: watch::Sender::new(Cut::No),
            in_flight: AtomicUsize::new(0),
            quiet_since: Mutex::new(Instant::now()),
        }
    }

    /// Ends the connection; its futures are dropped soon after.
    pub(crate) fn cut(&self, how: Cut) {
        self.cut.send_replace(how);
    }

    /// Resolves when someone called [`ConnState::cut`].
    pub(crate) async fn wait_cut(&self) -> Cut {
        let mut cut = self.cut.subscribe();
        match cut.wait_for(|how| *how != Cut::No).await {
            Ok(how) => *how,
            Err(_) => Cut::Close,
        }
    }

    /// Puts bytes on the wire around hyper; does nothing on TLS.
    pub(crate) fn write_raw(&self, bytes: &[u8]) {
        if let Some(stream) = self.stream.upgrade()
            && self.is_plain
        {
            // Fails when the peer is gone or its window is full; the peer then misses the bytes, as it would.
            let _ = stream.try_write(bytes);
        }
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        *self
            .quiet_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long no request has been under way; zero while one is.
    pub(crate) fn quiet(&self) -> Duration {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.quiet_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}

// === impl SharedStream ===

impl SharedStream {
    /// Whether the kernel holds bytes that nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(&*self.0, &mut [0; 1][..], peek).is_ok_and(|(length, _)| length > 0)
    }

    /// Ends both directions as a close does: from here on the kernel takes nothing more and resets what comes. Gives what it had
    /// taken before and nobody has read, up to 64 KiB.
    pub(crate) fn hang_up(&self) -> Vec<u8> {
        // Both fail only on a socket that is dead already.
        let _ = shutdown(&*self.0, Shutdown::Both);
        let mut bytes = vec![0; 64 * 1024];
        let taken = recv(&*self.0, &mut bytes[..], RecvFlags::DONTWAIT);
        bytes.truncate(taken.map_or(0, |(length, _)| length));
        bytes
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Ending only our half would need the socket itself; dropping the last owner ends both.
        Poll::Ready(Ok(()))
    }
}
