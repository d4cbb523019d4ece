//! A server's account of what reached it: each request with its id, and how it went.
//!
//! This is one half of the proof that nothing was lost or repeated; the other is the load's own account, and
//! [`crate::reconcile`] compares them. Health probes are only counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Header field that carries the id of a request.
pub const TEST_ID: &str = "x-test-id";

/// One request as a server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `x-test-id`, else `x-request-id`, else empty.
    pub id: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `x-lb-attempt`, when given.
    pub attempt: Option<u32>,
    /// When its head had arrived.
    pub at: Instant,
    /// Number of the connection it came on, from 1.
    pub connection: u64,
    /// Bytes of its body so far.
    pub body_bytes: u64,
    /// Whether its body arrived to the end.
    pub body_complete: bool,
    /// Whether its body matched the pattern of `x-body-seed`; true when there is no such field.
    pub body_intact: bool,
    /// Status we answered with; 0 until there was one.
    pub status: u16,
    /// How it ended.
    pub fate: Fate,
}

/// How a request ended at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Still under way.
    Pending,
    /// The answer was handed to the connection in full.
    Answered,
    /// The peer went away before that.
    Aborted,
    /// The script broke it on purpose.
    Faulted,
}

/// Counters of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, without probes.
    pub requests: u64,
    /// Requests to `/healthz`.
    pub probes: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Most requests under way at once.
    pub peak_in_flight: u64,
    /// Requests whose peer went away before the end of the answer.
    pub aborted: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
}

/// Everything a server saw, from its start or the last [`Ledger::clear`].
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Vec<Seen>,
    unread: Vec<String>,
    counts: Counts,
    /// Raised by `clear`, so that requests under way then don't write into new entries.
    era: u64,
}

/// Place of a request in a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    era: u64,
    index: usize,
}

// === impl Ledger ===

impl Ledger {
    /// All requests so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// Counters so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// How often the request with this id arrived.
    pub fn times(&self, id: &str) -> usize {
        self.lock().seen.iter().filter(|seen| seen.id == id).count()
    }

    /// Ids that arrived more than once, with how often.
    pub fn repeats(&self) -> HashMap<String, usize> {
        let mut times = HashMap::new();
        for seen in self.lock().seen.iter().filter(|seen| !seen.id.is_empty()) {
            *times.entry(seen.id.clone()).or_insert(0) += 1;
        }
        times.retain(|_, count| *count > 1);
        times
    }

    /// The request that came last.
    pub fn last(&self) -> Option<Seen> {
        self.lock().seen.last().cloned()
    }

    /// Ids of requests that the kernel had taken when the server closed their idle connection. The server's program never saw
    /// them, but nobody else can know that, so a proxy may not repeat those that are not idempotent.
    pub fn ids_unread(&self) -> Vec<String> {
        self.lock().unread.clone()
    }

    /// Forgets all requests and counters, except those of what is under way or open.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.era += 1;
        inner.seen.clear();
        inner.unread.clear();
        let Counts {
            in_flight,
            open_connections,
            ..
        } = inner.counts;
        inner.counts = Counts {
            in_flight,
            peak_in_flight: in_flight,
            open_connections,
            ..Counts::default()
        };
    }

    pub(crate) fn probe(&self) {
        self.lock().counts.probes += 1;
    }

    pub(crate) fn connected(&self) -> u64 {
        let mut inner = self.lock();
        inner.counts.connections += 1;
        inner.counts.open_connections += 1;
        inner.counts.connections
    }

    pub(crate) fn disconnected(&self) {
        self.lock().counts.open_connections -= 1;
    }

    /// Notes the request in what was left unread at a close, if there is one.
    pub(crate) fn unread(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        let id = fields
            .filter(|(name, _)| name.eq_ignore_ascii_case(TEST_ID))
            .map(|(_, value)| value.trim().to_owned())
            .next();
        self.lock().unread.extend(id);
    }

    pub(crate) fn begin(&self, seen: Seen) -> Entry {
        let mut inner = self.lock();
        inner.seen.push(seen);
        let counts = &mut inner.counts;
        counts.requests += 1;
        counts.in_flight += 1;
        counts.peak_in_flight = counts.peak_in_flight.max(counts.in_flight);
        Entry {
            era: inner.era,
            index: inner.seen.len() - 1,
        }
    }

    pub(crate) fn update(&self, entry: Entry, change: impl FnOnce(&mut Seen)) {
        let mut inner = self.lock();
        if inner.era == entry.era
            && let Some(seen) = inner.seen.get_mut(entry.index)
        {
            change(seen);
        }
    }

    pub(crate) fn end(&self, entry: Entry, fate: Fate) {
        self.update(entry, |seen| {
            if seen.fate == Fate::Pending {
                seen.fate = fate;
            }
        });
        let mut inner = self.lock();
        inner.counts.in_flight -= 1;
        if fate == Fate::Aborted && inner.era == entry.era {
            inner.counts.aborted += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
