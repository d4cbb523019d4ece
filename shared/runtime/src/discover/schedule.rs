//! When to ask again, and what an answer changes: the decisions of a watch, without time or sockets.

use super::{Answer, ResolveError};
use rand::{Rng, RngExt};
use std::net::SocketAddr;
use std::time::Duration;

/// Shortest pause between two questions for one name, whatever its TTL says.
pub(super) const FLOOR: Duration = Duration::from_secs(1);

/// What is known of a name.
#[derive(Debug)]
pub(super) struct Schedule {
    port: u16,
    longest: Duration,
    good: Vec<SocketAddr>,
    failures: u32,
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// The new addresses, when they differ from the last good ones.
    pub(super) changed: Option<Vec<SocketAddr>>,
    /// When to ask again.
    pub(super) pause: Duration,
}

// === impl Schedule ===

impl Schedule {
    /// Nothing is known; `interval` is the longest time between two questions, at least [`FLOOR`].
    pub(super) fn new(port: u16, interval: Duration) -> Self {
        Self {
            port,
            longest: interval.max(FLOOR),
            good: Vec::new(),
            failures: 0,
        }
    }

    /// Takes in a result.
    pub(super) fn on_result(
        &mut self,
        result: &Result<Answer, ResolveError>,
        rng: &mut impl Rng,
    ) -> Next {
        let (changed, aim) = match result {
            Ok(answer) if !answer.addresses.is_empty() => {
                self.failures = 0;
                (self.take(answer), answer.ttl)
            }
            Ok(_) | Err(_) => {
                let doublings = self.failures.min(16);
                self.failures = self.failures.saturating_add(1);
                (None, FLOOR.saturating_mul(1 << doublings))
            }
        };
        // Downwards only: the interval is a promise. Names that were read together drift apart by it.
        let pause = aim
            .clamp(FLOOR, self.longest)
            .mul_f64(rng.random_range(0.9..=1.0));
        Next {
            changed,
            pause: pause.max(FLOOR),
        }
    }

    fn take(&mut self, answer: &Answer) -> Option<Vec<SocketAddr>> {
        let mut addresses: Vec<_> = answer
            .addresses
            .iter()
            .map(|ip| SocketAddr::new(ip.to_canonical(), self.port))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses == self.good {
            return None;
        }
        self.good.clone_from(&addresses);
        Some(addresses)
    }
}
