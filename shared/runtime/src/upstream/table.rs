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
    known: Mutex<HashMap<EndpointKey, Weak<Endpoint>>>,
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
        if let Some(endpoint) = known.get(key).and_then(Weak::upgrade) {
            return endpoint;
        }
        known.retain(|_, endpoint| endpoint.strong_count() > 0);
        let endpoint = Arc::new(make(EndpointId(self.next.fetch_add(1, Relaxed))));
        known.insert(key.clone(), Arc::downgrade(&endpoint));
        endpoint
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointKey, Weak<Endpoint>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
