//! Connections of a load: which one carries the next request.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::Instant;

use super::Mode;
use crate::http::{Conn, Dial};

/// Idle HTTP/1.1 connections kept per target.
const MAX_IDLE: usize = 1_000;

/// Longest rest of an HTTP/1.1 connection that is used again. Who rests for longer than a proxy's lame duck may send a request at the very moment
/// when the proxy closes, which nobody can answer.
const MAX_REST: Duration = Duration::from_millis(1_500);

/// All connections of one load.
#[derive(Debug)]
pub(super) struct Pool {
    mode: Mode,
    targets: Vec<SocketAddr>,
    idle: Vec<Mutex<Vec<(Conn, Instant)>>>,
    shared: Vec<tokio::sync::Mutex<Option<Conn>>>,
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) conn: Conn,
    /// Whether it carried a request before.
    pub(super) is_reused: bool,
    target: usize,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(mode: Mode, targets: Vec<SocketAddr>) -> Self {
        let slots = match mode {
            Mode::H2c(count) => count.max(1) * targets.len(),
            Mode::KeepAlive | Mode::NewConnection => 0,
        };
        Self {
            mode,
            idle: targets.iter().map(|_| Mutex::default()).collect(),
            targets,
            shared: (0..slots).map(|_| tokio::sync::Mutex::default()).collect(),
        }
    }

    /// A connection to the target, else to the ones after it.
    pub(super) async fn lease(&self, target: usize, turn: u64, is_fresh: bool) -> Result<Lease> {
        let mut last = anyhow!("no target");
        for step in 0..self.targets.len() {
            let target = (target + step) % self.targets.len();
            let leased = match self.mode {
                Mode::H2c(_) => self.lease_shared(target, turn, is_fresh).await,
                Mode::KeepAlive if !is_fresh => self.lease_idle(target).await,
                Mode::KeepAlive | Mode::NewConnection => self.connect(target).await,
            };
            match leased {
                Ok(lease) => return Ok(lease),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Takes a connection back whose answer was read to the end.
    pub(super) fn give_back(&self, lease: Lease) {
        if self.mode == Mode::KeepAlive
            && let Some(mut idle) = self.lock_idle(lease.target)
            && idle.len() < MAX_IDLE
        {
            idle.push((lease.conn, Instant::now()));
        }
    }

    async fn connect(&self, target: usize) -> Result<Lease> {
        let address = *self.targets.get(target).context("no such target")?;
        let dial = match self.mode {
            Mode::H2c(_) => Dial::h2c(address),
            Mode::KeepAlive | Mode::NewConnection => Dial::http1(address),
        };
        Ok(Lease {
            conn: dial.connect().await?,
            is_reused: false,
            target,
        })
    }

    async fn lease_idle(&self, target: usize) -> Result<Lease> {
        let waiting = self.lock_idle(target).and_then(|mut idle| {
            while let Some((conn, since)) = idle.pop() {
                if !conn.is_closed() && since.elapsed() < MAX_REST {
                    return Some(conn);
                }
            }
            None
        });
        match waiting {
            Some(conn) => Ok(Lease {
                conn,
                is_reused: true,
                target,
            }),
            None => self.connect(target).await,
        }
    }

    async fn lease_shared(&self, target: usize, turn: u64, is_fresh: bool) -> Result<Lease> {
        let per_target = self.shared.len() / self.targets.len();
        let place = usize::try_from(turn)? / self.targets.len() % per_target;
        let slot = self
            .shared
            .get(target * per_target + place)
            .context("no such slot")?;
        let mut slot = slot.lock().await;
        let known = slot.as_ref().filter(|conn| !is_fresh && !conn.is_closed());
        if let Some(conn) = known.and_then(Conn::share) {
            return Ok(Lease {
                conn,
                is_reused: true,
                target,
            });
        }
        let lease = self.connect(target).await?;
        *slot = lease.conn.share();
        Ok(lease)
    }

    fn lock_idle(&self, target: usize) -> Option<MutexGuard<'_, Vec<(Conn, Instant)>>> {
        Some(
            self.idle
                .get(target)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
