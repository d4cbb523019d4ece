//! Idle HTTP/1 connections to endpoints, of one event loop.
//!
//! # Problem
//! Pingora's pool costs a `getpeername`, a spawned watcher per released connection and a wake-up at its
//! next use, which is several percent of what a small request costs altogether. And it hands out the
//! connection that was idle longest, which keeps all of them warm and meets the endpoint's own idle limit
//! as often as possible.
//!
//! # Choice
//! A stack per endpoint: the connection that was used last goes out first, so that surplus ones grow old
//! at the bottom and are closed there. Nobody watches an idle connection: whether it has been closed is
//! asked when it is taken, which costs no system call while nothing has arrived. A sweep each second
//! closes what is too old or was closed by the endpoint.
//!
//! # Limits
//! A close that is on its way when a request is written is met by the request; see `Failure::Stale`.

use crate::clock;
use crate::wire::Wire;
use lb_core::balance::EndpointId;
use lb_core::time::Instant;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often idle connections are looked through.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);

/// The stacks.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    stacks: Mutex<Stacks>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Stacks {
    of: HashMap<EndpointId, Vec<Idle>>,
    count: usize,
}

#[derive(Debug)]
struct Idle {
    wire: Box<Wire>,
    since: Instant,
    limit: Duration,
}

// === impl IdleConnections ===

impl IdleConnections {
    /// Keeps at most `capacity` connections.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            stacks: Mutex::default(),
            capacity,
        }
    }

    /// Takes the connection to `endpoint` that was used last and still stands.
    pub(crate) fn take(&self, endpoint: EndpointId, now: Instant) -> Option<Box<Wire>> {
        let mut stacks = self.lock();
        loop {
            let idle = stacks.of.get_mut(&endpoint)?.pop()?;
            stacks.count = stacks.count.saturating_sub(1);
            if idle.is_usable(now) {
                return Some(idle.wire);
            }
        }
    }

    /// Keeps a connection for at most `limit`.
    pub(crate) fn put(&self, endpoint: EndpointId, wire: Box<Wire>, now: Instant, limit: Duration) {
        let mut stacks = self.lock();
        if stacks.count >= self.capacity {
            return;
        }
        stacks.count += 1;
        let idle = Idle {
            wire,
            since: now,
            limit,
        };
        stacks.of.entry(endpoint).or_default().push(idle);
    }

    /// Closes what is too old or was closed by its endpoint.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut stacks = self.lock();
        stacks.of.retain(|_, stack| {
            stack.retain(|idle| idle.is_usable(now));
            !stack.is_empty()
        });
        stacks.count = stacks.of.values().map(Vec::len).sum();
    }

    /// Sweeps for as long as the calling event loop turns.
    pub(crate) async fn keep_swept(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep(clock::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stacks> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Idle ===

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        now.since(self.since) < self.limit && self.wire.is_quiet()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const LIMIT: Duration = Duration::from_secs(10);

    async fn pair(listener: &TcpListener) -> (Box<Wire>, TcpStream) {
        let near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (Box::new(Wire::plain(near)), far)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[tokio::test]
    async fn the_connection_that_was_used_last_goes_out_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idle = IdleConnections::new(8);
        let (first, _far) = pair(&listener).await;
        let (second, mut far) = pair(&listener).await;
        idle.put(EndpointId(1), first, at(0), LIMIT);
        idle.put(EndpointId(1), second, at(1), LIMIT);
        assert!(idle.take(EndpointId(2), at(2)).is_none(), "another's");
        let mut taken = idle.take(EndpointId(1), at(2)).unwrap();
        taken.write_all(b"x").await.unwrap();
        taken.flush().await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_closed_or_aged_connection_is_not_handed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idle = IdleConnections::new(8);
        let (kept, _far) = pair(&listener).await;
        let (mut closed, far) = pair(&listener).await;
        idle.put(EndpointId(1), kept, at(0), LIMIT);
        drop(far);
        assert_eq!(closed.read(&mut [0; 1]).await.unwrap(), 0);
        idle.put(EndpointId(1), closed, at(1), LIMIT);
        idle.sweep(at(2));
        assert_eq!(idle.lock().count, 1, "the closed one is gone");
        assert!(
            idle.take(EndpointId(1), at(10_001)).is_none(),
            "the other one is too old"
        );
    }

    #[tokio::test]
    async fn no_more_than_the_capacity_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idle = IdleConnections::new(1);
        let (one, _far) = pair(&listener).await;
        let (two, _far2) = pair(&listener).await;
        idle.put(EndpointId(1), one, at(0), LIMIT);
        idle.put(EndpointId(1), two, at(0), LIMIT);
        assert_eq!(idle.lock().count, 1);
    }
}
