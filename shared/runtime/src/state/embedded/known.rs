//! What is known of the peers that orders are shared with.

use crate::state::skew::{differs, is_off};
use crate::state::store::Look;
use lb_core::status::StatePeer;
use lb_core::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a peer that was never heard may be silent before that is told: when all start at once, each is the first for a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The peers by their admin address.
#[derive(Debug, Default)]
pub(super) struct Directory {
    peers: Mutex<BTreeMap<SocketAddr, Known>>,
}

#[derive(Debug)]
struct Known {
    /// Since when it is looked for.
    since: Instant,
    replica: Option<String>,
    hash: Option<String>,
    at: Option<Instant>,
    error: Option<String>,
    /// The error that the log has.
    told: Option<String>,
    /// How far its clock is ahead, in milliseconds, and when it said so: also one whose orders are refused for that tells the time.
    ahead_ms: Option<(i64, Instant)>,
}

// === impl Directory ===

impl Directory {
    /// Forgets all but these.
    pub(super) fn keep(&self, addresses: &[SocketAddr], now: Instant) {
        let mut peers = self.lock();
        peers.retain(|address, _| addresses.contains(address));
        for address in addresses {
            peers.entry(*address).or_insert_with(|| Known::new(now));
        }
    }

    /// It is not one with whom orders are shared.
    pub(super) fn forget(&self, address: SocketAddr) {
        self.lock().remove(&address);
    }

    /// A peer has told what it knows.
    pub(super) fn hear(&self, address: SocketAddr, replica: &str, hash: &str, now: Instant) {
        self.heard(address, Some(replica), hash.to_owned(), now);
    }

    /// A peer knows the same as this replica.
    pub(super) fn agrees(&self, address: SocketAddr, hash: String, now: Instant) {
        self.heard(address, None, hash, now);
    }

    fn heard(&self, address: SocketAddr, replica: Option<&str>, hash: String, now: Instant) {
        let mut peers = self.lock();
        // Unless the file no longer names it.
        let Some(known) = peers.get_mut(&address) else {
            return;
        };
        if let Some(replica) = replica {
            known.replica = Some(replica.to_owned());
        }
        (known.hash, known.at) = (Some(hash), Some(now));
        known.error = None;
        if known.told.take().is_some() {
            let name = known.replica.as_deref().unwrap_or_default();
            log::info!("state: peer {address} {name} shares its orders again");
        }
    }

    /// A peer has told the time; told once when its clock, or this one's, is wrong.
    pub(super) fn tells_time(&self, address: SocketAddr, ahead_ms: i64, now: Instant) {
        let mut peers = self.lock();
        let Some(known) = peers.get_mut(&address) else {
            return;
        };
        let was_off = known
            .ahead_ms
            .replace((ahead_ms, now))
            .is_some_and(|(before, _)| is_off(before));
        if is_off(ahead_ms) && !was_off {
            log::warn!("state: {}", differs(&format!("peer {address}"), ahead_ms));
        }
    }

    /// A peer could not be asked, or what it told is refused. Told once, and of one that was never heard only when it lasts.
    pub(super) fn fault(&self, address: SocketAddr, error: String, now: Instant) {
        let mut peers = self.lock();
        let Some(known) = peers.get_mut(&address) else {
            return;
        };
        let lasts = known.at.is_some() || now.since(known.since) >= PATIENCE;
        if lasts && known.told.as_ref() != Some(&error) {
            log::warn!("state: orders of peer {address} can't be had: {error}");
            known.told = Some(error.clone());
        }
        known.error = Some(error);
    }

    /// Its name, or its address while that is unknown.
    pub(super) fn name(&self, address: SocketAddr) -> String {
        let peers = self.lock();
        let name = peers.get(&address).and_then(|known| known.replica.clone());
        name.unwrap_or_else(|| address.to_string())
    }

    /// The age is that of the peer that was silent for longest.
    pub(super) fn look(&self, now: Instant) -> Look {
        let peers = self.lock();
        let age = |known: &Known| now.since(known.at.unwrap_or(known.since));
        let oldest = peers.values().map(age).max();
        let describe = |(address, known): (&SocketAddr, &Known)| StatePeer {
            address: address.to_string(),
            replica: known.replica.clone(),
            hash: known.hash.clone(),
            age_ms: known.at.map(|_| millis(age(known))),
            error: known.error.clone(),
        };
        let faults = peers.iter().filter_map(|(address, known)| {
            let error = known.error.as_ref()?;
            Some(format!("peer {address}: {error}"))
        });
        // What an absent peer said long ago says nothing of this clock.
        let mut look = Look {
            age: oldest.unwrap_or_default(),
            faults: faults.collect(),
            skew_ms: None,
            peers: peers.iter().map(describe).collect(),
        };
        for (address, known) in peers.iter() {
            let fresh = known.ahead_ms.filter(|(_, at)| now.since(*at) < PATIENCE);
            look.tell_time(&format!("peer {address}"), fresh.map(|(ahead, _)| ahead));
        }
        look
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Known>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    const fn new(since: Instant) -> Self {
        Self {
            since,
            replica: None,
            hash: None,
            at: None,
            error: None,
            told: None,
            ahead_ms: None,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_not_there_yet_is_told_when_that_lasts() {
        let (peers, at) = (Directory::default(), "127.0.0.1:1".parse().unwrap());
        let told = |now: u64, error: &str| {
            peers.fault(at, error.to_owned(), Instant::from_millis(now));
            let known = peers.lock();
            assert_eq!(
                known[&at].error.as_deref(),
                Some(error),
                "the status says it at once"
            );
            known[&at].told.clone()
        };
        peers.keep(&[at], Instant::ZERO);
        assert_eq!(told(9_999, "refused"), None);
        assert_eq!(told(10_000, "refused").as_deref(), Some("refused"));
        peers.agrees(at, "h".to_owned(), Instant::from_millis(11_000));
        // One that was there is told at once.
        assert_eq!(told(11_001, "gone").as_deref(), Some("gone"));
    }

    #[test]
    fn a_clock_that_differs_to_either_side_is_a_fault_while_it_is_heard() {
        let (peers, at) = (Directory::default(), "127.0.0.1:1".parse().unwrap());
        let look = |now: u64| peers.look(Instant::from_millis(now));
        peers.keep(&[at], Instant::ZERO);
        peers.agrees(at, "h".to_owned(), Instant::ZERO);
        assert_eq!(look(0).skew_ms, None);
        for (ahead, word) in [(3_600_000, "3600 s ahead of"), (-61_000, "61 s behind")] {
            peers.tells_time(at, ahead, Instant::ZERO);
            peers.fault(at, "refused".to_owned(), Instant::from_millis(500));
            let seen = look(1_000);
            assert_eq!(seen.skew_ms, Some(ahead));
            assert!(seen.faults[1].contains(word), "{:?}", seen.faults);
        }
        assert_eq!(look(20_000).skew_ms, None, "long ago");
        peers.tells_time(at, 1_500, Instant::from_millis(20_000));
        assert_eq!(look(20_000).skew_ms, Some(1_500));
        assert_eq!(look(20_000).faults.len(), 1, "it differs no more");
    }
}
