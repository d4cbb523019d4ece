//! A short queue in front of a full pool: who waits, who goes next, who is told to leave.
//!
//! # Problem
//! A burst of a few milliseconds should wait rather than be refused. But a queue that never empties only makes every
//! answer late, and serves those who have given up.
//!
//! # Choice
//! Bounded in number (256) and in time (100 ms); a waiter leaves when its wait or its own deadline is over, and who could
//! not be served before its deadline isn't let in. First in, first out, as long as the queue runs empty now and then.
//! Once it has not been empty for longer than the longest wait, it is an overload, and the newest goes first: somebody
//! has to be refused anyway, and the newest has the most time left (Facebook's adaptive LIFO with CoDel's criterion). The short waits
//! of an overload let the queue run empty for a moment; it is over when few have waited in vain, or nobody for ten of the longest waits.
//! A higher priority goes before a lower one, and lower ones may fill only their share of the places.
//!
//! In an overload a newcomer may wait only a tenth of the longest wait: the newest go first, so who isn't served soon won't be
//! (CoDel's rule). But never less than the time in which some places become free: a pool of four that takes 100 ms for each
//! request has a free place every 25 ms, and would idle between them if nobody waited for that long. Critical requests, which go
//! before all others, keep the whole wait: a limit that is being lowered lets nobody in for a moment.
//!
//! In an overload places come free all the time, only too few. Where none comes free at all, the pool pauses: it collects garbage, or its
//! machine is being moved. That is over soon, and those who wait are served then within milliseconds. So nobody's wait is over while nothing
//! has come free for half of the longest wait and for two latencies, for up to five of the longest waits; then it
//! is an outage, and everybody is refused at once. (A full pool that works gives something back within one latency, also when all of its work takes
//! equally long and ends in the same instant.)
//!
//! # Rejected
//! - To let more into a pool that pauses: in an outage they hang until they time out, while those who wait can still be sent elsewhere.
//! - Always first in, first out: in an overload everyone waits the longest wait, and is then served late.
//!
//! # Limits
//! A scan of at most 256 entries per call: some hundred nanoseconds, behind the caller's lock, and only while
//! the pool is full.
//!
//! # Source
//! B. Maurer, *Fail at Scale*, ACM Queue 2015.

use crate::limit::shed::Priority;
use crate::time::Instant;
use std::time::Duration;

/// In an overload the longest wait is divided by this …
const HASTE: u32 = 10;
/// … but no wait is shorter than this …
const LEAST_WAIT: Duration = Duration::from_millis(2);
/// … nor than the time in which so many places become free.
const TURNS: u32 = 4;
/// A pool that gives nothing back pauses, from this part of the longest wait on …
const SILENCE: u32 = 2;
/// … and from so many latencies on …
const LATENCIES: u32 = 2;
/// … until it is that many of the longest waits: then it is out.
const PAUSE: u32 = 5;
/// An overload is over when nobody waited in vain for so many of the longest waits …
const MEMORY: u32 = 10;
/// … or no larger share of so many waiters.
const MANY: f64 = 0.2;
const LAST: f64 = 32.0;

/// A waiter's number, for [`Pending::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// Why somebody may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All places that this priority may have are taken.
    Full,
    /// Its deadline has passed.
    Deadline,
}

/// The queue of one pool.
#[derive(Debug)]
pub struct Pending<T> {
    /// In order of arrival.
    waiters: Vec<Waiter<T>>,
    max: u32,
    max_wait: Duration,
    /// Since when it has not been empty.
    busy_since: Option<Instant>,
    /// How long an answer takes now; none: nobody knows.
    latency: Option<Duration>,
    /// When a place last came free, and when one did after a pause.
    freed: Option<Instant>,
    woke: Option<Instant>,
    /// When the last one was served, and the average time between two while somebody waits.
    served: Option<Instant>,
    turn: Duration,
    /// When somebody last waited in vain in an overload, and of the last waiters the share to whom that happened.
    in_vain: Option<Instant>,
    vain: f64,
    next: u64,
}

#[derive(Debug)]
struct Waiter<T> {
    ticket: Ticket,
    priority: Priority,
    deadline: Instant,
    leaves: Instant,
    item: T,
}

// === impl Pending ===

impl<T> Pending<T> {
    /// Up to `max` waiters, up to `max_wait` each; with 0 nobody waits.
    #[must_use]
    pub fn new(max: u32, max_wait: Duration) -> Self {
        Self {
            waiters: Vec::with_capacity(max.min(1024) as usize),
            max,
            max_wait,
            busy_since: None,
            latency: None,
            freed: None,
            woke: None,
            served: None,
            turn: Duration::ZERO,
            in_vain: None,
            vain: 0.0,
            next: 0,
        }
    }

    /// Changes the bounds for those who come from now on.
    pub fn reconfigure(&mut self, max: u32, max_wait: Duration) {
        self.max = max;
        self.max_wait = max_wait;
    }

    /// Takes in how long an answer takes now. Without that no pause is told from an overload.
    pub const fn note_latency(&mut self, latency: Option<Duration>) {
        self.latency = latency;
    }

    /// Lets somebody wait until a place is free, its wait or its deadline is over. The caller asks [`Self::leaves`] when that will be, and
    /// asks again then.
    ///
    /// # Errors
    /// When there is no place or no time.
    pub fn push(
        &mut self,
        item: T,
        now: Instant,
        deadline: Instant,
        priority: Priority,
    ) -> Result<Ticket, Refused> {
        if deadline <= now {
            return Err(Refused::Deadline);
        }
        if self.waiters.len() >= priority.share_of(self.max) as usize {
            return Err(Refused::Full);
        }
        let ticket = Ticket(self.next);
        self.next = self.next.wrapping_add(1);
        let leaves = deadline.min(now + self.patience(priority, now));
        self.busy_since.get_or_insert(now);
        self.waiters.push(Waiter {
            ticket,
            priority,
            deadline,
            leaves,
            item,
        });
        Ok(ticket)
    }

    /// Until when somebody waits, as far as is known now; none when the wait is over.
    #[must_use]
    pub fn leaves(&self, ticket: Ticket, now: Instant) -> Option<Instant> {
        let waiter = self.waiters.iter().find(|w| w.ticket == ticket)?;
        if waiter.leaves > now {
            return Some(waiter.leaves);
        }
        (!self.is_over(waiter, now)).then(|| waiter.deadline.min(now + self.max_wait))
    }

    /// A place has come free. When that ends a pause, everyone's wait begins anew.
    pub fn note_free(&mut self, now: Instant) {
        if self.is_pausing(now) {
            self.woke = Some(now);
            for waiter in &mut self.waiters {
                let renewed = waiter.deadline.min(now + self.max_wait);
                waiter.leaves = waiter.leaves.max(renewed);
            }
        }
        self.freed = Some(now);
    }

    /// Who goes next, now that a place is free. Those whose time is over stay for [`Self::expire`].
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let at = self.best(now)?;
        let before = self.served.replace(now).max(self.busy_since);
        let took = before.map_or(self.turn, |before| now.since(before));
        // A pause is no turn; a pool that takes so long for each is known for it after a few.
        self.turn = (self.turn * 7 + took.min(self.max_wait)) / 8;
        self.vain -= self.vain / LAST;
        Some(self.take(at))
    }

    /// How long a newcomer of this priority may wait.
    fn patience(&self, priority: Priority, now: Instant) -> Duration {
        if priority >= Priority::Critical || !self.is_overloaded(now) {
            return self.max_wait;
        }
        let soon = (self.max_wait / HASTE).max(LEAST_WAIT);
        soon.max(self.turn * TURNS).min(self.max_wait)
    }

    /// The priority of whom [`Self::pop`] would give, to ask first whether there is a place for it.
    #[must_use]
    pub fn next_priority(&self, now: Instant) -> Option<Priority> {
        let at = self.best(now)?;
        self.waiters.get(at).map(|waiter| waiter.priority)
    }

    /// The highest priority; among equals the oldest, in an overload the newest.
    fn best(&self, now: Instant) -> Option<usize> {
        let is_lifo = self.is_overloaded(now);
        let waiting = self
            .waiters
            .iter()
            .enumerate()
            .filter(|(_, waiter)| !self.is_over(waiter, now));
        // Of equals, `max_by_key` gives the last one.
        let at = if is_lifo {
            waiting.max_by_key(|(_, waiter)| waiter.priority)
        } else {
            waiting.rev().max_by_key(|(_, waiter)| waiter.priority)
        };
        at.map(|(at, _)| at)
    }

    /// Takes out all whose time is over: they are to be refused.
    pub fn expire(&mut self, now: Instant) -> impl Iterator<Item = T> + use<T> {
        let is_pausing = self.is_pausing(now);
        let gone: Vec<T> = self
            .waiters
            .extract_if(.., |waiter| waiter.is_over(is_pausing, now))
            .map(|waiter| waiter.item)
            .collect();
        for _ in &gone {
            self.vain += (1.0 - self.vain) / LAST;
        }
        if !gone.is_empty() && self.is_overloaded(now) {
            self.in_vain = Some(now);
        }
        self.note_empty();
        gone.into_iter()
    }

    /// Takes out somebody who no longer waits, because the client left.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let at = self
            .waiters
            .iter()
            .position(|waiter| waiter.ticket == ticket)?;
        Some(self.take(at))
    }

    /// Whether the queue has not been empty for longer than the longest wait, or was so a moment ago: the newest goes first then.
    #[must_use]
    pub fn is_overloaded(&self, now: Instant) -> bool {
        if self.is_pausing(now) {
            return false;
        }
        let lasts = |since: Option<Instant>| since.map(|since| now.since(since));
        let busy_since = self.busy_since.and(self.busy_since.max(self.woke));
        lasts(busy_since).is_some_and(|busy| busy > self.max_wait)
            || self.vain > MANY
                && lasts(self.in_vain).is_some_and(|past| past < self.max_wait * MEMORY)
    }

    /// Whether somebody waits and nothing has come free for so long that the pool must have stopped, but not for good yet.
    fn is_pausing(&self, now: Instant) -> bool {
        let (Some(latency), Some(busy_since)) = (self.latency, self.busy_since) else {
            return false;
        };
        let silence = now.since(self.freed.map_or(busy_since, |freed| freed.max(busy_since)));
        let least = (self.max_wait / SILENCE).max(latency * LATENCIES);
        silence >= least.max(self.turn * TURNS) && silence <= self.max_wait * PAUSE
    }

    fn is_over(&self, waiter: &Waiter<T>, now: Instant) -> bool {
        waiter.is_over(self.is_pausing(now), now)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn take(&mut self, at: usize) -> T {
        let waiter = self.waiters.remove(at);
        self.note_empty();
        waiter.item
    }

    fn note_empty(&mut self) {
        if self.waiters.is_empty() {
            self.busy_since = None;
        }
    }
}

// === impl Waiter ===

impl<T> Waiter<T> {
    fn is_over(&self, is_pausing: bool, now: Instant) -> bool {
        self.deadline <= now || self.leaves <= now && !is_pausing
    }
}

// === impl Refused ===

impl Refused {
    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "queue_full",
            Self::Deadline => "deadline",
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
