//! Hold-down: how long a region that keeps going out has to stay out.

use super::Rules;
use crate::time::Instant;
use std::time::Duration;

/// Going out this often …
const FLIPS: usize = 3;
/// … within this is flapping; in service for this long ends it.
const SPAN: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flaps {
    /// The last times that it went out, newest first.
    left: [Option<Instant>; FLIPS],
    /// Hold-downs so far in this series.
    level: u32,
    held_until: Option<Instant>,
    serving_since: Option<Instant>,
}

// === impl Flaps ===

impl Flaps {
    pub(super) fn leave(&mut self, rules: &Rules, now: Instant) {
        self.left.rotate_right(1);
        if let Some(newest) = self.left.first_mut() {
            *newest = Some(now);
        }
        self.serving_since = None;
        // Within a series each exit is one too many: the hold-down itself may be longer than the span.
        if self.level > 0 || self.recent(now) >= FLIPS {
            let doubled = 2u32.saturating_pow(self.level.min(16));
            let length = rules.hold_down.saturating_mul(doubled);
            self.level = self.level.saturating_add(1);
            self.held_until = Some(now + length.min(rules.hold_down_max));
        }
    }

    pub(super) fn enter(&mut self, now: Instant) {
        self.serving_since = Some(now);
    }

    /// It is in service now; long enough of that ends the series.
    pub(super) fn serve(&mut self, now: Instant) {
        let since = *self.serving_since.get_or_insert(now);
        if now.since(since) >= SPAN {
            self.level = 0;
        }
    }

    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|until| now < *until)
    }

    pub(super) fn recent(&self, now: Instant) -> usize {
        let recent = |left: &&Instant| now.since(**left) < SPAN;
        self.left.iter().flatten().filter(recent).count()
    }
}
