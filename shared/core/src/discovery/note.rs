//! What an operator should know of a list of servers.

use std::fmt;

/// Something that was left out or assumed, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// There is no slice of this Service.
    NoSlices {
        /// The Service.
        service: String,
    },
    /// Slices of the Service have no such port, or several and none is named.
    NoPort {
        /// The Service.
        service: String,
        /// What was looked for; empty: the only one.
        wanted: String,
        /// What there is.
        has: Vec<String>,
    },
    /// Slices of the Service hold names.
    NotAddresses {
        /// The Service.
        service: String,
    },
    /// Addresses that can't be read.
    Unreadable {
        /// The Service.
        service: String,
    },
    /// A weight that is none, and is not obeyed.
    BadWeight {
        /// The Service.
        service: String,
        /// What it is.
        text: String,
    },
    /// All servers that are not on their way out fail their readiness probe.
    AllUnready {
        /// How many.
        servers: usize,
    },
    /// More servers than the pool may have.
    TooMany {
        /// How many it may have.
        most: usize,
        /// How many are left out.
        left_out: usize,
    },
}

// === impl Note ===

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlices { service } => write!(
                f,
                "there is no EndpointSlice of the Service {service}: it doesn't exist, has no selector, or stands in another namespace"
            ),
            Self::NoPort {
                service,
                wanted,
                has,
            } => {
                let has = has.join(", ");
                if wanted.is_empty() {
                    write!(
                        f,
                        "the Service {service} has not just one TCP port, but [{has}]: say which with `port`"
                    )
                } else {
                    write!(
                        f,
                        "EndpointSlices of the Service {service} have no TCP port {wanted}, but [{has}]; they know the servers' ports (targetPort), not the Service's"
                    )
                }
            }
            Self::NotAddresses { service } => write!(
                f,
                "EndpointSlices of the Service {service} that hold names are left out: list the names as `servers`"
            ),
            Self::Unreadable { service } => write!(
                f,
                "EndpointSlices of the Service {service} hold addresses that can't be read; they are left out"
            ),
            Self::BadWeight { service, text } => write!(
                f,
                "{} of the Service {service} is \"{text}\", which is not a number from 0 to {}: not obeyed",
                super::weights::KEY,
                super::weights::MOST
            ),
            Self::AllUnready { servers } => write!(
                f,
                "no server is ready: the {servers} that are not ready are used as far as their checks pass"
            ),
            Self::TooMany { most, left_out } => write!(
                f,
                "{left_out} servers are left out: `max_servers` is {most}"
            ),
        }
    }
}
