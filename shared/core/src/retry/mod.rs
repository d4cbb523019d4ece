//! Whether a failed try may be repeated.
//!
//! The order of the questions is the design: is it safe, has the user seen nothing yet, is there time
//! and a try left, have retries helped of late, does the budget allow it. Envoy and HAProxy answer the first by configuration
//! (`retry-on`, `retry-on all-retryable-errors`), and so repeat a sent POST when told to; here a
//! request whose processing can't be ruled out is repeated only when its method is idempotent
//! (RFC 9110 §9.2.2), whatever the configuration says.
//!
//! A proxy that is asked by another loses that knowledge on the way: a 502 may mean that no server could be connected to, or that one
//! broke off in the middle of its work. Our tiers tell each other which (`x-lb-unserved`), so that a POST to a region without servers
//! is served by the next region; one proxy of the peers behind another must pass the 502 on.

mod benefit;
mod budget;

pub use benefit::Kind;
pub use budget::Budget;

use crate::config::model;
use crate::reason::Reason;
use crate::time::Instant;
use rand::{Rng, RngExt};
use std::time::Duration;

/// A failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, unreachable, handshake failed or timed out. Nothing was sent.
    Connect,
    /// The endpoint said that it did not process the request (HTTP/2 REFUSED_STREAM, GOAWAY), or the
    /// request could not be written at all.
    NotProcessed,
    /// The connection broke after the request was sent and before a response's head.
    Reset,
    /// The same on a connection that had served before: most likely the endpoint closed it for idleness
    /// just as it was used again. The request may have been read all the same.
    Stale,
    /// No response's head in time.
    FirstByteTimeout,
    /// The answer was not HTTP.
    Malformed,
    /// A response with this status.
    Status(u16),
    /// A response that carried `x-lb-overloaded`: this tier must not try again here.
    Overloaded,
    /// A response that carried `x-lb-unserved`: the tier below found nobody who would take the request.
    Unserved,
}

/// What is known of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The method is idempotent.
    pub idempotent: bool,
    /// The body, as far as it was read, can be sent again.
    pub replayable: bool,
    /// Tries made so far, this one included.
    pub tries: u32,
    /// When the whole request must be answered.
    pub deadline: Instant,
}

/// A route's rules.
#[derive(Debug, Clone)]
pub struct Rules {
    retries: u32,
    statuses: Vec<model::StatusRange>,
    pause: (Duration, Duration),
}

/// What to do after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try another endpoint after a pause.
    Retry(Duration),
    /// Pass the failure on.
    Stop(Stop),
}

/// Why there is no further try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It might repeat work that was done.
    Unsafe,
    /// The response is final: its status is not one to retry.
    Final,
    /// All tries are made.
    Spent,
    /// Retries after such failures have not helped of late.
    Futile,
    /// The budget is exhausted.
    Budget,
    /// There is no time left.
    Deadline,
}

// === impl Failure ===

impl Failure {
    /// Whether it speaks against the endpoint (outlier ejection counts it).
    #[must_use]
    pub const fn is_gateway_error(self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 502..=504),
            Self::Overloaded | Self::NotProcessed | Self::Stale => false,
            _ => true,
        }
    }

    /// Whether the endpoint can't have acted on the request.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::NotProcessed | Self::Overloaded | Self::Unserved
        )
    }

    /// How it is named when it is passed on.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Connect => Reason::ConnectFailed,
            Self::NotProcessed | Self::Reset | Self::Stale => Reason::Reset,
            Self::FirstByteTimeout => Reason::FirstByteTimeout,
            Self::Malformed | Self::Status(_) => Reason::Malformed,
            Self::Overloaded => Reason::Overloaded,
            Self::Unserved => Reason::NoEndpoint,
        }
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::NotProcessed => "not_processed",
            Self::Reset => "reset",
            Self::Stale => "stale",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::Malformed => "malformed",
            Self::Status(_) => "status",
            Self::Overloaded => "overloaded",
            Self::Unserved => "unserved",
        }
    }
}

// === impl Rules ===

impl Rules {
    /// The rules of a route.
    #[must_use]
    pub fn new(retry: &model::Retry) -> Self {
        Self {
            retries: retry.retries,
            statuses: retry.statuses.clone(),
            pause: (retry.backoff_min.get(), retry.backoff_max.get()),
        }
    }

    /// Tries in one pool or region, the first included.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.retries + 1
    }

    /// Whether a response with `status` may be replaced by another try.
    #[must_use]
    pub fn is_retryable_status(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(status))
    }

    /// Decides after a failed try. `extra_tries` are those that the tier adds (one in another region).
    /// On [`Verdict::Retry`] the budget has been charged.
    pub fn decide(
        &self,
        failure: Failure,
        facts: &Facts,
        extra_tries: u32,
        budget: &Budget,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Verdict {
        if let Failure::Status(status) = failure
            && !self.is_retryable_status(status)
        {
            return Verdict::Stop(Stop::Final);
        }
        if !(failure.is_unsent() || facts.idempotent) || !facts.replayable {
            return Verdict::Stop(Stop::Unsafe);
        }
        if facts.tries >= self.tries() + extra_tries {
            return Verdict::Stop(Stop::Spent);
        }
        let pause = self.draw_pause(rng);
        if now + pause >= facts.deadline {
            return Verdict::Stop(Stop::Deadline);
        }
        if Kind::of(failure).is_some_and(|kind| budget.is_futile(kind, now)) {
            return Verdict::Stop(Stop::Futile);
        }
        if !budget.withdraw(now) {
            return Verdict::Stop(Stop::Budget);
        }
        Verdict::Retry(pause)
    }

    fn draw_pause(&self, rng: &mut impl Rng) -> Duration {
        let (min, max) = self.pause;
        min + max.saturating_sub(min).mul_f64(rng.random::<f64>())
    }
}

#[cfg(test)]
mod tests;
