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
//! at the bottom and are closed there. An idle connection has no task; one sweeper for all of them is woken when
//! one is closed by its endpoint, and each second to close what is too old. The age at which endpoints close
//! is theirs to know and ours to learn: [`lb_core::idle_limit`].
//!
//! # Limits
//! A close that is on its way when a request is written is met by the request; see `Failure::Stale`.

use super::Endpoint;
use crate::clock;
use crate::wire::{Condition, Wire};
use lb_core::balance::EndpointId;
use lb_core::time::Instant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// How often idle connections are looked through when none is closed.
const SWEEP: Duration = Duration::from_secs(1);

/// The stacks.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    stacks: Mutex<Stacks>,
    capacity: usize,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
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
    endpoint: Arc<Endpoint>,
}

/// Calls the sweeper.
#[derive(Debug, Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

// === impl IdleConnections ===

impl IdleConnections {
    /// Keeps at most `capacity` connections.
    pub(crate) fn new(capacity: usize) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            stacks: Mutex::default(),
            capacity,
            waker: Waker::from(bell.clone()),
            bell,
        }
    }

    /// Takes the connection to `endpoint` that was used last and still stands, and tells how long it was idle. A
    /// `careful` request takes none that has come near the age at which the endpoint closes.
    pub(crate) fn take(
        &self,
        endpoint: &Endpoint,
        careful: bool,
        now: Instant,
    ) -> Option<(Box<Wire>, Duration)> {
        let mut stacks = self.lock();
        let stacks = &mut *stacks;
        let stack = stacks.of.get_mut(&endpoint.id)?;
        if careful
            && let Some(learned) = endpoint.idle_limit.learned()
            && now.since(stack.last()?.since) > learned / 2
        {
            return None;
        }
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let idle = stack.pop()?;
            stacks.count = stacks.count.saturating_sub(1);
            if idle.is_usable(&mut cx, now) {
                return Some((idle.wire, now.since(idle.since)));
            }
        }
    }

    /// Keeps a connection.
    pub(crate) fn put(&self, endpoint: &Arc<Endpoint>, wire: Box<Wire>, now: Instant) {
        let idle = Idle {
            wire,
            since: now,
            endpoint: endpoint.clone(),
        };
        let mut stacks = self.lock();
        let fits = stacks.count < self.capacity;
        if fits && idle.is_usable(&mut Context::from_waker(&self.waker), now) {
            stacks.count += 1;
            stacks.of.entry(endpoint.id).or_default().push(idle);
        }
    }

    /// Closes what is too old or was closed by its endpoint.
    fn sweep(&self, now: Instant) {
        let mut cx = Context::from_waker(&self.waker);
        let mut stacks = self.lock();
        stacks.of.retain(|_, stack| {
            if let Some(idle) = stack.first() {
                let configured = idle.endpoint.peer.options.idle_timeout;
                let limit = &idle.endpoint.idle_limit;
                limit.relax(configured.unwrap_or_default(), now);
            }
            stack.retain(|idle| idle.is_usable(&mut cx, now));
            !stack.is_empty()
        });
        stacks.count = stacks.of.values().map(Vec::len).sum();
    }

    /// Sweeps for as long as the calling event loop turns.
    pub(crate) async fn keep_swept(&self) {
        loop {
            // A timeout is a sweep like any other.
            let _ = tokio::time::timeout(SWEEP, self.bell.0.notified()).await;
            self.sweep(clock::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stacks> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Idle ===

impl Idle {
    /// Whether it can serve another request. What its endpoint closed teaches how long it may be idle.
    fn is_usable(&self, cx: &mut Context<'_>, now: Instant) -> bool {
        let age = now.since(self.since);
        match self.wire.condition(cx) {
            Condition::Quiet => age < self.endpoint.idle_limit(),
            Condition::Closed => {
                self.endpoint.idle_limit.on_close(age, now);
                false
            }
            Condition::Unfit => false,
        }
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
