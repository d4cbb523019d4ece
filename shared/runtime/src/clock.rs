//! The one place that reads clocks and seeds randomness.
//!
//! Everything else takes `now` and `rng` as arguments. Intervals use the monotonic clock only; the wall
//! clock serves log lines and identifiers.

use lb_core::time::Instant;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

static START: LazyLock<std::time::Instant> = LazyLock::new(monotonic);

thread_local! {
    static RNG: RefCell<SmallRng> = RefCell::new(seeded());
}

/// The monotonic time since the process started.
#[must_use]
pub fn now() -> Instant {
    let elapsed = monotonic().saturating_duration_since(*START);
    Instant::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970, by the wall clock. It may jump: never use it for intervals.
#[must_use]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Lends this thread's generator. Not for secrets.
pub fn with_rng<T>(f: impl FnOnce(&mut SmallRng) -> T) -> T {
    RNG.with(|rng| match rng.try_borrow_mut() {
        Ok(mut rng) => f(&mut rng),
        Err(_) => f(&mut seeded()),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the clock"
)]
fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}

/// Seeds from the operating system's randomness by way of the standard hasher's keys.
fn seeded() -> SmallRng {
    use std::hash::{BuildHasher, RandomState};
    SmallRng::seed_from_u64(RandomState::new().hash_one(unix_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn time_goes_forward_and_generators_differ() {
        let first = now();
        assert!(now() >= first);
        let draw = || {
            std::thread::spawn(|| with_rng(|rng| rng.random::<u64>()))
                .join()
                .unwrap()
        };
        assert_ne!(draw(), draw());
    }
}
