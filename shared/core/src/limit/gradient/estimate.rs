//! What is known of a pool without a queue.

use super::window::Window;

/// Time constant of the baseline while open.
const LEARN: f64 = 15.0;
/// The baseline doubles in no less than this: or it would follow a growing queue.
const RISE: f64 = 30.0;
/// Time constant in which a peak is forgotten.
const HOLD: f64 = 60.0;
/// The open limit: this many times the peak, and this many on top. That is the queue which a sudden overload builds before it is
/// seen, and the jump which a load may make: the next one follows as soon as the answers to this one are back.
const OPEN_FACTOR: f64 = 2.5;
const OPEN_ROOM: f64 = 8.0;
/// Time constant of the level: as fast as a load may usually change.
const LEVEL: f64 = 3.0;
/// Above this latency over its baseline, the number under way may hold a queue.
const CALM: f64 = 1.25;
/// Latency over its baseline from which on a queue is suspected.
const SUSPECT: f64 = 1.7;
/// Above this latency over its baseline, a peak says more of the queue than of the demand.
const QUEUED: f64 = 1.25;
/// A probe that finds a higher latency may have met the others' queue: it raises the baseline by this share at most.
const PROBE_RISE: f64 = 0.02;
/// A baseline below this is taken as this: on a busy machine, a millisecond comes and goes.
const FLOOR: f64 = 0.005;
/// Added for a pool, divided by its limit.
const SMALL: f64 = 2.0;

/// Averages over windows without a queue; times in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimate {
    mean: f64,
    variance: f64,
    /// Answers that it rests on.
    answers: f64,
    /// Seconds that it was learned for.
    seconds: f64,
    /// The highest number under way, slowly forgotten.
    peak: f64,
    /// The number under way that requests met.
    level: f64,
}

// === impl Estimate ===

impl Estimate {
    /// The mean latency, for comparisons.
    pub(super) fn baseline(&self) -> f64 {
        self.mean.max(FLOOR)
    }

    /// The mean latency as it is; none before the first answer.
    pub(super) fn known(&self) -> Option<f64> {
        (self.answers > 0.0).then_some(self.mean)
    }

    /// Variance of a single latency.
    pub(super) const fn variance(&self) -> f64 {
        self.variance
    }

    /// Moves towards the window: over 15 s, faster while little is known.
    pub(super) fn learn(&mut self, window: &Window) {
        if self.answers < 1.0 {
            self.mean = window.mean;
        }
        self.answers = (self.answers + window.count).min(1e9);
        self.seconds += window.age;
        if window.mean < QUEUED * self.baseline() {
            let is_young = self.seconds <= 1.0 + 4.0 * self.tail();
            let peak = if is_young {
                window.peak
            } else {
                window.reached()
            };
            self.peak = peak.max(self.peak * (-window.age / HOLD).exp());
        }
        if window.mean < CALM * self.baseline() {
            let share = (1.0 - (-window.age / LEVEL).exp()).max(window.count / self.answers);
            self.level += (window.met - self.level) * share;
        }
        let share = (1.0 - (-window.age / LEARN).exp()).max(window.count / self.answers);
        let fastest = if self.seconds > 1.0 {
            self.baseline() * window.age / RISE
        } else {
            f64::INFINITY
        };
        self.mean += ((window.mean - self.mean) * share).min(fastest);
        self.variance += (window.variance - self.variance) * share;
    }

    /// Takes the mean of a probe; true when it was clearly lower.
    pub(super) fn probe(&mut self, window: &Window) -> bool {
        let old = self.mean;
        // A queue only ever adds: what is lower for certain is believed sooner.
        let is_certain = window.mean + 2.0 * window.error < old;
        let trust = if is_certain { 10.0 } else { 60.0 };
        let step = (window.mean - old) * window.count / (window.count + trust);
        self.mean += step.min(PROBE_RISE * old);
        is_certain && self.mean < 0.9 * old
    }

    /// Takes the window's mean for the new normal.
    pub(super) const fn replace(&mut self, window: &Window) {
        self.mean = window.mean;
        self.variance = window.variance;
        self.level = window.met;
        self.peak = self.peak.max(window.peak);
    }

    /// The number under way that requests usually met.
    pub(super) const fn level(&self) -> f64 {
        self.level.max(1.0)
    }

    /// The latency from which on a queue is suspected. At first, only what takes little time has been answered,
    /// and the slow part comes later.
    pub(super) fn suspicious(&self) -> f64 {
        let time = 1.0 + 4.0 * self.tail();
        SUSPECT * (1.0 + 3.0 * (-self.seconds / time).exp()) * self.baseline()
    }

    /// A long latency without a queue.
    pub(super) fn tail(&self) -> f64 {
        self.mean + 4.0 * self.variance.sqrt()
    }

    /// How long a wait is for the same load, as a share of what it is where service times are exponential: half where all take
    /// equally long (Pollaczek and Khinchine). A small pool needs a longer one to be busy.
    pub(super) fn unevenness(&self, limit: f64) -> f64 {
        let relative = self.variance / (self.mean * self.mean).max(1e-12);
        (0.5 + 0.5 * relative + SMALL / limit).min(1.0)
    }

    /// The limit while no queue is seen.
    pub(super) fn open_limit(&self) -> f64 {
        OPEN_FACTOR * self.peak + OPEN_ROOM
    }
}
