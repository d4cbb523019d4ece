//! Tells the control thread that an endpoint changed.
//!
//! **Problem.** An ejection is decided in a request and takes effect with the next view, which the control
//! thread builds. Looking for stale views at intervals makes every ejection late by half of one on average, and the
//! endpoint fails requests meanwhile.
//!
//! **Choice.** Whoever marks a pool as stale also wakes the thread. A wake-up that nobody waits for is kept, and any
//! number of them is one; between two rebuilds lies a rest of [`REST`], so that a storm of transitions
//! costs 500 rebuilds a second at most. The regular look stays as a net.

use std::time::Duration;
use tokio::sync::Notify;

/// The least time between two wake-ups.
const REST: Duration = Duration::from_millis(2);

/// Shared by all pools of a process.
#[derive(Debug, Default)]
pub struct Changes(Notify);

// === impl Changes ===

impl Changes {
    /// Notes a change, from any thread.
    pub fn note(&self) {
        self.0.notify_one();
    }

    /// Waits for a change, after a rest. For one waiter; nothing is lost when it is dropped.
    pub async fn next(&self) {
        tokio::time::sleep(REST).await;
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::time::{sleep, timeout};

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_change_is_kept_until_someone_waits() {
        let changes = Changes::default();
        assert!(timeout(LONG, changes.next()).await.is_err());
        changes.note();
        changes.note();
        // Given up while it rests, and while it waits.
        assert!(timeout(REST / 2, changes.next()).await.is_err());
        assert!(timeout(REST * 2, changes.next()).await.is_ok());
        assert!(timeout(LONG, changes.next()).await.is_err(), "both are one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_wakes_once_per_rest() {
        let changes = Arc::new(Changes::default());
        let wakes = Arc::new(AtomicUsize::new(0));
        let (waiting, counter) = (changes.clone(), wakes.clone());
        let waiter = tokio::spawn(async move {
            loop {
                waiting.next().await;
                counter.fetch_add(1, SeqCst);
            }
        });
        for _ in 0..100 {
            (0..1_000).for_each(|_| changes.note());
            sleep(Duration::from_millis(1)).await;
        }
        waiter.abort();
        let wakes = wakes.load(SeqCst);
        assert!((30..=50).contains(&wakes), "{wakes} in 100 ms");
    }
}
