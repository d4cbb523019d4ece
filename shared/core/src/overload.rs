//! The proxy's own overload: what it stops doing, and when it starts again.
//!
//! # Problem
//! A proxy that runs out of memory is killed with all its connections, and one whose event loop lags is slow for
//! everyone, its own health checks included. It has to do less before that.
//!
//! # Choice
//! Two pressures, memory in use and lag of the event loop, each with two marks. Beyond the first, keep-alive is turned
//! off: connections move to sister replicas as they end. Beyond the second, new connections and requests are refused; admin
//! and health keep working, so that the tier above sees why. A level rises at once for memory, and after a second look for
//! lag, as one slow tick is no overload. It falls one step at a time, when all pressures have been below nine tenths of the
//! marks for 5 s.
//!
//! # Rejected
//! Envoy's `scaled` actions (timeouts that shrink with the pressure): smoother, and nobody can tell what holds now.
//!
//! # Limits
//! Memory is what the caller measures, against the limit that it knows (control group or configuration).
//!
//! # Source
//! Envoy overload manager: `stop_accepting_requests`, `disable_http_keepalive`.

use crate::time::Instant;
use std::time::Duration;

/// How much the proxy does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All.
    #[default]
    Normal,
    /// Connections are closed after their answer.
    NoKeepalive,
    /// Nothing new is taken.
    RefuseNew,
}

/// What presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Memory in use.
    Memory,
    /// Lag of the event loop.
    Lag,
}

/// From where on a level holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marks {
    /// Share of the memory limit, 0.0 to 1.0: for [`Level::NoKeepalive`] and [`Level::RefuseNew`].
    pub memory: [f64; 2],
    /// Lag: for the same levels.
    pub lag: [Duration; 2],
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The level before.
    pub from: Level,
    /// The level now.
    pub to: Level,
    /// What made it rise; none when it fell.
    pub pressure: Option<Pressure>,
}

/// The state; the control thread owns it and publishes the level.
#[derive(Debug, Clone)]
pub struct Overload {
    marks: Marks,
    level: Level,
    /// The level that lag asked for at the last look.
    lagged: Level,
    calm_since: Option<Instant>,
}

/// How far below a mark pressure must be before the level falls.
const CALM: f64 = 0.9;
/// And for how long.
const CALM_TIME: Duration = Duration::from_secs(5);

// === impl Level ===

impl Level {
    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::NoKeepalive => "no_keepalive",
            Self::RefuseNew => "refuse_new",
        }
    }

    const fn below(self) -> Self {
        match self {
            Self::RefuseNew => Self::NoKeepalive,
            _ => Self::Normal,
        }
    }
}

// === impl Overload ===

impl Overload {
    /// Normal, with these marks.
    #[must_use]
    pub const fn new(marks: Marks) -> Self {
        Self {
            marks,
            level: Level::Normal,
            lagged: Level::Normal,
            calm_since: None,
        }
    }

    /// Changes the marks; the level follows at the next look.
    pub const fn reconfigure(&mut self, marks: Marks) {
        self.marks = marks;
    }

    /// The level.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Takes in what was measured: the share of memory in use (none when no limit is known) and the largest lag since the
    /// last look. About once a second or oftener.
    pub fn update(&mut self, memory: Option<f64>, lag: Duration, now: Instant) -> Option<Change> {
        let memory = memory.filter(|share| share.is_finite()).unwrap_or(0.0);
        let by_memory = self.marks.memory_level(memory, 1.0);
        let lag_now = self.marks.lag_level(lag, 1.0);
        let by_lag = lag_now.min(self.lagged);
        self.lagged = lag_now;
        let wanted = by_memory.max(by_lag);
        if wanted > self.level {
            let pressure = if by_memory == wanted {
                Pressure::Memory
            } else {
                Pressure::Lag
            };
            return self.change(wanted, Some(pressure));
        }
        let held = self
            .marks
            .memory_level(memory, CALM)
            .max(self.marks.lag_level(lag, CALM));
        if held >= self.level {
            self.calm_since = None;
            return None;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.since(since) < CALM_TIME {
            return None;
        }
        self.change(self.level.below(), None)
    }

    /// Takes in memory that was measured between two updates. Never lowers the level, and says nothing of lag.
    pub fn rise(&mut self, memory: f64) -> Option<Change> {
        let wanted = self.marks.memory_level(memory, 1.0);
        if wanted <= self.level {
            return None;
        }
        self.change(wanted, Some(Pressure::Memory))
    }

    /// The share of memory from which on the level is another one than [`Level::Normal`].
    #[must_use]
    pub const fn first_mark(&self) -> f64 {
        self.marks.memory[0]
    }

    fn change(&mut self, to: Level, pressure: Option<Pressure>) -> Option<Change> {
        let from = std::mem::replace(&mut self.level, to);
        self.calm_since = None;
        Some(Change { from, to, pressure })
    }
}

// === impl Marks ===

impl Marks {
    fn memory_level(&self, share: f64, scale: f64) -> Level {
        level(share, self.memory.map(|mark| mark * scale))
    }

    fn lag_level(&self, lag: Duration, scale: f64) -> Level {
        level(lag, self.lag.map(|mark| mark.mul_f64(scale)))
    }
}

fn level<T: PartialOrd>(value: T, [first, second]: [T; 2]) -> Level {
    if value >= second {
        Level::RefuseNew
    } else if value >= first {
        Level::NoKeepalive
    } else {
        Level::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MARKS: Marks = Marks {
        memory: [0.8, 0.95],
        lag: [Duration::from_millis(100), Duration::from_millis(500)],
    };

    fn look(overload: &mut Overload, memory: f64, lag: u64, second: u64) -> Level {
        let now = Instant::from_millis(second * 1000);
        overload.update(Some(memory), Duration::from_millis(lag), now);
        overload.level()
    }

    #[test]
    fn memory_raises_at_once_and_falls_step_by_step() {
        let mut overload = Overload::new(MARKS);
        assert_eq!(look(&mut overload, 0.96, 0, 0), Level::RefuseNew);
        assert_eq!(
            look(&mut overload, 0.9, 0, 20),
            Level::RefuseNew,
            "not a tenth below"
        );
        assert_eq!(look(&mut overload, 0.5, 0, 21), Level::RefuseNew);
        assert_eq!(look(&mut overload, 0.5, 0, 26), Level::NoKeepalive);
        assert_eq!(look(&mut overload, 0.5, 0, 27), Level::NoKeepalive);
        assert_eq!(look(&mut overload, 0.5, 0, 32), Level::Normal);
    }

    #[test]
    fn one_slow_tick_is_no_overload() {
        let mut overload = Overload::new(MARKS);
        assert_eq!(look(&mut overload, 0.0, 9000, 0), Level::Normal);
        assert_eq!(look(&mut overload, 0.0, 0, 1), Level::Normal);
        assert_eq!(look(&mut overload, 0.0, 600, 2), Level::Normal);
        assert_eq!(look(&mut overload, 0.0, 200, 3), Level::NoKeepalive);
        let now = Instant::from_millis(4000);
        assert_eq!(
            overload
                .update(Some(0.99), Duration::ZERO, now)
                .and_then(|c| c.pressure),
            Some(Pressure::Memory)
        );
    }

    #[test]
    fn between_two_looks_it_only_rises() {
        let mut overload = Overload::new(MARKS);
        assert_eq!(overload.rise(0.5), None);
        let change = overload.rise(0.96).unwrap();
        assert_eq!(change.to, Level::RefuseNew);
        assert_eq!(overload.rise(0.1), None);
        assert_eq!(overload.level(), Level::RefuseNew);
        assert_eq!(look(&mut overload, 0.1, 0, 0), Level::RefuseNew);
        assert_eq!(look(&mut overload, 0.1, 0, 5), Level::NoKeepalive);
    }

    proptest! {
        #[test]
        fn levels_fall_one_step_in_five_seconds_at_most(
            looks in proptest::collection::vec((0.0f64..1.1, 0u64..800), 1..200)
        ) {
            let mut overload = Overload::new(MARKS);
            let mut last: Option<u64> = None;
            for (second, (memory, lag)) in looks.into_iter().enumerate() {
                let before = overload.level();
                let after = look(&mut overload, memory, lag, second as u64);
                if after < before {
                    prop_assert_eq!(after, before.below());
                    prop_assert!(last.is_none_or(|at| second as u64 - at >= 5));
                }
                if after != before {
                    last = Some(second as u64);
                }
            }
        }
    }
}
