//! What waits to be written to a connection, seen from beside its session.

use super::{Inner, Wire};
use crate::clock;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::ext::get_tcp_info;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The kernel's name of a connection that is over (`TCP_CLOSE` in `tcp_states.h`).
const TCP_CLOSE: u8 = 7;

/// The write side of a detached [`Wire`].
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    shared: Arc<Mutex<Inner>>,
}

// === impl Handle ===

impl Handle {
    pub(super) const fn new(shared: Arc<Mutex<Inner>>) -> Self {
        Self { shared }
    }

    /// The handle of a session's stream, when it is a [`Wire`] whose writes never wait.
    pub(crate) fn of(stream: &Stream) -> Option<Self> {
        let wire = stream.as_any().downcast_ref::<Wire>()?;
        let handle = wire.handle();
        let detached = handle.lock().detached;
        detached.then_some(handle)
    }

    /// Whether something waits to be taken by the kernel.
    pub(crate) fn has_backlog(&self) -> bool {
        let inner = self.lock();
        !inner.pending.is_empty() || inner.unflushed
    }

    /// Waits until the kernel has taken everything. Cancel-safe.
    ///
    /// # Errors
    /// The connection broke, or the kernel took nothing for `limit`.
    pub(crate) async fn drained(&self, limit: Duration) -> io::Result<()> {
        loop {
            let drain = std::future::poll_fn(|cx| self.lock().poll_drain(cx));
            let patience = limit.saturating_sub(self.stalled_for());
            match pingora_timeout::timeout(patience, drain).await {
                Ok(drained) => return drained,
                Err(_) if self.stalled_for() >= limit => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(_) => {}
            }
        }
    }

    /// Whether the peer's kernel gave the connection up without having taken a byte of what was written since
    /// [`Wire::begin`]: then its application can't have seen the request, whatever its method. `None` as long as that
    /// is open, and over TLS, whose records are not ours to count.
    ///
    /// A server that closes an idle connection answers data that comes after it with a reset, and acknowledges
    /// none of it. The kernel tells what was acknowledged (`tcpi_bytes_acked`, RFC 4898), and that the reset has come
    /// (`tcpi_state`).
    pub(crate) fn is_unheard(&self) -> Option<bool> {
        let inner = self.lock();
        if inner.transport.is_tls() {
            return Some(false);
        }
        let info = get_tcp_info(inner.transport.fd()).ok()?;
        // The SYN counts as a byte.
        if info.tcpi_bytes_acked > inner.mark + 1 {
            return Some(false);
        }
        (info.tcpi_state == TCP_CLOSE).then_some(true)
    }

    /// Says that nothing more will be written, and reads what still comes until the peer ends too, `limit` at most. A socket that is
    /// closed with unread bytes is reset, and the reset takes with it what the peer has not read yet (RFC 9112 §9.6; nginx's
    /// `lingering_close`).
    pub(crate) async fn linger(&self, limit: Duration) {
        let mut is_said = false;
        let farewell = std::future::poll_fn(|cx| {
            let mut inner = self.lock();
            if !is_said {
                ready!(inner.poll_drain(cx))?;
                ready!(Pin::new(&mut inner.transport).poll_shutdown(cx))?;
                is_said = true;
            }
            let mut room = [MaybeUninit::uninit(); 4096];
            let mut sink = ReadBuf::uninit(&mut room);
            loop {
                sink.clear();
                ready!(Pin::new(&mut inner.transport).poll_read(cx, &mut sink))?;
                if sink.filled().is_empty() {
                    return Poll::Ready(io::Result::Ok(()));
                }
            }
        });
        let _ = pingora_timeout::timeout(limit, farewell).await;
    }

    fn stalled_for(&self) -> Duration {
        let since = self.lock().stalled;
        since.map_or(Duration::ZERO, |since| clock::now().since(since))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
