//! How many connections there may be, in all and from one client.

use lb_core::config::model::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of open connections, exact because guards hold them.
#[derive(Debug, Default)]
pub struct Caps {
    open: AtomicU32,
    clients: Mutex<HashMap<IpAddr, u32>>,
}

/// A listener's connections, over all threads.
#[derive(Debug, Default)]
pub struct Counts {
    open: AtomicU32,
    accepted: AtomicU64,
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// `limits.max_connections`.
    All,
    /// `limits.max_connections_per_client`.
    Client,
}

/// An open connection's place; dropping it gives the place back.
#[must_use]
#[derive(Debug)]
pub(super) struct Place {
    caps: Arc<Caps>,
    client: Option<IpAddr>,
    listener: Arc<Counts>,
}

// === impl Counts ===

impl Counts {
    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Connections since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }
}

// === impl Caps ===

impl Caps {
    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Takes a place for a connection from `client`; `exempt` clients (trusted proxies) have no limit of
    /// their own.
    pub(super) fn admit(
        self: &Arc<Self>,
        client: IpAddr,
        exempt: bool,
        listener: &Arc<Counts>,
        limits: &Limits,
    ) -> Result<Place, Full> {
        if self.open.fetch_add(1, Relaxed) >= limits.max_connections {
            self.open.fetch_sub(1, Relaxed);
            return Err(Full::All);
        }
        listener.open.fetch_add(1, Relaxed);
        let mut place = Place {
            caps: self.clone(),
            client: None,
            listener: listener.clone(),
        };
        if limits.max_connections_per_client > 0 && !exempt {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = clients.entry(client).or_default();
            if *count >= limits.max_connections_per_client {
                drop(clients);
                return Err(Full::Client);
            }
            *count += 1;
            place.client = Some(client);
        }
        listener.accepted.fetch_add(1, Relaxed);
        Ok(place)
    }
}

// === impl Full ===

impl Full {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::All => "max_connections",
            Self::Client => "max_connections_per_client",
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Relaxed);
        self.listener.open.fetch_sub(1, Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self
            .caps
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_the_table_empties() {
        let caps = Arc::new(Caps::default());
        let listener = Arc::new(Counts::default());
        let limits = Limits {
            max_connections: 3,
            max_connections_per_client: 2,
            ..Limits::default()
        };
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = caps.admit(a, false, &listener, &limits).unwrap();
        let second = caps.admit(a, false, &listener, &limits).unwrap();
        assert_eq!(
            caps.admit(a, false, &listener, &limits).err(),
            Some(Full::Client)
        );
        assert_eq!(caps.open(), 2, "a refused connection holds no place");
        let third = caps.admit(b, false, &listener, &limits).unwrap();
        assert_eq!(
            caps.admit(b, false, &listener, &limits).err(),
            Some(Full::All)
        );
        drop((first, second, third));
        assert_eq!((caps.open(), listener.open()), (0, 0));
        assert_eq!(listener.accepted(), 3);
        assert!(caps.clients.lock().unwrap().is_empty());
    }

    #[test]
    fn trusted_proxies_have_no_limit_of_their_own() {
        let caps = Arc::new(Caps::default());
        let listener = Arc::new(Counts::default());
        let limits = Limits {
            max_connections_per_client: 1,
            ..Limits::default()
        };
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let places: Vec<_> = (0..5)
            .map(|_| caps.admit(proxy, true, &listener, &limits))
            .collect();
        assert!(places.iter().all(Result::is_ok));
    }
}
