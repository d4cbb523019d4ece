//! The sister replicas that share the rate limits.
//!
//! Who of them is alive is decided by core's `limit::peers`; the control thread asks them. Requests read one number.

use crate::plan::{Identity, Tier};
use lb_core::limit::peers::Roster;
use lb_core::status::{PeerState, PeerStatus, ReplicaIdentity, Tier as TierStatus};
use lb_core::time::Instant;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of the peers. It outlives reloads.
#[derive(Debug)]
pub struct Peers {
    roster: Mutex<Roster<SocketAddr>>,
    replicas: Arc<AtomicU32>,
}

// === impl Peers ===

impl Peers {
    /// No peers yet: this replica is alone.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self {
            roster: Mutex::new(Roster::new(identify(identity, false))),
            replicas: Arc::new(AtomicU32::new(1)),
        }
    }

    /// Live replicas, this one included, always up to date: each enforces its part of a limit.
    #[must_use]
    pub fn replicas(&self) -> Arc<AtomicU32> {
        self.replicas.clone()
    }

    /// Live peers, this replica not among them.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.replicas.load(Relaxed).saturating_sub(1)
    }

    /// Whether one of the live peers is ready and knows the servers of all its pools.
    #[must_use]
    pub(crate) fn is_any_informed(&self) -> bool {
        self.roster().is_any_informed()
    }

    /// Whether this replica, which refuses new work, may be unready.
    #[must_use]
    pub(crate) fn may_stand_aside(&self) -> bool {
        self.roster().may_stand_aside()
    }

    /// Each peer as a status shows it.
    #[must_use]
    pub fn status(&self) -> Vec<PeerStatus> {
        self.roster().status()
    }

    /// Where those are that orders are shared with: all but this replica itself and those of other tiers and regions.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let status = self.roster().status();
        let shares =
            |peer: &&PeerStatus| !matches!(peer.state, PeerState::Itself | PeerState::Foreign);
        let ours = status.iter().filter(shares);
        ours.filter_map(|peer| peer.address.parse().ok()).collect()
    }

    /// Takes over the addresses to ask.
    pub(crate) fn set(&self, addresses: &[SocketAddr]) {
        let mut roster = self.roster();
        roster.set(addresses);
        self.settle(&roster);
    }

    /// Takes in who answered at an address, or that nobody did.
    pub(crate) fn learn(&self, address: SocketAddr, who: Option<&ReplicaIdentity>, now: Instant) {
        let mut roster = self.roster();
        let change = match who {
            Some(who) => roster.on_answer(&address, who, now),
            None => roster.on_silence(&address),
        };
        self.settle(&roster);
        let (replicas, name) = (roster.live() + 1, who.map_or("", |who| &who.replica));
        match change {
            Some(PeerState::Gone) => {
                log::warn!("peer {address} is gone; {replicas} replicas share the rate limits");
            }
            Some(PeerState::Foreign) => log::warn!(
                "peer {address} is {name}, of another tier or region: take it off the list of peers"
            ),
            Some(state) => log::info!(
                "peer {address} {name}: {}; {replicas} replicas share the rate limits",
                state.as_str()
            ),
            None => {}
        }
    }

    fn settle(&self, roster: &Roster<SocketAddr>) {
        let replicas = roster.live().saturating_add(1);
        self.replicas.store(replicas, Relaxed);
    }

    fn roster(&self) -> MutexGuard<'_, Roster<SocketAddr>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a replica says of itself.
#[must_use]
pub(crate) fn identify(identity: &Identity, leaving: bool) -> ReplicaIdentity {
    ReplicaIdentity {
        tier: match identity.tier {
            Tier::Global => TierStatus::Global,
            Tier::Regional => TierStatus::Regional,
        },
        region: identity.region.clone(),
        replica: identity.replica.clone(),
        boot_id: identity.boot_id,
        leaving,
        informed: false,
        overloaded: false,
    }
}
