//! Keeps one name's addresses fresh.

use super::schedule::Schedule;
use super::{ResolveError, Resolver};
use lb_core::time::Instant;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A name to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchTarget {
    /// The host name, or a literal address, with or without brackets.
    pub name: String,
    /// The port that goes with each address.
    pub port: u16,
    /// Longest time between two questions; at least one second.
    pub interval: Duration,
}

/// How a watch fares, for metrics and status. Read at any time from anywhere.
#[derive(Debug, Default)]
pub struct WatchStats {
    answers: AtomicU64,
    failures: AtomicU64,
    /// When the last good answer came, in nanoseconds of the process's time line, plus one; 0: never.
    last_good: AtomicU64,
    /// Somebody has told, be it that there is nobody.
    is_told: AtomicBool,
    /// What is wrong, until it isn't.
    trouble: Mutex<Option<String>>,
}

/// Resolves `target` again and again and calls `on_change` with its addresses, sorted and without repetition,
/// whenever they differ from before. Runs until it is dropped; for a literal address it reports that one and returns.
///
/// `clock` gives the time for the age of the last good answer; `seed` seeds the jitter of the pauses.
pub async fn watch<R, F>(
    resolver: &R,
    target: &WatchTarget,
    stats: &WatchStats,
    clock: fn() -> Instant,
    seed: u64,
    on_change: F,
) where
    R: Resolver + ?Sized,
    F: Fn(Vec<SocketAddr>) + Send,
{
    if let Some(address) = literal(&target.name) {
        stats.on_good(clock());
        on_change(vec![SocketAddr::new(address, target.port)]);
        stats.on_told();
        return;
    }
    let what = format!("resolving {}", target.name);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut schedule = Schedule::new(target.port, target.interval);
    loop {
        let result = resolver.resolve(&target.name).await;
        let failure = match &result {
            Ok(answer) if !answer.addresses.is_empty() => None,
            Ok(_) => Some(&ResolveError::NoAddress),
            Err(error) => Some(error),
        };
        match failure {
            None => stats.on_good(clock()),
            Some(error) => stats.on_failure(&what, error),
        }
        let is_told = matches!(failure, None | Some(ResolveError::NoAddress));
        let next = schedule.on_result(&result, &mut rng);
        if let Some(addresses) = next.changed {
            on_change(addresses);
        }
        if is_told {
            stats.on_told();
        }
        tokio::time::sleep(next.pause).await;
    }
}

/// The address that a text is by itself.
fn literal(name: &str) -> Option<IpAddr> {
    name.strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name)
        .parse()
        .ok()
}

// === impl WatchStats ===

impl WatchStats {
    /// Good answers so far.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Failures and empty answers so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How old the last good answer is at `now`; none before the first.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let nanos = self.last_good.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.since(Instant::from_nanos(nanos)))
    }

    /// What is wrong now.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble_mut().clone()
    }

    /// Whether it was ever told who is there, be it nobody. What can't be asked, or is refused, doesn't tell.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    pub(super) fn on_told(&self) {
        self.is_told.store(true, Ordering::Relaxed);
    }

    pub(super) fn on_good(&self, now: Instant) {
        *self.trouble_mut() = None;
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.last_good
            .store(now.as_nanos().saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn on_failure(&self, name: &str, error: &dyn std::error::Error) {
        *self.trouble_mut() = Some(format!("{name}: {error}"));
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        // Once a failure would flood the log for as long as a resolver is down; the metric has them all.
        if before.is_power_of_two() || before == 0 {
            log::warn!("{name}: {error}; the last good addresses stay");
        }
    }

    fn trouble_mut(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
