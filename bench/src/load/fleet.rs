//! A fixed number of connections under one epoll instance.
//!
//! A connection that the peer closes is replaced at once, and a request lost with it is reported as
//! failed: a contender that closes often must pay for it in the figures, not stop the run.

use std::io;
use std::net::TcpStream as StdStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::{Events, Interest, Poll, Registry, Token};

use super::Target;
use super::connection::{Connection, Event};
use crate::clock;

/// Large enough for the largest answer in one read.
const READ_BUFFER: usize = 80 * 1024;

/// The end of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Which connection is free again.
    pub(super) slot: usize,
    /// Time from the moment given at the start to the answer or the loss.
    pub(super) wait: Duration,
    /// Whether it was answered with a 2xx status.
    pub(super) ok: bool,
}

/// The connections and what they finished.
pub(super) struct Fleet {
    poll: Poll,
    events: Events,
    target: Target,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    done: Vec<Done>,
}

// === impl Fleet ===

impl Fleet {
    /// Opens `count` connections; fails when the target refuses one.
    pub(super) fn connect(target: Target, count: usize) -> anyhow::Result<Self> {
        let poll = Poll::new().context("creating an epoll instance")?;
        let mut connections = Vec::with_capacity(count);
        for slot in 0..count {
            let connection = open(poll.registry(), &target, slot)
                .with_context(|| format!("connecting to {}", target.address))?;
            connections.push(connection);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(count.max(64)),
            target,
            connections,
            buffer: vec![0; READ_BUFFER],
            done: Vec::with_capacity(count),
        })
    }

    /// Where further sources (a timer) can be registered, with tokens from `len()` on.
    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// The number of connections.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Sends the request on a free connection; its wait counts from `at`.
    pub(super) fn start(&mut self, slot: usize, at: Instant) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(slot) else {
            return Ok(());
        };
        if connection.start(&self.target.request, at).is_err() {
            self.replace(slot)?;
            self.done.push(Done {
                slot,
                wait: clock::now().saturating_duration_since(at),
                ok: false,
            });
        }
        Ok(())
    }

    /// Waits for events and appends finished requests to `done`, which is emptied first.
    pub(super) fn wait(&mut self, limit: Duration, done: &mut Vec<Done>) -> anyhow::Result<()> {
        done.clear();
        let limit = if self.done.is_empty() {
            limit
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(limit)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut broken = Vec::new();
        for event in &self.events {
            let slot = event.token().0;
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            let closed = event.is_read_closed() || event.is_error();
            let (started, ok, lost) = match connection.read(&mut self.buffer, closed) {
                Event::Answered(answer, at) => {
                    (Some(at), (200..300).contains(&answer.status), answer.close)
                }
                Event::Broken(at) => (at, false, true),
                Event::Pending => (None, true, connection.flush(&self.target.request).is_err()),
            };
            if lost {
                broken.push(slot);
            }
            if let Some(started) = started {
                let wait = clock::now().saturating_duration_since(started);
                self.done.push(Done { slot, wait, ok });
            }
        }
        for slot in broken {
            self.replace(slot)?;
        }
        done.append(&mut self.done);
        Ok(())
    }

    fn replace(&mut self, slot: usize) -> anyhow::Result<()> {
        let fresh = open(self.poll.registry(), &self.target, slot)
            .with_context(|| format!("reconnecting to {}", self.target.address))?;
        if let Some(connection) = self.connections.get_mut(slot) {
            *connection = fresh;
        }
        Ok(())
    }
}

/// Connects blocking, which on loopback takes some 50 µs, and then switches to non-blocking.
fn open(registry: &Registry, target: &Target, slot: usize) -> io::Result<Connection> {
    let stream = StdStream::connect_timeout(&target.address, Duration::from_secs(2))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = mio::net::TcpStream::from_std(stream);
    registry.register(
        &mut stream,
        Token(slot),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(Connection::new(stream))
}
