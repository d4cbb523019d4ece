//! What protects, and outlives a configuration: the places of pools, the buckets of rate limits.

use super::Site;
use crate::clock;
use crate::exchange::RateLimiter;
use crate::upstream::{Admission, AdmissionMetrics, Protection};
use lb_core::config::model::RateLimit;
use rand::RngExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// By name of the pool, or of the route and its numbers.
#[derive(Debug, Default)]
pub(super) struct Kept {
    admissions: Mutex<HashMap<String, Arc<Admission>>>,
    limiters: Mutex<HashMap<String, (RateLimit, Arc<RateLimiter>)>>,
}

// === impl Site ===

impl Site {
    /// A pool's places. What was learned of the pool belongs to its name; its bounds follow the configuration.
    #[must_use]
    pub fn admission(&self, pool: &str, protection: &Protection) -> Arc<Admission> {
        let admissions = &self.kept.admissions;
        let mut admissions = admissions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = admissions.get(pool) {
            known.reconfigure(protection);
            return known.clone();
        }
        let metrics = AdmissionMetrics::new(&self.metrics.families, pool);
        let seed = clock::with_rng(|rng| rng.random());
        let made = Admission::new(protection, metrics, seed, clock::now());
        admissions.insert(pool.to_owned(), made.clone());
        made
    }

    /// A route's rate limit. A reload that keeps its numbers keeps what its clients have used.
    #[must_use]
    pub(crate) fn rate_limiter(&self, route: &str, limit: &RateLimit) -> Arc<RateLimiter> {
        let limiters = &self.kept.limiters;
        let mut limiters = limiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = limiters.get(route).filter(|(numbers, _)| numbers == limit) {
            return known.clone();
        }
        let seed = clock::with_rng(|rng| rng.random());
        let made = Arc::new(RateLimiter::new(route, limit, seed, self.peers.replicas()));
        limiters.insert(route.to_owned(), (limit.clone(), made.clone()));
        made
    }
}
