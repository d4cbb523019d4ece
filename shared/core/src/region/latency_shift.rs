//! Gray failure of a whole region: it answers, but slowly.
//!
//! # Problem
//! A region that turns five times slower fails no check, returns no error, and often is not even full. Nothing moves,
//! in Envoy and HAProxy alike, and its users wait.
//!
//! # Choice
//! Each region's latency, as this replica's requests see it, is compared with the region's *own past* (an average over
//! ten minutes), and that ratio with the same ratio of the *other* regions (their median). Being far away is no fault
//! and a slow-down that all regions share, such as an evening's load, a slow database behind all of them or a heavier mix of
//! requests, is no reason to move. From twice the others' ratio on the share falls, to a tenth at four times, by 5
//! points a second; it comes back by 2. A tenth stays, or nobody would see the recovery. The load goes to receivers by the
//! [waterfall](super::waterfall), so within their caps.
//!
//! It also must be worth while: slower by 10 ms at least, and slower now than the fastest other region is from here.
//!
//! # Rejected
//! - Regions against each other directly: a distant one would always be the slow one.
//! - A fixed limit in milliseconds: nobody keeps it right for every route.
//! - Choosing regions by latency alone (P2C over regions): users would change regions at each gust.
//!
//! # Limits
//! The average mixes routes; a shift of the mix in one region only looks like a slow-down of it. A region that is slow for
//! good is taken for normal after about an hour, or after a time of slowness in proportion to how long it was seen before. With one region there is nothing to compare with.

use crate::time::Instant;
use std::time::Duration;

/// The time constant of the past.
const PAST: Duration = Duration::from_secs(600);
/// The same while the region is slow: it must not become normal meanwhile. A short past proves less: its sixtyfold is enough.
const PAST_SLOW: Duration = Duration::from_secs(3600);
const PROOF: u32 = 60;
/// The time constant of the present.
const PRESENT: Duration = Duration::from_secs(3);
/// Time with answers before a region has a past. The first ones are slow, if anything: connections are opened for them.
const LEARNING: Duration = Duration::from_secs(3);
/// A region without an answer for this long has no present.
const SILENT: Duration = Duration::from_secs(10);
/// From this ratio on the share falls …
const SLOW: f64 = 2.0;
/// … and is smallest here.
const VERY_SLOW: f64 = 4.0;
/// The smallest share.
const LEAST: f64 = 0.10;
/// Slower by less than this is not worth a move.
const WORTH: f64 = 0.010;
/// The share falls by at most this per second …
const AWAY: f64 = 0.05;
/// … and grows by this.
const BACK: f64 = 0.02;

/// One region's latency and the share that follows from it. Belongs to its identity and survives a reload.
#[derive(Debug, Clone)]
pub struct LatencyShift {
    /// Seconds.
    present: Option<f64>,
    /// Logarithm of seconds: ratios count, and a few slow minutes weigh little.
    past: Option<f64>,
    /// Time with answers so far, but for slow ones.
    learned: Duration,
    share: f64,
    answered: Instant,
    stepped: Instant,
}

// === impl LatencyShift ===

impl LatencyShift {
    /// A region without answers yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            present: None,
            past: None,
            learned: Duration::ZERO,
            share: 1.0,
            answered: now,
            stepped: now,
        }
    }

    /// Takes in the mean latency of the answers since the last step; none when there were no answers.
    pub fn observe(&mut self, latency: Option<Duration>, now: Instant) {
        let step = now.since(self.stepped);
        self.stepped = now;
        let Some(latency) = latency.map(|latency| latency.as_secs_f64().max(1e-6)) else {
            return;
        };
        // Answers that come seldom each stand for the time since the one before.
        let stood = now.since(self.answered).max(step).min(SILENT);
        self.answered = now;
        let present = mix(self.present, latency, stood, PRESENT);
        self.present = Some(present);
        let slow = self.share < 1.0 || self.ratio().is_some_and(|ratio| ratio >= SLOW);
        let constant = if slow {
            PAST_SLOW.min(self.learned * PROOF)
        } else {
            // While there is little past, all of it counts the same.
            PAST.min(self.learned + Duration::from_secs(1))
        };
        self.past = Some(mix(self.past, present.ln(), stood, constant));
        if !slow {
            self.learned = self.learned.saturating_add(stood);
        }
    }

    /// Share of its requests that the region keeps, 0.1 to 1.
    #[must_use]
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// Latency now over the region's own past; none without enough of either.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let fresh = self.stepped.since(self.answered) < SILENT && self.learned >= LEARNING;
        Some(self.present.filter(|_| fresh)? / self.past?.exp())
    }

    fn is_worth(&self, fastest_other: f64) -> bool {
        let Some((present, past)) = self.present.zip(self.past) else {
            return false;
        };
        present - past.exp() >= WORTH && present > fastest_other
    }

    fn aim(&mut self, target: f64, step: f64) {
        let (least, most) = (self.share - AWAY * step, self.share + BACK * step);
        self.share = target.clamp(least, most).clamp(LEAST, 1.0);
    }
}

/// Sets the shares of all regions after each round of [`LatencyShift::observe`]; `step` is the time since the last call.
pub fn settle(regions: &mut [&mut LatencyShift], step: Duration) {
    let seen: Vec<(Option<f64>, Option<f64>)> =
        regions.iter().map(|r| (r.ratio(), r.present)).collect();
    for (index, region) in regions.iter_mut().enumerate() {
        let others = || {
            seen.iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .filter_map(|(_, (ratio, present))| Some(((*ratio)?, (*present)?)))
        };
        let common = median(others().map(|(ratio, _)| ratio).collect());
        let fastest = others()
            .map(|(_, present)| present)
            .fold(f64::INFINITY, f64::min);
        let target = match (region.ratio(), common) {
            (Some(own), Some(common)) if region.is_worth(fastest) => target(own / common.max(1.0)),
            _ => 1.0,
        };
        region.aim(target, step.as_secs_f64());
    }
}

fn target(ratio: f64) -> f64 {
    let slow = ((ratio - SLOW) / (VERY_SLOW - SLOW)).clamp(0.0, 1.0);
    1.0 - (1.0 - LEAST) * slow
}

/// The lower median, so that one quick region of two is enough to compare with.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn mix(before: Option<f64>, value: f64, step: Duration, constant: Duration) -> f64 {
    let Some(before) = before else { return value };
    let alpha = 1.0 - (-step.as_secs_f64() / constant.as_secs_f64().max(1e-9)).exp();
    before + (value - before) * alpha
}

#[cfg(test)]
#[path = "latency_shift_tests.rs"]
mod tests;
