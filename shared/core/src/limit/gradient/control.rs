//! What the limit does with a window of answers.
//!
//! Plain state behind the lock of [`AdaptiveLimit`](super::AdaptiveLimit); times are in seconds as `f64`, counts too.

use super::Snapshot;
use crate::time::Instant;
use std::time::Duration;

/// Latency over its baseline from which on a queue is suspected.
const SUSPECT: f64 = 2.0;
/// What the lower bound of a suspicious mean must exceed.
const CERTAIN: f64 = 1.4;
/// With more answers than this, a mean is taken as it is: while open, and while limited.
const ENOUGH_OPEN: f64 = 400.0;
const ENOUGH: f64 = 60.0;
/// Between these two, a limit that is used is right.
const ROOM: f64 = 1.25;
const FULL: f64 = 1.5;
/// With this share of it under way on average, the limit is what holds requests back.
const USED: f64 = 0.75;
/// A further cut, while it is not known yet whether the latency responds.
const FURTHER: f64 = 0.6;
/// A relative standard error that says nothing.
const VAGUE: f64 = 0.25;
/// With more answers than this of the time before a cut, for each one after it, nothing can be compared yet.
const STALE: f64 = 0.25;
/// The latency is compared once this share is left under way.
const ENOUGH_LESS: f64 = 0.7;
/// Time constant of the baseline while open.
const LEARN: f64 = 15.0;
/// The baseline doubles in no less than this: or it would follow a growing queue.
const RISE: f64 = 30.0;
/// Time constant in which a peak is forgotten.
const HOLD: f64 = 60.0;
/// The open limit: this many times the peak, and this many on top.
const OPEN_FACTOR: f64 = 2.0;
const OPEN_ROOM: f64 = 32.0;
/// The limit during a probe, and the answers that a probe needs.
const PROBE_SHARE: f64 = 0.6;
const PROBE_COUNT: f64 = 30.0;
const PROBE_ENOUGH: f64 = 200.0;
/// Time between probes.
const PROBE_EVERY: f64 = 15.0;

/// The bounds of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The limit never falls below this, from 1.
    pub min: u32,
    /// The limit never rises above this; below `min`, it is taken as `min`.
    pub max: u32,
}

/// What the limit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No queue is seen: nothing is shed, unless far more than ever comes at once.
    Open,
    /// A queue was seen: the limit follows the latency.
    Limited,
    /// The limit is lowered for a moment, to see the latency without a queue.
    Probing,
}

/// A window of answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) count: f64,
    pub(super) dropped: f64,
    /// Answers to requests that saw another limit.
    pub(super) stale: f64,
    pub(super) mean: f64,
    /// Standard error of the mean.
    pub(super) error: f64,
    pub(super) variance: f64,
    pub(super) peak: f64,
    pub(super) age: f64,
}

/// How to go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// The window goes on: it says too little.
    Wait,
    /// A new window follows.
    Window,
    /// A new window follows after a time, in which the limit takes effect. With `clear`, only requests that start
    /// from now on are looked at.
    Settle { time: Duration, clear: bool },
}

/// The latency before a cut.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// No cut is being looked at.
    None,
    /// It was growing: nothing to compare with.
    Growing,
    /// It was settled.
    Settled(Settled),
}

/// A latency with so many under way.
#[derive(Debug, Clone, Copy)]
struct Settled {
    latency: f64,
    error: f64,
    used: f64,
}

/// The state.
#[derive(Debug)]
pub(super) struct Control {
    rules: Rules,
    phase: Phase,
    limit: f64,
    baseline: f64,
    /// Answers that the baseline rests on.
    learned: f64,
    /// The highest number under way, slowly forgotten.
    held: f64,
    /// Of latencies without a queue.
    variance: f64,
    /// Seconds that the baseline was learned for.
    known: f64,
    /// How far a cut has been looked at.
    before: Before,
    /// Limit and latency before the probe.
    resume: (f64, f64),
    growths: f64,
    probe_at: Instant,
    seed: u64,
    last: Option<f64>,
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            min: 2,
            max: 10_000,
        }
    }
}

// === impl Window ===

impl Window {
    /// The peak, as far as answers bear it out: while a load rises, the number under way runs ahead of what is answered, and
    /// would open the limit for the very queue that it is to prevent.
    fn reached(&self) -> f64 {
        let busy = self.count / self.age.max(1e-3) * self.mean;
        self.peak.min(1.5 * busy + 4.0 * busy.sqrt() + 4.0)
    }
}

// === impl Phase ===

impl Phase {
    /// As in the status.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Limited => "limited",
            Self::Probing => "probing",
        }
    }
}

// === impl Control ===

impl Control {
    pub(super) fn new(rules: Rules, seed: u64) -> Self {
        let mut control = Self {
            rules,
            phase: Phase::Open,
            limit: 0.0,
            baseline: 0.0,
            learned: 0.0,
            held: 0.0,
            variance: 0.0,
            known: 0.0,
            before: Before::None,
            resume: (0.0, 0.0),
            growths: 0.0,
            probe_at: Instant::ZERO,
            seed,
            last: None,
        };
        // Nothing is known yet: a replica that starts under full load must not shed it.
        control.set(f64::from(rules.max));
        control
    }

    pub(super) fn reconfigure(&mut self, rules: Rules) {
        self.rules = rules;
        self.set(self.limit);
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.round() as u32
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            limit: self.limit(),
            phase: self.phase,
            baseline: (self.learned > 0.0).then(|| Duration::from_secs_f64(self.baseline)),
            latency: self.last.map(Duration::from_secs_f64),
        }
    }

    pub(super) fn on_window(&mut self, window: &Window, now: Instant) -> Next {
        if window.dropped > window.count && window.peak > 0.5 * self.limit {
            return self.on_drops();
        }
        if window.count < 1.0 {
            return self.on_silence(window);
        }
        self.last = Some(window.mean);
        // Ten answers without a rare slow one look more certain than they are.
        let error = window.error.max((self.variance / window.count).sqrt());
        let window = &Window { error, ..*window };
        match self.phase {
            Phase::Open => self.open(window, now),
            Phase::Limited => self.limited(window, now),
            Phase::Probing => self.probing(window, now),
        }
    }

    /// Most requests time out: whatever the latency of the others, it is too much.
    fn on_drops(&mut self) -> Next {
        self.phase = Phase::Limited;
        self.set(self.limit * 0.9);
        self.settle(true)
    }

    /// No answers for a whole window. When nothing is under way either, the overload is over.
    fn on_silence(&mut self, window: &Window) -> Next {
        if window.peak < self.limit {
            self.reopen();
        }
        Next::Window
    }

    fn open(&mut self, window: &Window, now: Instant) -> Next {
        if self.learned < 1.0 {
            self.baseline = window.mean;
        } else if window.mean > self.suspect() * self.baseline {
            if window.mean - 2.5 * window.error <= CERTAIN * self.baseline
                && window.count < ENOUGH_OPEN
            {
                return Next::Wait;
            }
            // What was learned in a short life may contain a queue already.
            self.probe_at = now + Duration::from_secs(1);
            return self.cut(window, Before::Growing);
        }
        self.learn(window);
        self.reopen();
        Next::Window
    }

    fn limited(&mut self, window: &Window, now: Instant) -> Next {
        if window.stale > STALE * window.count {
            // The queue of the time before is still running out, and the first to pass it were the lucky ones.
            return Next::Window;
        }
        if window.error > VAGUE * window.mean && window.count < ENOUGH {
            return Next::Wait;
        }
        let ratio = window.mean / self.baseline;
        let under_way = window.count / window.age.max(1e-3) * window.mean;
        // Above the limit, what was under way before a cut is still running out.
        let is_used = under_way >= USED * self.limit || window.peak > self.limit.round() + 1.0;
        if ratio > FULL {
            return self.on_full(window, is_used, now);
        }
        self.before = Before::None;
        if !is_used {
            self.learn(window);
            return self.grow(is_used);
        }
        if now >= self.probe_at {
            return self.probe(window);
        }
        if ratio > ROOM {
            self.growths = 0.0;
            return Next::Window;
        }
        if window.mean + window.error > ROOM * self.baseline && window.count < ENOUGH {
            return Next::Wait;
        }
        self.grow(is_used)
    }

    /// A queue, or a pool that has become slower.
    fn on_full(&mut self, window: &Window, is_used: bool, now: Instant) -> Next {
        if window.mean - 2.0 * window.error < ROOM * self.baseline {
            if !is_used {
                return self.grow(is_used);
            }
            if window.count < ENOUGH {
                return Next::Wait;
            }
        }
        if self.limit <= f64::from(self.rules.min) {
            return self.accept(window, now);
        }
        let used = self.used(window);
        let Before::Settled(before) = self.before else {
            let latency = window.mean;
            let settled = Settled {
                latency,
                error: window.error,
                used,
            };
            return self.cut(window, Before::Settled(settled));
        };
        let share = used / before.used;
        // A queue would have fallen by as much as the number under way.
        let expected = before.latency * (1.0 + share) / 2.0;
        if share <= ENOUGH_LESS && window.mean - 2.0 * window.error.hypot(before.error) > expected {
            return self.accept(window, now);
        }
        self.cut(window, self.before)
    }

    fn probing(&mut self, window: &Window, now: Instant) -> Next {
        let is_exact = window.count >= PROBE_COUNT && window.error < 0.1 * window.mean;
        if !is_exact && window.count < PROBE_ENOUGH && window.age < 20.0 * window.mean.max(0.05) {
            return Next::Wait;
        }
        let old = self.baseline;
        // A queue only ever adds: what is lower for certain is believed sooner.
        let is_certain = window.mean + 2.0 * window.error < old;
        let trust = if is_certain { 10.0 } else { 60.0 };
        self.baseline += (window.mean - old) * window.count / (window.count + trust);
        let (limit, latency) = self.resume;
        let is_lower = is_certain && self.baseline < 0.9 * old;
        let busy = limit * (self.baseline / latency).min(1.0);
        self.phase = Phase::Limited;
        self.set(if is_lower { with_room(busy) } else { limit });
        self.probe_at = now + self.pause(is_lower);
        self.settle(false)
    }

    /// Lowers the limit to what the pool works on, by half at most.
    fn cut(&mut self, window: &Window, before: Before) -> Next {
        let busy = with_room(window.count / window.age.max(1e-3) * self.baseline);
        let used = self.used(window);
        let limit = match self.before {
            // The latency grew until now, so this is only about to take effect.
            Before::None => busy.max(0.5 * used),
            _ if busy < 0.9 * used => busy.max(FURTHER * used),
            _ => FURTHER * used,
        };
        self.phase = Phase::Limited;
        self.before = before;
        self.growths = 0.0;
        self.set(limit.min(self.limit - 1.0));
        self.settle(true)
    }

    fn used(&self, window: &Window) -> f64 {
        self.limit.min(window.peak.max(1.0))
    }

    /// Fewer requests under way did not make the answers faster: this is how fast the pool is now. What was under
    /// way before may be so again, and a probe soon tells whether that was true.
    fn accept(&mut self, window: &Window, now: Instant) -> Next {
        self.baseline = window.mean;
        let limit = match self.before {
            Before::Settled(before) => before.used,
            _ => 2.0 * self.limit,
        };
        self.before = Before::None;
        self.probe_at = now + Duration::from_secs(1);
        self.set(limit);
        self.settle(false)
    }

    fn probe(&mut self, window: &Window) -> Next {
        self.resume = (self.limit, window.mean);
        self.phase = Phase::Probing;
        self.set(self.limit * PROBE_SHARE);
        self.settle(true)
    }

    fn grow(&mut self, is_used: bool) -> Next {
        self.growths += 1.0;
        let step = self.limit.sqrt().max(1.0) * (0.5 + 0.5 * self.growths);
        let step = if is_used {
            step
        } else {
            step.max(0.5 * self.limit)
        };
        let limit = self.limit + step.min(self.limit);
        if limit >= self.open_limit() {
            self.reopen();
            return Next::Window;
        }
        self.set(limit);
        self.settle(false)
    }

    /// At first, only what takes little time has been answered: the slow part comes later.
    fn suspect(&self) -> f64 {
        let time = 1.0 + 4.0 * self.tail();
        SUSPECT * (1.0 + 3.0 * (-self.known / time).exp())
    }

    /// A long latency without a queue.
    fn tail(&self) -> f64 {
        self.baseline + 4.0 * self.variance.sqrt()
    }

    fn reopen(&mut self) {
        self.phase = Phase::Open;
        self.before = Before::None;
        self.growths = 0.0;
        self.set(self.open_limit());
    }

    fn open_limit(&self) -> f64 {
        OPEN_FACTOR * self.held + OPEN_ROOM
    }

    /// Moves the baseline towards the window: over 15 s, faster while little is known.
    fn learn(&mut self, window: &Window) {
        self.learned = (self.learned + window.count).min(1e9);
        self.known += window.age;
        if window.mean < FULL * self.baseline {
            let is_young = self.known <= 1.0 + 4.0 * self.tail();
            let peak = if is_young {
                window.peak
            } else {
                window.reached()
            };
            self.held = peak.max(self.held * (-window.age / HOLD).exp());
        }
        let share = (1.0 - (-window.age / LEARN).exp()).max(window.count / self.learned);
        let fastest = if self.known > 1.0 {
            self.baseline * window.age / RISE
        } else {
            f64::INFINITY
        };
        self.baseline += ((window.mean - self.baseline) * share).min(fastest);
        self.variance += (window.variance - self.variance) * share;
    }

    /// Until a changed limit shows: the slow answers of the time before have to be out.
    fn settle(&self, clear: bool) -> Next {
        let time = if clear {
            2.0 * self.tail()
        } else {
            2.0 * self.last.unwrap_or(0.0)
        };
        Next::Settle {
            time: Duration::from_secs_f64(time.min(10.0)),
            clear,
        }
    }

    /// Until the next probe, within a quarter; soon, when the last one found the baseline too high.
    fn pause(&mut self, is_lower: bool) -> Duration {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let jitter = 0.75 + 0.5 * (self.seed >> 40) as f64 / (1u64 << 24) as f64;
        let usual = PROBE_EVERY.max(40.0 * self.tail());
        Duration::from_secs_f64(jitter * if is_lower { 4.0 * self.baseline } else { usual })
    }

    fn set(&mut self, limit: f64) {
        let min = f64::from(self.rules.min.max(1));
        self.limit = limit.clamp(min, f64::from(self.rules.max).max(min));
    }
}

/// What is worked on, and enough beyond it for uneven arrivals.
fn with_room(busy: f64) -> f64 {
    busy + busy.sqrt().max(1.0)
}
