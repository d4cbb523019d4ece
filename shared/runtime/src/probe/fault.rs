//! From the libraries' errors to the reason that the verdict, the metric and the operator see.

use lb_core::health::ProbeFailure;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// Linux: too many open files in the system.
const ENFILE: i32 = 23;
/// Linux: too many open files in the process.
const EMFILE: i32 = 24;
/// Linux: no buffer space.
const ENOBUFS: i32 = 105;

/// A failed probe: the reason, and for the log what a library said of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: ProbeFailure,
    detail: Option<String>,
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(reason: ProbeFailure, detail: impl fmt::Display) -> Self {
        Self {
            reason,
            detail: Some(detail.to_string()),
        }
    }

    /// A fault on the way to an open connection.
    pub(super) fn connect(error: &io::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::ConnectionRefused => ProbeFailure::Refused,
            ErrorKind::TimedOut => ProbeFailure::Timeout,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ProbeFailure::Reset,
            ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => ProbeFailure::Local,
            _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS)) => {
                ProbeFailure::Local
            }
            _ => ProbeFailure::Unreachable,
        };
        Self::new(reason, error)
    }

    /// A fault while an HTTP/1.1 answer was read.
    pub(super) fn http1(error: &hyper::Error) -> Self {
        let reason = if error.is_incomplete_message() {
            ProbeFailure::Reset
        } else {
            io_cause(error).map_or(ProbeFailure::Protocol, established)
        };
        Self::new(reason, chain(error))
    }

    /// A fault while an HTTP/2 answer was read.
    pub(super) fn h2(error: &h2::Error) -> Self {
        let reason = match error.get_io() {
            Some(io) => established(io),
            // The server refuses or gives the request up, as against one that breaks the protocol.
            None if error.is_remote() && (error.is_reset() || error.is_go_away()) => {
                ProbeFailure::Reset
            }
            None => ProbeFailure::Protocol,
        };
        Self::new(reason, error)
    }
}

impl From<ProbeFailure> for Fault {
    fn from(reason: ProbeFailure) -> Self {
        Self {
            reason,
            detail: None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{} ({detail})", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

/// The reason for an error on an open connection.
fn established(error: &io::Error) -> ProbeFailure {
    match error.kind() {
        ErrorKind::TimedOut => ProbeFailure::Timeout,
        // What rustls says of records that it can't read.
        ErrorKind::InvalidData => ProbeFailure::Tls,
        ErrorKind::OutOfMemory => ProbeFailure::Local,
        _ => ProbeFailure::Reset,
    }
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_want_is_told_from_the_endpoints_faults() {
        const EADDRNOTAVAIL: i32 = 99;
        for ours in [EMFILE, ENFILE, ENOBUFS, EADDRNOTAVAIL] {
            let fault = Fault::connect(&io::Error::from_raw_os_error(ours));
            assert_eq!(fault.reason, ProbeFailure::Local, "{fault}");
        }
        const EHOSTUNREACH: i32 = 113;
        let fault = Fault::connect(&io::Error::from_raw_os_error(EHOSTUNREACH));
        assert_eq!(fault.reason, ProbeFailure::Unreachable, "{fault}");
    }
}
