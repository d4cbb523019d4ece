//! Discovery: the addresses behind the host names of servers, kept fresh; and those behind Services of Kubernetes (`kubernetes`).
//!
//! # Problem
//! Names move while the process runs, resolvers fail more often than servers, and an answer that is
//! wrong or empty for a minute must not empty a pool.
//!
//! # Choice
//! - A resolver of our own process over the system's configuration, asked for A and AAAA, instead of
//!   `getaddrinfo`: that hides the TTL, blocks a thread per question and has no deadline.
//! - A name is asked again when its TTL ends, but at most once a second and at least each
//!   `resolve_interval`. Nothing is cached beside that.
//! - **Last good stays.** A failure or an empty answer changes no address; it is counted and the age of
//!   the last good answer is shown. That goes for "no such name" too: the answer is often a resolver
//!   that has just lost its zone, and a server that is truly gone fails its checks anyway.
//! - Addresses are sorted and without repetition, so that a resolver that rotates its answers changes
//!   nothing, and replicas agree.
//!
//! # Limits
//! `/etc/resolv.conf` and `/etc/hosts` are read once, at start. When only one of the questions for A and
//! AAAA fails, the other's addresses count as the whole answer, which a name with both kinds can notice.
//! SRV records are not asked for: the port comes from the configuration.

#[cfg(feature = "kubernetes")]
pub(crate) mod kubernetes;
mod schedule;
mod system;
mod watch;

pub use system::SystemResolver;
pub use watch::{WatchStats, WatchTarget, watch};

use async_trait::async_trait;
use std::net::IpAddr;
use std::time::Duration;

/// The answer to a question for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Addresses of both families, in any order. Empty counts as a failure.
    pub addresses: Vec<IpAddr>,
    /// How long they are valid.
    pub ttl: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No answer within the deadline.
    #[error("no answer from the resolver in time")]
    Timeout,
    /// The resolver says that there is no such name, or no address for it.
    #[error("the name has no address")]
    NoAddress,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Something that finds a name's addresses: the system's resolver, or a script in a test.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Finds the addresses of `name`. Must end by itself.
    async fn resolve(&self, name: &str) -> Result<Answer, ResolveError>;
}

#[cfg(test)]
mod tests;
