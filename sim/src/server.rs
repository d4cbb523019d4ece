//! A server: slots, service times and what may be wrong with it.

use lb_core::retry::Failure;
use lb_core::time::Instant;
use rand::{Rng, RngExt};
use std::time::Duration;

/// No first byte within this is a failure.
pub const FIRST_BYTE: Duration = Duration::from_secs(1);
/// A refused connection.
const REFUSED: Duration = Duration::from_millis(1);

/// A server's state. Faults change it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Nothing listens.
    pub crashed: bool,
    /// Accepts and never answers.
    pub frozen: bool,
    /// Service takes this many times as long.
    pub slow: f64,
    /// Share of answers that are a 503 after the service time.
    pub errors: f64,
    /// All answers are a 503 at once: it looks free.
    pub black_hole: bool,
    /// Share of probes that fail whatever the state.
    pub flapping: f64,
    /// Weight 0.
    pub drained: bool,
    /// Since when.
    pub drained_at: Instant,
    /// Tries that it got.
    pub tries: u64,
    /// Raised by each crash: what was running is lost.
    pub run: u32,
    busy: Vec<Instant>,
}

/// How a try ends, and when, if nothing happens to the server meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// When the other side knows.
    pub at: Instant,
    /// How; none is success.
    pub failure: Option<Failure>,
}

// === impl Server ===

impl Server {
    /// A sound server with `slots` slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            crashed: false,
            frozen: false,
            slow: 1.0,
            errors: 0.0,
            black_hole: false,
            flapping: 0.0,
            drained: false,
            drained_at: Instant::ZERO,
            tries: 0,
            run: 0,
            busy: vec![Instant::ZERO; slots.max(1)],
        }
    }

    /// Takes one try.
    pub fn accept(&mut self, now: Instant, service: Duration, rng: &mut impl Rng) -> Outcome {
        self.tries += 1;
        let ends = |at, failure| Outcome { at, failure };
        if self.crashed {
            return ends(now + REFUSED, Some(Failure::Connect));
        }
        if self.frozen {
            return ends(now + FIRST_BYTE, Some(Failure::FirstByteTimeout));
        }
        if self.black_hole {
            return ends(now + REFUSED, Some(Failure::Status(503)));
        }
        let work = service.mul_f64(self.slow * rng.random_range(0.5..1.5));
        let Some(slot) = self.busy.iter_mut().min() else {
            return ends(now, Some(Failure::Connect));
        };
        // What was given up is worked on all the same: that is how overload feeds itself.
        *slot = (*slot).max(now) + work;
        let done = *slot;
        if done.since(now) > FIRST_BYTE {
            return ends(now + FIRST_BYTE, Some(Failure::FirstByteTimeout));
        }
        let failed = self.errors > 0.0 && rng.random::<f64>() < self.errors;
        ends(done, failed.then_some(Failure::Status(503)))
    }

    /// Whether a probe passes now.
    pub fn passes(&self, rng: &mut impl Rng) -> bool {
        let flaps = self.flapping > 0.0 && rng.random::<f64>() < self.flapping;
        !(self.crashed || self.frozen || flaps)
    }

    /// Loses what it was working on.
    pub fn crash(&mut self) {
        self.crashed = true;
        self.run += 1;
        self.busy.fill(Instant::ZERO);
    }
}
