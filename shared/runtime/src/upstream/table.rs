//! All endpoints of the process, by identity.

use super::{Endpoint, EndpointKey};
use lb_core::balance::EndpointId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Endpoints that are in use, so that a reload or a fresh name resolution finds them again.
#[derive(Debug, Default)]
pub struct EndpointTable {
    next: AtomicU32,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    endpoints: HashMap<EndpointKey, Weak<Endpoint>>,
    /// How many there are when those that are gone are looked for: not for each new one, as a pool of 10,000 is 10,000 new ones.
    sweep_at: usize,
}

// === impl EndpointTable ===

impl EndpointTable {
    /// The endpoint of `key`, or the one that `make` builds with a fresh id.
    pub fn get_or_make(
        &self,
        key: &EndpointKey,
        make: impl FnOnce(EndpointId) -> Endpoint,
    ) -> Arc<Endpoint> {
        let mut known = self.lock();
        if let Some(endpoint) = known.endpoints.get(key).and_then(Weak::upgrade) {
            return endpoint;
        }
        if known.endpoints.len() >= known.sweep_at {
            let in_use = |endpoint: &Weak<Endpoint>| endpoint.strong_count() > 0;
            known.endpoints.retain(|_, endpoint| in_use(endpoint));
            known.sweep_at = 2 * known.endpoints.len() + 16;
        }
        let endpoint = Arc::new(make(EndpointId(self.next.fetch_add(1, Relaxed))));
        known
            .endpoints
            .insert(key.clone(), Arc::downgrade(&endpoint));
        endpoint
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
