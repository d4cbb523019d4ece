//! Events in the order of time.

use lb_core::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The next user's request; after it comes the one after.
    Arrival,
    /// A client that was refused tries again, the n-th time.
    Again {
        /// The client.
        client: u64,
        /// Which try.
        nth: u8,
    },
    /// The try of a request is over; stale when its serial has moved on.
    Done {
        /// The request's slot.
        request: usize,
        /// Its serial.
        serial: u64,
    },
    /// A pause before a retry is over.
    Retry {
        /// The request's slot.
        request: usize,
        /// Its serial.
        serial: u64,
    },
    /// All probes of one second.
    Probes,
    /// Reports travel up.
    Reports,
    /// Control threads run.
    Control,
    /// A fault begins.
    Begin(usize),
    /// A fault ends.
    End(usize),
}

/// What is to come. Events of one moment come in the order in which they were planned.
#[derive(Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    planned: u64,
}

// === impl Queue ===

impl Queue {
    /// Plans an event.
    pub fn push(&mut self, at: Instant, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, event)));
    }

    /// The next event.
    pub fn pop(&mut self) -> Option<(Instant, Event)> {
        self.heap.pop().map(|Reverse((at, _, event))| (at, event))
    }
}
