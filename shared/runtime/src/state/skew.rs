//! Whether this replica's clock can be believed.
//!
//! # Problem
//! Orders end by the wall clock, and what ended a day ago is forgotten, in the file and the store too. A replica that starts with a
//! wrong clock (a dead battery, a restored snapshot) would do away with orders that are in force, for good, before the clock is set.
//!
//! # Choice
//! What a clock decides for the moment stays with it, and is shown; what can't be undone waits. A replica whose clock differs from that
//! of a peer or of etcd by more than [`MOST_AHEAD`], to either side, says so, and forgets nothing: it can't know which of both is
//! right. Neither does one that finds at its start that the clock has jumped since its file was written, unless somebody else's clock agrees,
//! or [`PROBATION`] of uptime are over. All that is forgotten later than need be is a few hundred bytes.
//!
//! Peers and etcd tell the time with each answer (`Date`, in whole seconds).
//!
//! # Rejected
//! *Correcting one's own clock by the majority's*: then two things set the time. *Refusing orders*: a drain is needed now.
//!
//! # Limits
//! A Kubernetes is not asked for its time; replicas that share orders through one alone, without `peers`, don't notice. A replica whose clock is
//! wrong still takes its own orders to have ended early or late: the fault says so, people have to set the clock.

use super::Orders;
use crate::clock;
use lb_core::drain::{FORGET_MS, MOST_AHEAD};
use lb_core::time::Instant;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A clock that nobody has confirmed is believed after this: whatever sets it at the start has done so.
const PROBATION: Duration = Duration::from_secs(3600);

/// What speaks for and against the clock.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// How far the clock has jumped since the file was written, in milliseconds, and when that was found; none: it has not, or is confirmed.
    jump: Mutex<Option<(i64, Instant)>>,
}

/// How far `theirs` is ahead of `ours`, in milliseconds.
pub(super) fn ahead(theirs: u64, ours: u64) -> i64 {
    let (theirs, ours) = (i64::try_from(theirs), i64::try_from(ours));
    theirs
        .unwrap_or(i64::MAX)
        .saturating_sub(ours.unwrap_or(i64::MAX))
}

/// Whether two clocks differ by so much that one is wrong.
pub(super) const fn is_off(ahead_ms: i64) -> bool {
    ahead_ms.unsigned_abs() > MOST_AHEAD
}

/// What is wrong when the clock of `who` is that far ahead.
pub(super) fn differs(who: &str, ahead_ms: i64) -> String {
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let off = ahead_ms.unsigned_abs() / 1000;
    format!(
        "the clock of {who} is {off} s {side} this replica's: orders end at different times; set the clocks (NTP)"
    )
}

// === impl Trust ===

impl Trust {
    /// The file was last written at `alive_ms`, by the clock of then.
    pub(super) fn begin(&self, alive_ms: u64, now_ms: u64, now: Instant) {
        let jump = ahead(now_ms, alive_ms);
        let is_late = u64::try_from(jump).is_ok_and(|off| off >= FORGET_MS);
        if is_late || ahead(alive_ms, now_ms) > i64::try_from(MOST_AHEAD).unwrap_or(i64::MAX) {
            *self.jump() = Some((jump, now));
        }
    }

    fn jump(&self) -> std::sync::MutexGuard<'_, Option<(i64, Instant)>> {
        self.jump.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Orders ===

impl Orders {
    /// Whether what ended long ago may be forgotten.
    pub(super) fn may_forget(&self, now: Instant) -> bool {
        let skew = self.store.look(now).skew_ms;
        let mut jump = self.trust.jump();
        let agrees = skew.is_some_and(|ahead| !is_off(ahead));
        if jump.is_some_and(|(_, at)| agrees || now.since(at) >= PROBATION) {
            *jump = None;
        }
        jump.is_none() && !skew.is_some_and(is_off)
    }

    /// What speaks against the clock, for the status.
    pub(super) fn doubts(&self, now: Instant) -> Vec<String> {
        if self.may_forget(now) {
            return Vec::new();
        }
        let jump = *self.trust.jump();
        let jump = jump.map(|(by, _)| {
            format!(
                "this replica's clock has moved by {} s since orders were last written: what has ended is kept until another clock agrees, or for an hour",
                by / 1000
            )
        });
        jump.into_iter().collect()
    }

    /// Notes when the file was written.
    pub(super) fn doubt_since(&self, alive_ms: u64) {
        self.trust
            .begin(alive_ms, clock::unix_millis(), clock::now());
        for doubt in self.doubts(clock::now()) {
            log::warn!("state: {doubt}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumped_is_noticed_to_both_sides() {
        let jumped = |alive: u64, now: u64| {
            let trust = Trust::default();
            trust.begin(alive, now, Instant::ZERO);
            trust.jump().is_some()
        };
        let day = FORGET_MS;
        assert!(!jumped(day, day + MOST_AHEAD) && !jumped(day + MOST_AHEAD, day));
        assert!(!jumped(day, 2 * day - 1), "it was off for most of a day");
        assert!(jumped(day, 2 * day) && jumped(day + MOST_AHEAD + 1, day));
        assert!(jumped(u64::MAX, 0) && jumped(0, u64::MAX));
        assert!(is_off(-60_001) && is_off(60_001) && !is_off(-60_000));
        assert!(is_off(i64::MIN));
    }
}
