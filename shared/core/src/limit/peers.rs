//! How many replicas share a rate limit: which of the peers are alive.
//!
//! # Problem
//! N replicas each see a part of a client's requests, so each enforces a part of its limit. Who of them is there changes, and
//! each replica finds that out by itself. A peer that is thought dead and is not doubles what gets through; one that is
//! thought alive and is not halves it.
//!
//! # Choice
//! Every replica asks each peer who it is, once a second. An answer counts at once, silence only after three questions: being
//! late with a death costs some refusals, being early costs the limit. One that says that it leaves is gone at once, so
//! that a rolling restart moves the shares without a gap. Peers are told apart by name *and* boot, not by address: a list
//! that names this replica too, or a replica under two addresses (IPv4 and IPv6 of one DNS name), counts nobody twice.
//! A peer that was never asked counts until its first question ends.
//!
//! **Flapping.** A peer that comes back with the same boot had never died: the way to it is bad. Its next silence is
//! believed after twice as many questions, up to 24, and after three again once it was steady for ten minutes (never silent for three). A way
//! that breaks for less than 24 s at a time therefore undivides the limit three times at most, for 21 + 18 + 12 s in
//! all, and then no more.
//!
//! # Rejected
//! - Sharing counts (gossip, a store): exact for clients that use one replica only, but another service on the path of
//!   requests, or counts that are late by just the time in which a burst happens.
//! - A configured number of replicas: wrong during each restart, and under an autoscaler always.
//!
//! # Limits
//! Replicas that are cut off from each other for longer while users reach all of them enforce the whole limit each: nothing
//! tells that from a death. More than N times the limit never gets through.

use crate::status::{PeerState, PeerStatus, ReplicaIdentity};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

/// Questions without an answer after which a peer is gone …
const PATIENCE: u32 = 3;
/// … and the most, for one that was thought gone and was not.
const MOST_PATIENCE: u32 = 24;
/// A peer that was never silent for [`PATIENCE`] questions in this time is trusted no less than a new one.
const STEADY: Duration = Duration::from_secs(600);

/// The peers, by the address at which they are asked.
#[derive(Debug)]
pub struct Roster<K> {
    me: ReplicaIdentity,
    peers: BTreeMap<K, Peer>,
}

#[derive(Debug)]
struct Peer {
    state: PeerState,
    /// Its name and boot, once it has answered.
    who: Option<(String, u64)>,
    /// It said last that it knows whom to send requests to.
    informed: bool,
    /// It said last that it refuses new work.
    overloaded: bool,
    /// Questions without an answer, in a row.
    missed: u32,
    patience: u32,
    /// When it last came back from a silence that would have been too long for a new one.
    since: Instant,
}

// === impl Roster ===

impl<K: Ord + Clone + Display> Roster<K> {
    /// This replica, without peers.
    #[must_use]
    pub const fn new(me: ReplicaIdentity) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
        }
    }

    /// Takes over the addresses to ask; what is known of those that stay is kept.
    pub fn set(&mut self, addresses: &[K]) {
        self.peers.retain(|address, _| addresses.contains(address));
        for address in addresses {
            self.peers.entry(address.clone()).or_insert_with(Peer::new);
        }
    }

    /// Takes in an answer. Returns the new state, when it changed.
    pub fn on_answer(
        &mut self,
        address: &K,
        who: &ReplicaIdentity,
        now: Instant,
    ) -> Option<PeerState> {
        let state = self.judge(who);
        let peer = self.peers.get_mut(address)?;
        let id = (who.replica.clone(), who.boot_id);
        let is_same = peer.who.as_ref() == Some(&id);
        if !is_same {
            (peer.patience, peer.since) = (PATIENCE, now);
        } else if peer.state == PeerState::Gone {
            peer.patience = (2 * peer.patience).min(MOST_PATIENCE);
            peer.since = now;
        } else if peer.missed >= PATIENCE {
            peer.since = now;
        } else if now.since(peer.since) >= STEADY {
            peer.patience = PATIENCE;
        }
        (peer.who, peer.missed) = (Some(id), 0);
        (peer.informed, peer.overloaded) = (who.informed, who.overloaded);
        peer.change(state)
    }

    /// Takes in that a question had no answer in time. Returns the new state, when it changed.
    pub fn on_silence(&mut self, address: &K) -> Option<PeerState> {
        let peer = self.peers.get_mut(address)?;
        peer.missed = peer.missed.saturating_add(1);
        let is_gone = match peer.state {
            PeerState::Asked | PeerState::Leaving => true,
            PeerState::Itself => false,
            _ => peer.missed >= peer.patience,
        };
        if is_gone {
            return peer.change(PeerState::Gone);
        }
        None
    }

    /// Live peers, this replica not among them.
    #[must_use]
    pub fn live(&self) -> u32 {
        let known = |peer: &'_ Peer| peer.state == PeerState::Live;
        let known = self.peers.values().filter(|peer| known(peer));
        let distinct: BTreeSet<_> = known.map(|peer| peer.who.as_ref()).collect();
        let asked = |peer: &&Peer| peer.state == PeerState::Asked;
        let asked = self.peers.values().filter(asked).count();
        u32::try_from(distinct.len() + asked).unwrap_or(u32::MAX)
    }

    /// Whether a live peer said last that it knows whom to send requests to.
    #[must_use]
    pub fn is_any_informed(&self) -> bool {
        let all = self.peers.values();
        all.filter(|peer| peer.state == PeerState::Live)
            .any(|peer| peer.informed)
    }

    /// Whether this replica, which refuses new work, may have its share sent to its peers: not when more than half of all would be
    /// out then. The rest would follow, as it gets what they leave. Without live peers nobody is known who could suffer.
    #[must_use]
    pub fn may_stand_aside(&self) -> bool {
        let all = self.peers.values();
        let live = all.filter(|peer| peer.state == PeerState::Live);
        let known: BTreeMap<_, _> = live.map(|peer| (&peer.who, peer.overloaded)).collect();
        let out = 1 + known.values().filter(|out| **out).count();
        known.is_empty() || 2 * out <= known.len() + 1
    }

    /// Each peer as a status shows it.
    #[must_use]
    pub fn status(&self) -> Vec<PeerStatus> {
        let told = |(address, peer): (&K, &Peer)| PeerStatus {
            address: address.to_string(),
            replica: peer.who.as_ref().map(|(name, _)| name.clone()),
            state: peer.state,
            missed: peer.missed,
            patience: peer.patience,
        };
        self.peers.iter().map(told).collect()
    }

    fn judge(&self, who: &ReplicaIdentity) -> PeerState {
        let me = &self.me;
        if (who.tier, &who.region) != (me.tier, &me.region) {
            PeerState::Foreign
        } else if (&who.replica, who.boot_id) == (&me.replica, me.boot_id) {
            PeerState::Itself
        } else if who.leaving {
            PeerState::Leaving
        } else {
            PeerState::Live
        }
    }
}

// === impl Peer ===

impl Peer {
    const fn new() -> Self {
        Self {
            state: PeerState::Asked,
            who: None,
            informed: false,
            overloaded: false,
            missed: 0,
            patience: PATIENCE,
            since: Instant::from_nanos(0),
        }
    }

    fn change(&mut self, to: PeerState) -> Option<PeerState> {
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(to)
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
