//! How the look-ups fare by which a pool's servers are found.

use super::{PoolSpec, Site};
use crate::discover::WatchStats;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

/// The look-ups of one pool: one for each name, or one for its Services. None when all addresses stand in the file.
#[derive(Debug, Default)]
pub struct Lookups(Vec<Arc<WatchStats>>);

// === impl Lookups ===

impl Lookups {
    /// Whether nobody has told yet who is there, be it nobody.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        !self.0.is_empty() && !self.0.iter().any(|stats| stats.is_told())
    }

    /// What is wrong with one of them now.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.iter().find_map(|stats| stats.trouble())
    }
}

// === impl Site ===

impl Site {
    /// How the resolving of `host:port` fares.
    #[must_use]
    pub fn lookups(&self, address: &str) -> Arc<WatchStats> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.entry(address.to_owned()).or_default().clone()
    }

    /// How the following of a pool's Services fares. Names have a colon before their port only, so that none is called so.
    #[must_use]
    pub fn services(&self, pool: &str) -> Arc<WatchStats> {
        self.lookups(&format!("services of {pool}"))
    }

    /// The look-ups of a pool.
    #[must_use]
    pub fn lookups_of(&self, spec: &PoolSpec) -> Lookups {
        let is_name = |address: &&String| address.parse::<SocketAddr>().is_err();
        let names = spec.members.iter().map(|member| &member.address);
        let names = names.filter(is_name).map(|name| self.lookups(name));
        let services = spec.services.iter().map(|_| self.services(&spec.name));
        Lookups(names.chain(services).collect())
    }
}
