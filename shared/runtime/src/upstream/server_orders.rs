//! Operators' orders on the servers.

use lb_core::drain::{Book, Scope};
use lb_core::name::ServerName;
use std::collections::HashSet;

/// The servers that get no new requests by order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ServerOrders {
    drained: HashSet<(String, ServerName)>,
}

// === impl ServerOrders ===

impl ServerOrders {
    /// The orders in force; `unix_ms` is the time since 1970.
    #[must_use]
    pub fn new(book: &Book, unix_ms: u64) -> Self {
        let active = book.iter().filter(|record| record.is_active(unix_ms));
        let drained = active.filter_map(|record| match &record.scope {
            Scope::Server { pool, server } => Some((pool.to_string(), server.clone())),
            Scope::Region(_) => None,
        });
        Self {
            drained: drained.collect(),
        }
    }

    /// Whether a server of a pool gets no new requests.
    #[must_use]
    pub fn drains(&self, pool: &str, server: &ServerName) -> bool {
        !self.drained.is_empty() && self.drained.contains(&(pool.to_owned(), server.clone()))
    }
}
