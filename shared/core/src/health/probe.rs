//! What one probe found.

use std::fmt;
use std::time::Duration;

/// The outcome of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    /// The endpoint answered as it should.
    Pass {
        /// From the start of the connect to the end of the judged answer.
        latency: Duration,
    },
    /// It did not.
    Fail {
        /// Why.
        reason: ProbeFailure,
    },
}

/// Why a probe failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeFailure {
    /// Nothing listens on the port.
    Refused,
    /// There is no way to the address.
    Unreachable,
    /// No complete answer within the probe's timeout.
    Timeout,
    /// The connection was closed or reset before the answer was complete.
    Reset,
    /// A status outside the accepted ranges.
    BadStatus(u16),
    /// The expected text is not in the body.
    BodyMismatch,
    /// The TLS handshake failed, or the certificate is not trusted or not for this name.
    Tls,
    /// The endpoint says that it does not serve (gRPC health protocol).
    NotServing,
    /// The answer breaks the protocol that was spoken.
    Protocol,
    /// The endpoint's name has no address.
    Resolve,
    /// This process could not probe, for want of file descriptors, ports or memory. Says nothing of the endpoint.
    Local,
}

// === impl ProbeResult ===

impl ProbeResult {
    /// A failure for `reason`.
    #[must_use]
    pub const fn fail(reason: ProbeFailure) -> Self {
        Self::Fail { reason }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub const fn failure(self) -> Option<ProbeFailure> {
        match self {
            Self::Pass { .. } => None,
            Self::Fail { reason } => Some(reason),
        }
    }

    /// Whether the result tells anything of the endpoint, rather than of this process.
    #[must_use]
    pub const fn is_evidence(self) -> bool {
        !matches!(
            self,
            Self::Fail {
                reason: ProbeFailure::Local
            }
        )
    }
}

// === impl ProbeFailure ===

impl ProbeFailure {
    /// A short name that stays the same over releases: the value of a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::BadStatus(_) => "bad_status",
            Self::BodyMismatch => "body_mismatch",
            Self::Tls => "tls",
            Self::NotServing => "not_serving",
            Self::Protocol => "protocol",
            Self::Resolve => "resolve",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused: nothing listens on the port",
            Self::Unreachable => "no route to the address",
            Self::Timeout => "no complete answer within the timeout",
            Self::Reset => "connection closed before the answer was complete",
            Self::BadStatus(status) => return write!(f, "status {status} is not accepted"),
            Self::BodyMismatch => "expected text not found in the body",
            Self::Tls => "TLS handshake failed or certificate not accepted",
            Self::NotServing => "the service says that it is not serving",
            Self::Protocol => "answer breaks the protocol",
            Self::Resolve => "the name has no address",
            Self::Local => "this process lacks the resources to probe",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_the_status_and_labels_do_not() {
        assert_eq!(
            ProbeFailure::BadStatus(503).to_string(),
            "status 503 is not accepted"
        );
        assert_eq!(
            ProbeFailure::BadStatus(503).label(),
            ProbeFailure::BadStatus(500).label()
        );
    }
}
