//! The admin listener: probes, metrics and the read API of one process.
//!
//! **Problem.** Operators and probes need answers most when the data path is at its worst: all worker
//! threads busy, the connection cap reached, the process draining. An admin service on the workers'
//! event loops is slow exactly then, and a framework service ends with the listeners at the start
//! of a shutdown, while the tier above still wants to read `/readyz`.
//!
//! **Choice.** One operating system thread with its own single-threaded event loop, started before
//! and ended after everything else. It asks an [`AdminSource`] for values and renders them; a source
//! reads atomics and snapshots and never waits for a worker. A source that panics fails its one
//! request, not the listener.
//!
//! **Rejected.** Sharing the framework's prometheus service: it has one path, no limits and the
//! framework's life time. Blocking sockets with a thread a connection: 64 stalled peers would cost
//! 64 threads.
//!
//! **Writes** are POST requests with a JSON body, let in by a token ([`Gate`]); a source carries them out
//! without holding up the thread, so that probes are answered while a disk is slow.
//!
//! **Limits.** [`MAX_CONNECTIONS`] at one time (further ones wait in the kernel's backlog), heads
//! of at most [`MAX_HEAD`] bytes within [`HEAD_TIMEOUT`], bodies of at most [`MAX_BODY`] in the same time, connections of at most
//! [`CONNECTION_LIFETIME`]. No TLS: it listens on loopback or inside a network policy.

mod answer;
mod gate;
mod local;
mod query;
mod routes;
mod server;
mod token;
mod write;

pub use gate::{Gate, REQUEST_FIELD, Visitor};
pub(crate) use local::LocalDoor;
pub(crate) use server::Doors;
pub use server::{AdminError, AdminHandle, AdminServer};
pub use token::{TokenError, TokenFile};
pub use write::{Write, Written};

use lb_core::drain::DrainStatus;
use lb_core::status::{Explain, ExplainQuery, Handover, Readiness, ReplicaIdentity, Sheet, Status};
use std::time::Duration;

/// Connections at one time.
pub const MAX_CONNECTIONS: usize = 64;
/// Size of a request head in bytes.
pub const MAX_HEAD: usize = 16 << 10;
/// Size of a request body in bytes.
pub const MAX_BODY: usize = 64 << 10;
/// Time for a request head, for a request body, and longest idle time between two requests.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which a connection is closed after its current answer, so that no peer holds a place for ever.
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// What the listener answers with. Every method is called on the admin thread and must not block it.
#[async_trait::async_trait]
pub trait AdminSource: Send + Sync + 'static {
    /// The whole status.
    fn status(&self) -> Status;
    /// Whether this replica should get traffic, and what it waits for.
    fn readiness(&self) -> Readiness;
    /// Whether the event loops still turn. Never depends on configuration or upstreams.
    fn live(&self) -> bool;
    /// All metrics in the text format 0.0.4.
    fn metrics(&self) -> String;
    /// Who this replica is.
    fn identity(&self) -> ReplicaIdentity;
    /// The region report; none at the global tier.
    fn region_report(&self) -> Option<serde_json::Value>;
    /// How far an upgrade of this process is.
    fn handover(&self) -> Handover {
        Handover::default()
    }
    /// What would happen to a request.
    ///
    /// # Errors
    /// A reason, when the request makes no sense (a path without a leading slash).
    fn explain(&self, query: &ExplainQuery) -> Result<Explain, String>;
    /// The orders in force, or just over, as they are carried out here.
    fn drains(&self) -> Vec<DrainStatus>;
    /// All orders of operators.
    fn sheet(&self) -> Sheet;
    /// Carries out a write that was let in. None: nothing can be written at its path. It may be dropped when its sender leaves.
    async fn write(&self, write: Write) -> Option<Written>;
}

#[cfg(test)]
mod tests;
