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
    /// What is left is cut.
    Ending,
}

/// Until the end, what a stream's goodbye may take: the peer's answer to it, and its way through what waits before it.
const PARTING: Duration = Duration::from_millis(1500);
/// The time over which streams part, at most.
const PARTING_SPREAD: Duration = Duration::from_secs(30);

/// The stage of the process.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stage: Arc<watch::Sender<Stage>>,
    /// The lame duck.
    ramp: Arc<Ramp>,
    /// The time that streams have after it.
    drain: Arc<Ramp>,
    /// Another process serves at the same addresses.
    replaced: Arc<AtomicBool>,
    /// The stage is [`Stage::Ending`]; for those who can't take a lock to find out.
    ending: Arc<AtomicBool>,
}

/// When something began, and how long it takes, in nanoseconds.
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
            drain: Arc::default(),
            replaced: Arc::default(),
            ending: Arc::default(),
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
        if stage == Stage::Ending {
            self.ending.store(true, Relaxed);
        }
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
        self.ramp.begin(span, now);
        self.advance(Stage::Leaving);
    }

    /// Begins the drain, in which streams have `stream_drain`.
    pub fn close(&self, stream_drain: Duration, now: Instant) {
        self.drain.begin(stream_drain, now);
        self.advance(Stage::Closing);
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
        self.ending.store(false, Relaxed);
        self.stage.send_replace(Stage::Serving);
    }

    /// Whether what is left is cut.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Waits until that is over, because the process serves again.
    pub(crate) async fn resumed(&self) {
        let mut watch = self.stage.subscribe();
        let _ = watch.wait_for(|now| *now < Stage::Ending).await;
    }

    /// Whether those who send traffic here are to send it elsewhere.
    #[must_use]
    pub fn tells_leaving(&self) -> bool {
        self.is_leaving() && !self.is_replaced()
    }

    /// Since when clients are asked to leave.
    #[must_use]
    pub fn left_at(&self) -> Option<Instant> {
        self.is_leaving().then(|| self.ramp.begun())
    }

    /// How much of the lame duck is over, 0 to 1.
    fn progress(&self, now: Instant) -> f64 {
        let Some(begun) = self.left_at() else {
            return 0.0;
        };
        let (gone, span) = (now.since(begun), self.ramp.span());
        if gone >= span {
            1.0
        } else {
            gone.as_secs_f64() / span.as_secs_f64()
        }
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
        let at = self.left_at().unwrap_or(Instant::ZERO) + self.ramp.span().mul_f64(turn.0);
        let mut closing = self.closing();
        tokio::select! {
            () = tokio::time::sleep(now().until(at)) => {}
            () = closing.reached() => {}
        }
    }

    /// Returns when it is a stream's turn to part; `turn` is from 0 to 1.
    pub(crate) async fn parting(&self, turn: f64, now: impl Fn() -> Instant) {
        self.closing().reached().await;
        let at = self.drain.begun() + parting_after(self.drain.span(), turn);
        tokio::time::sleep(now().until(at)).await;
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

    /// Waits until what is left is cut.
    #[must_use]
    pub fn ending(&self) -> Reach {
        self.reach(Stage::Ending)
    }

    fn reach(&self, stage: Stage) -> Reach {
        Reach {
            stage,
            watch: self.stage.subscribe(),
        }
    }
}

// === impl Ramp ===

impl Ramp {
    fn begin(&self, span: Duration, now: Instant) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.begun.store(now.as_nanos(), Relaxed);
        self.span.store(nanos, Relaxed);
    }

    fn begun(&self) -> Instant {
        Instant::from_nanos(self.begun.load(Relaxed))
    }

    fn span(&self) -> Duration {
        Duration::from_nanos(self.span.load(Relaxed))
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

/// How long after the drain's begin a stream parts: in the second half of its time, so that most have ended by themselves, one
/// after the other, so that clients don't connect anew in one instant, and early enough to be done at the deadline.
fn parting_after(stream_drain: Duration, turn: f64) -> Duration {
    let last = stream_drain.saturating_sub(PARTING);
    let spread = (stream_drain / 2).min(PARTING_SPREAD).min(last);
    last - spread + spread.mul_f64(turn.clamp(0.0, 1.0))
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

    #[test]
    fn streams_part_one_after_the_other_before_the_deadline() {
        let after = |seconds: f64, turn| {
            parting_after(Duration::from_secs_f64(seconds), turn).as_secs_f64()
        };
        assert_eq!((after(60.0, 0.0), after(60.0, 1.0)), (28.5, 58.5));
        assert_eq!((after(600.0, 0.0), after(600.0, 1.0)), (568.5, 598.5));
        assert_eq!((after(4.0, 0.0), after(4.0, 0.5)), (0.5, 1.5));
        assert_eq!(
            (after(2.0, 0.0), after(2.0, 1.0)),
            (0.0, 0.5),
            "little time"
        );
        assert_eq!((after(0.0, 0.0), after(0.0, 1.0)), (0.0, 0.0), "none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_begins_late_parts_at_once() {
        let lifecycle = Lifecycle::default();
        lifecycle.leave(Duration::ZERO, at(0));
        lifecycle.close(Duration::from_secs(4), at(0));
        let begun = tokio::time::Instant::now();
        lifecycle.parting(0.5, || at(1_000)).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(500));
        lifecycle.parting(0.5, || at(3_000)).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(500));
    }
}
