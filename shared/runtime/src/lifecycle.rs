//! The stages of a process's life, and how tasks wait for them.

use lb_core::time::Instant;
use rand::{Rng, RngExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// A stage; they only go forward, unless a successor dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Binding, reading, probing.
    Starting,
    /// Serving.
    Serving,
    /// Lame duck: still accepting, while asking all to leave.
    Leaving,
    /// No new connections; old work finishes.
    Closing,
}

/// The stage of the process.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stage: Arc<watch::Sender<Stage>>,
    ramp: Arc<Ramp>,
    /// Another process serves at the same addresses.
    replaced: Arc<AtomicBool>,
}

/// When the lame duck began, and how long it takes, in nanoseconds.
#[derive(Debug, Default)]
struct Ramp {
    begun: AtomicU64,
    span: AtomicU64,
}

/// A connection's turn to close: a point of the lame duck's time, 0 to 1. All at once, clients would connect anew in one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Turn(f64);

/// Waits for a stage.
#[derive(Debug)]
pub struct Reach {
    stage: Stage,
    watch: watch::Receiver<Stage>,
}

// === impl Lifecycle ===

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Starting)),
            ramp: Arc::default(),
            replaced: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// The stage now.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Goes on to `stage`; never back.
    pub fn advance(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let forward = stage > *now;
            if forward {
                *now = stage;
            }
            forward
        });
    }

    /// Begins the lame duck, which takes `span`.
    pub fn leave(&self, span: Duration, now: Instant) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.ramp.begun.store(now.as_nanos(), Relaxed);
        self.ramp.span.store(nanos, Relaxed);
        self.advance(Stage::Leaving);
    }

    /// Another process serves in place of this one: whoever sends traffic here is not to go elsewhere.
    pub(crate) fn set_replaced(&self, replaced: bool) {
        self.replaced.store(replaced, Relaxed);
    }

    /// Whether another process serves in place of this one.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Relaxed)
    }

    /// Serves again, because the process that replaced this one has died.
    pub(crate) fn resume(&self) {
        self.set_replaced(false);
        self.stage.send_replace(Stage::Serving);
    }

    /// Whether those who send traffic here are to send it elsewhere.
    #[must_use]
    pub fn tells_leaving(&self) -> bool {
        self.is_leaving() && !self.is_replaced()
    }

    /// Since when clients are asked to leave.
    #[must_use]
    pub fn left_at(&self) -> Option<Instant> {
        let begun = || Instant::from_nanos(self.ramp.begun.load(Relaxed));
        self.is_leaving().then(begun)
    }

    /// How much of the lame duck is over, 0 to 1.
    fn progress(&self, now: Instant) -> f64 {
        let Some(begun) = self.left_at() else {
            return 0.0;
        };
        let (gone, span) = (now.since(begun), self.span());
        if gone >= span {
            1.0
        } else {
            gone.as_secs_f64() / span.as_secs_f64()
        }
    }

    fn span(&self) -> Duration {
        Duration::from_nanos(self.ramp.span.load(Relaxed))
    }

    /// Draws a turn among those that are still to come.
    pub(crate) fn draw(&self, now: Instant, rng: &mut impl Rng) -> Turn {
        let gone = self.progress(now);
        Turn(gone + (1.0 - gone) * rng.random::<f64>())
    }

    /// Whether it is a connection's turn to close after its next response.
    pub(crate) fn is_due(&self, turn: Turn, now: Instant) -> bool {
        self.is_leaving() && self.progress(now) >= turn.0
    }

    /// Returns when it is a connection's turn, at the latest when no new connections are accepted.
    pub(crate) async fn due(&self, turn: Turn, now: impl Fn() -> Instant) {
        self.leaving().reached().await;
        let at = self.left_at().unwrap_or(Instant::ZERO) + self.span().mul_f64(turn.0);
        let mut closing = self.closing();
        tokio::select! {
            () = tokio::time::sleep(now().until(at)) => {}
            () = closing.reached() => {}
        }
    }

    /// Whether clients are asked to leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.stage() >= Stage::Leaving
    }

    /// Waits until clients are asked to leave.
    #[must_use]
    pub fn leaving(&self) -> Reach {
        self.reach(Stage::Leaving)
    }

    /// Waits until no new connections are accepted.
    #[must_use]
    pub fn closing(&self) -> Reach {
        self.reach(Stage::Closing)
    }

    fn reach(&self, stage: Stage) -> Reach {
        Reach {
            stage,
            watch: self.stage.subscribe(),
        }
    }
}

// === impl Reach ===

impl Reach {
    /// Returns when the stage is reached; at once when it was. Cancel-safe.
    pub async fn reached(&mut self) {
        if self.watch.wait_for(|now| *now >= self.stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn turns_are_spread_over_the_lame_duck() {
        let lifecycle = Lifecycle::default();
        let mut rng = SmallRng::seed_from_u64(1);
        let turns: Vec<Turn> = (0..1000).map(|_| lifecycle.draw(at(0), &mut rng)).collect();
        let due = |now| turns.iter().filter(|t| lifecycle.is_due(**t, now)).count();
        assert_eq!(due(at(5_000)), 0, "nobody leaves yet");
        lifecycle.leave(Duration::from_secs(10), at(5_000));
        for (now, part) in [(5_000, 0), (7_500, 250), (10_000, 500), (12_500, 750)] {
            assert!(
                due(at(now)).abs_diff(part) < 60,
                "{} at {now} ms",
                due(at(now))
            );
        }
        assert_eq!(due(at(15_000)), 1000);
        let late = lifecycle.draw(at(14_000), &mut rng);
        assert!(!lifecycle.is_due(late, at(14_000)) && lifecycle.is_due(late, at(15_000)));
    }

    #[test]
    fn one_that_is_replaced_asks_clients_only_and_can_serve_again() {
        let lifecycle = Lifecycle::default();
        let turn = lifecycle.draw(at(0), &mut SmallRng::seed_from_u64(1));
        lifecycle.set_replaced(true);
        lifecycle.leave(Duration::ZERO, at(1));
        assert!(lifecycle.is_due(turn, at(1)) && !lifecycle.tells_leaving());
        lifecycle.advance(Stage::Closing);
        lifecycle.resume();
        assert_eq!(lifecycle.stage(), Stage::Serving);
        assert!(!lifecycle.is_due(turn, at(2)));
        lifecycle.leave(Duration::ZERO, at(3));
        assert!(lifecycle.tells_leaving(), "this time for good");
    }

    #[test]
    fn without_a_lame_duck_it_is_everybodys_turn_at_once() {
        let lifecycle = Lifecycle::default();
        let turn = lifecycle.draw(at(0), &mut SmallRng::seed_from_u64(1));
        lifecycle.leave(Duration::ZERO, at(1));
        assert!(lifecycle.is_due(turn, at(1)));
    }
}
