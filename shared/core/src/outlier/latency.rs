//! Weight by latency: an endpoint much slower than its peers gets less to do.
//!
//! # Problem
//! An endpoint can be ten times slower than its sisters without a single failure. A policy that knows latency avoids it;
//! round robin, random and hashes don't, and each of their requests to it is slow.
//!
//! # Choice
//! A factor on its weight. Slower than 3 × the peers' median for 10 s without a break: the factor falls by a fifth
//! each second, at the lowest to 0.1, so that it is still measured. Better again: 0.1 back each second. Gradual,
//! because what it loses, its peers get, and they must not become slow by that.
//!
//! # Rejected
//! Ejection: slow is not down, and a pool where all are slow in turn would lose its members one by one.
//!
//! # Limits
//! Differences below 5 ms don't count: 3 × 0.2 ms is no reason. Once its weight is low the endpoint may look fast because it
//! has little to do; it then gets weight back, and loses it again only after 10 s.

use crate::time::Instant;
use std::time::Duration;

/// The lowest factor.
const LEAST: f64 = 0.1;
/// What remains of the factor after a second of slowness.
const FALL: f64 = 0.8;
/// What comes back in a second.
const RISE: f64 = 0.1;

/// The numbers of the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Off: the factor is always 1.
    pub enabled: bool,
    /// Times the peers' median that is slow; at least 1.
    pub factor: f64,
    /// Time of slowness before weight is taken.
    pub after: Duration,
    /// A difference that never counts.
    pub floor: Duration,
}

/// An endpoint's factor.
#[derive(Debug, Clone)]
pub struct Tracker {
    factor: f64,
    slow_since: Option<Instant>,
    last: Option<Instant>,
}

// === impl Tracker ===

impl Default for Tracker {
    fn default() -> Self {
        Self {
            factor: 1.0,
            slow_since: None,
            last: None,
        }
    }
}

impl Tracker {
    /// Takes in the latencies of now and gives the weight's factor, 0.1 to 1.0. About once a second; the
    /// steps go by the time that has passed, at most 5 s of it.
    pub fn update(
        &mut self,
        own: Duration,
        peers_median: Duration,
        rules: &Rules,
        now: Instant,
    ) -> f64 {
        let passed = self
            .last
            .map_or(0.0, |last| now.since(last).as_secs_f64().min(5.0));
        self.last = Some(now);
        if !rules.enabled {
            *self = Self::default();
            return 1.0;
        }
        if !rules.is_slow(own, peers_median) {
            self.slow_since = None;
            self.factor = (self.factor + RISE * passed).min(1.0);
            return self.factor;
        }
        let since = *self.slow_since.get_or_insert(now);
        if now.since(since) >= rules.after {
            self.factor = (self.factor * FALL.powf(passed)).max(LEAST);
        }
        self.factor
    }

    /// The factor of now, 0.1 to 1.0.
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.factor
    }
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: true,
            factor: 3.0,
            after: Duration::from_secs(10),
            floor: Duration::from_millis(5),
        }
    }
}

impl Rules {
    /// The rules of a pool.
    #[must_use]
    pub fn new(config: &crate::config::model::Outlier) -> Self {
        Self {
            enabled: config.enabled && config.latency.enabled,
            factor: config.latency.factor.max(1.0),
            after: config.latency.after.get(),
            floor: config.latency.floor.get(),
        }
    }

    fn is_slow(&self, own: Duration, peers: Duration) -> bool {
        own.saturating_sub(peers) > self.floor
            && own.as_secs_f64() > self.factor * peers.as_secs_f64()
    }
}

/// The median latency of the endpoints other than `index`; with two endpoints, the other one's. None without others.
/// Sorts `scratch`, which is overwritten, so that a pool needs one buffer.
#[must_use]
pub fn peers_median(
    all: &[Duration],
    index: usize,
    scratch: &mut Vec<Duration>,
) -> Option<Duration> {
    scratch.clear();
    let others = all.iter().enumerate().filter(|(at, _)| *at != index);
    scratch.extend(others.map(|(_, latency)| *latency));
    let middle = scratch.len().checked_sub(1)? / 2;
    Some(*scratch.select_nth_unstable(middle).1)
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
