//! Accepting connections and finding the requests in them.
//!
//! The accept loop is ours, not pingora-core's service, for what that has no place for: connection caps
//! for each client, a deadline for a request's whole head whether the connection is new or reused, a
//! strict check of the raw head before any parser, HTTP/2 in plain text that can't be stalled by a
//! silent client, and a lame duck that keeps accepting. Pingora's sessions do the rest.

mod accept;
mod caps;
mod h1;
mod h2;
mod tls;

pub use accept::{BoundListener, ListenError};
pub(crate) use accept::{bind, run};
pub use caps::{Caps, Counts};
pub use tls::{TlsError, TlsListener};

use std::net::SocketAddr;

/// What is known of a client's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    /// The address at the other end of the socket.
    pub(crate) peer: SocketAddr,
    /// TLS is spoken.
    pub(crate) tls: bool,
}
