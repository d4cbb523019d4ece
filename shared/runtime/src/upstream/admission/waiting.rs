//! Waiting for a place: the queue of a full pool, at work.
//!
//! # Problem
//! A place may become free at any moment, on any thread, also between a waiter's look and its entry into the queue; a
//! waiter may leave just as it is given a place. Neither may lose the place.
//!
//! # Choice
//! The rules (who, how long, who next) are `lb_core::queue`; a pool has one for those who wait for the limit and one for those
//! who wait for an endpoint, as another event helps each. Here a waiter is the sending end of a channel for one
//! [`Entry`]. It first joins the queue and then looks again for a place; who gives a place back first lowers the count and
//! then looks for waiters. With a full fence on both sides at least one of them sees the other. An entry that was sent to
//! somebody who left comes back from the channel or is dropped with it, and either way goes to the next.
//!
//! # Limits
//! While somebody waits, each newcomer takes the lock, so that it can't pass those who are before it.

use super::{Admission, Cause, Entry};
use crate::clock;
use lb_core::limit::shed::Priority;
use lb_core::queue::{Pending, Refused, Ticket};
use lb_core::time::Instant;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A place within the pool's limit.
    Limit,
    /// An endpoint with room.
    Endpoint,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct Queue {
    pending: Mutex<Pending<oneshot::Sender<Entry>>>,
    /// As many as `pending` holds, to be read without the lock.
    waiting: AtomicU32,
    max_wait_nanos: AtomicU64,
}

/// Takes its ticket out of the queue when dropped.
#[derive(Debug)]
struct InQueue<'a> {
    queue: &'a Queue,
    ticket: Ticket,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(max: u32, max_wait: Duration) -> Self {
        Self {
            pending: Mutex::new(Pending::new(max, max_wait)),
            waiting: AtomicU32::new(0),
            max_wait_nanos: AtomicU64::new(nanos(max_wait)),
        }
    }

    pub(super) fn reconfigure(&self, max: u32, max_wait: Duration) {
        self.lock().reconfigure(max, max_wait);
        self.max_wait_nanos
            .store(nanos(max_wait), Ordering::Relaxed);
    }

    /// Whether somebody waits.
    pub(super) fn is_used(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(super) fn len(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn max_wait(&self) -> Duration {
        Duration::from_nanos(self.max_wait_nanos.load(Ordering::Relaxed))
    }

    /// Joins, for as long as [`InQueue::leaves`] says.
    fn join(
        &self,
        waiter: oneshot::Sender<Entry>,
        deadline: Instant,
        priority: Priority,
        latency: Option<Duration>,
        now: Instant,
    ) -> Result<InQueue<'_>, Refused> {
        let mut pending = self.lock();
        pending.note_latency(latency);
        let gone: Vec<_> = pending.expire(now).collect();
        let ticket = pending.push(waiter, now, deadline, priority);
        self.note(&pending);
        drop(pending);
        // Wakes them, and they find nothing.
        drop(gone);
        fence(Ordering::SeqCst);
        let ticket = ticket?;
        let queue = self;
        Ok(InQueue { queue, ticket })
    }

    fn note(&self, pending: &Pending<oneshot::Sender<Entry>>) {
        let count = u32::try_from(pending.len()).unwrap_or(u32::MAX);
        self.waiting.store(count, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Pending<oneshot::Sender<Entry>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Admission ===

impl Admission {
    /// Requests that wait for a place.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.queue.len() + self.full.len()
    }

    /// Whether somebody waits for an endpoint: who comes then goes behind.
    pub(crate) fn has_waiters(&self) -> bool {
        self.full.is_used()
    }

    fn queue(&self, need: Need) -> &Queue {
        match need {
            Need::Limit => &self.queue,
            Need::Endpoint => &self.full,
        }
    }

    /// Until when somebody who begins to wait for an endpoint now may wait at most, over all of its waits.
    pub(crate) fn patience(&self, deadline: Instant, now: Instant) -> Instant {
        deadline.min(now + self.queue.max_wait())
    }

    /// Waits for a place. `has_room` is asked once more when the request is in the queue: what came free before that woke
    /// nobody. Cancel-safe: who stops waiting leaves the queue, and gives back what it was given meanwhile.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        priority: Priority,
        need: Need,
        deadline: Instant,
        has_room: impl FnOnce() -> bool,
    ) -> Result<Entry, Cause> {
        let (entry, mut entered) = oneshot::channel();
        let mut now = clock::now();
        let latency = self.limit.latency();
        let joined = self
            .queue(need)
            .join(entry, deadline, priority, latency, now);
        let in_queue = joined.map_err(|refused| match (refused, need) {
            (Refused::Deadline, _) if deadline <= now => Cause::Deadline,
            (_, Need::Limit) => Cause::Limit,
            (_, Need::Endpoint) => Cause::Endpoints,
        })?;
        if has_room() {
            self.hand_over(need, false);
        }
        while let Some(leaves) = in_queue.leaves(now) {
            match tokio::time::timeout(now.until(leaves), &mut entered).await {
                Ok(Ok(entry)) => return Ok(entry),
                Ok(Err(_)) => break,
                Err(_) => now = clock::now(),
            }
        }
        // It may have been given a place just as its alarm rang.
        entered.try_recv().or(Err(Cause::Wait))
    }

    /// A place was given back: those who wait learn that the pool works, and get what is free.
    pub(super) fn note_free(self: &Arc<Self>, need: Need) {
        self.hand_over(need, true);
    }

    /// Gives free places to those who wait. Of those who wait for an endpoint one is woken, as one
    /// endpoint has one place more; the others would only come back.
    fn hand_over(self: &Arc<Self>, need: Need, is_given_back: bool) {
        fence(Ordering::SeqCst);
        let queue = self.queue(need);
        if !queue.is_used() {
            return;
        }
        let now = clock::now();
        let mut pending = queue.lock();
        if is_given_back {
            pending.note_free(now);
        }
        // An entry is never dropped under the lock: its drop would ask for the lock again.
        let mut spare = None;
        while let Some(priority) = pending.next_priority(now) {
            let Some(entry) = spare.take().or_else(|| self.take(priority)) else {
                break;
            };
            let Some(waiter) = pending.pop(now) else {
                spare = Some(entry);
                break;
            };
            match waiter.send(entry) {
                Ok(()) if need == Need::Endpoint => break,
                Ok(()) => {}
                Err(entry) => spare = Some(entry),
            }
        }
        queue.note(&pending);
        drop(pending);
        if let Some(entry) = spare {
            entry.forfeit();
        }
    }
}

// === impl InQueue ===

impl InQueue<'_> {
    /// Until when the wait goes on; none when it is over.
    fn leaves(&self, now: Instant) -> Option<Instant> {
        self.queue.lock().leaves(self.ticket, now)
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let mut pending = self.queue.lock();
        let gone = pending.cancel(self.ticket);
        self.queue.note(&pending);
        drop(pending);
        drop(gone);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
