//! Operators' orders on the servers.
//!
//! **Choice.** An order on a server is soft, as one on a region: it gets requests again while no other server of its pool can take them
//! ([`PoolView`](super::PoolView)). Of orders that together take the last server of a pool, the later is suspended
//! ([`suspended_servers`]): the same one at every replica.
//!
//! **Limits.** What a pool's servers are is what the configuration or its discovery says here; while replicas have different lists they
//! may suspend different orders.

use super::Member;
use lb_core::drain::{Action, Book, Record, Scope, suspended_servers};
use lb_core::name::{PoolName, ServerName};
use std::collections::{HashMap, HashSet};

/// The orders in force on servers, by pool.
#[derive(Debug, Default, PartialEq)]
pub struct ServerOrders {
    pools: HashMap<String, Vec<Record>>,
}

/// What orders make of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ordered {
    /// It takes requests.
    #[default]
    In,
    /// New requests only while no other server can take them.
    Drained,
    /// No new requests, whatever else fails.
    Off,
}

// === impl ServerOrders ===

impl ServerOrders {
    /// The orders in force; `unix_ms` is the time since 1970.
    #[must_use]
    pub fn new(book: &Book, unix_ms: u64) -> Self {
        let mut pools: HashMap<String, Vec<Record>> = HashMap::new();
        for record in book.iter().filter(|record| record.is_active(unix_ms)) {
            if let Scope::Server { pool, .. } = &record.scope {
                let orders = pools.entry(pool.to_string()).or_default();
                orders.push(record.clone());
            }
        }
        Self { pools }
    }

    /// What each server of a pool is to do that isn't just to serve.
    #[must_use]
    pub fn of(&self, pool: &str, members: &[Member]) -> HashMap<ServerName, Ordered> {
        let orders = self.pools.get(pool).map_or(&[][..], Vec::as_slice);
        let suspended = self.suspended(pool, members);
        let ordered = orders.iter().filter_map(|record| match &record.scope {
            Scope::Server { server, .. } if !suspended.contains(server) => {
                let is_off = record.action == Action::Offline;
                let ordered = if is_off {
                    Ordered::Off
                } else {
                    Ordered::Drained
                };
                Some((server.clone(), ordered))
            }
            _ => None,
        });
        ordered.collect()
    }

    /// The servers of a pool whose orders are not obeyed, as they would leave none with the earlier ones.
    #[must_use]
    pub fn suspended(&self, pool: &str, members: &[Member]) -> HashSet<ServerName> {
        let Some(orders) = self.pools.get(pool) else {
            return HashSet::new();
        };
        let stays = |member: &&Member| member.given.is_some() && !member.leaves;
        let scope = |member: &Member| {
            Some(Scope::Server {
                pool: PoolName::new(pool).ok()?,
                server: member.endpoint.key.server.clone(),
            })
        };
        let servers = members.iter().filter(stays).filter_map(scope);
        suspended_servers(orders.iter(), servers)
    }
}
