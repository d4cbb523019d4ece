//! Why a request ended the way it did: one table for status, log flag and metric label.
//!
//! Every answer that Strata makes itself, and every fault it notes in the log, is named here once, so
//! that log, metric and response can't disagree. Flags follow Envoy's response flags where they agree.

use serde::{Deserialize, Serialize};

/// Why a request was refused or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No route matches.
    NoRoute,
    /// The pool or the region has no endpoint left to try.
    NoEndpoint,
    /// No connection could be opened.
    ConnectFailed,
    /// The connection broke before the response's head.
    Reset,
    /// The response broke off after its head.
    Truncated,
    /// The answer was not HTTP.
    Malformed,
    /// No response's head within the first-byte deadline.
    FirstByteTimeout,
    /// The response stalled.
    IdleTimeout,
    /// The whole request's deadline passed.
    DeadlineExceeded,
    /// An upstream tier is overloaded.
    Overloaded,
    /// The client asked more often than the route allows.
    RateLimited,
    /// The request passed here before.
    Loop,
    /// The request is malformed or ambiguous.
    BadRequest,
    /// The body is too large.
    BodyTooLarge,
    /// The client was too slow.
    ClientTimeout,
    /// The client left.
    ClientLeft,
    /// This process ended before the request did.
    CutOff,
    /// A drill asked for it.
    FaultInjected,
}

// === impl Reason ===

impl Reason {
    /// The status of the answer; `None` when there is nobody to answer.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        Some(match self {
            Self::NoRoute => 404,
            Self::NoEndpoint | Self::Overloaded => 503,
            Self::ConnectFailed | Self::Reset | Self::Truncated | Self::Malformed => 502,
            Self::FirstByteTimeout | Self::IdleTimeout | Self::DeadlineExceeded => 504,
            Self::RateLimited => 429,
            Self::Loop => 508,
            Self::BadRequest => 400,
            Self::BodyTooLarge => 413,
            Self::ClientTimeout => 408,
            Self::FaultInjected => 503,
            Self::ClientLeft | Self::CutOff => return None,
        })
    }

    /// The access log's flag.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::NoRoute => "NR",
            Self::NoEndpoint => "UH",
            Self::ConnectFailed => "UF",
            Self::Reset | Self::Truncated => "UC",
            Self::Malformed => "UPE",
            Self::FirstByteTimeout | Self::IdleTimeout | Self::DeadlineExceeded => "UT",
            Self::Overloaded => "UO",
            Self::RateLimited => "RL",
            Self::Loop => "LP",
            Self::BadRequest => "DPE",
            Self::BodyTooLarge => "DL",
            Self::ClientTimeout => "DT",
            Self::ClientLeft => "DC",
            Self::CutOff => "DR",
            Self::FaultInjected => "FI",
        }
    }

    /// The metric's label and the name in an answer's body.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::Loop => "loop",
            Self::BadRequest => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientTimeout => "client_timeout",
            Self::ClientLeft => "client_left",
            Self::CutOff => "cut_off",
            Self::FaultInjected => "fault_injected",
        }
    }

    /// Seconds for the answer's `Retry-After`; `None` when asking again soon is no use.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::NoEndpoint | Self::Overloaded => Some(1),
            _ => None,
        }
    }

    /// Every reason, for the registration of metrics.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &[
            Self::NoRoute,
            Self::NoEndpoint,
            Self::ConnectFailed,
            Self::Reset,
            Self::Truncated,
            Self::Malformed,
            Self::FirstByteTimeout,
            Self::IdleTimeout,
            Self::DeadlineExceeded,
            Self::Overloaded,
            Self::RateLimited,
            Self::Loop,
            Self::BadRequest,
            Self::BodyTooLarge,
            Self::ClientTimeout,
            Self::ClientLeft,
            Self::CutOff,
            Self::FaultInjected,
        ]
    }

    /// The position in [`Reason::all`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_complete_and_in_order() {
        for (index, reason) in Reason::all().iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason:?}");
        }
        let labels: HashSet<_> = Reason::all().iter().map(|r| r.label()).collect();
        assert_eq!(labels.len(), Reason::all().len());
    }
}
