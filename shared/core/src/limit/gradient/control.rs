//! What the limit does with a window of answers.
//!
//! Plain state behind the lock of [`AdaptiveLimit`](super::AdaptiveLimit); times are in seconds as `f64`, counts too.

use super::estimate::Estimate;
use super::watch::{Seen, Watch, is_busier, is_queue};
use super::window::Window;
use super::{Phase, Rules, Snapshot};
use crate::time::Instant;
use std::time::Duration;

/// What the lower bound of a suspicious mean must exceed.
const CERTAIN: f64 = 1.4;
/// With more answers than this, a mean is taken as it is: while open, and while limited.
const ENOUGH_OPEN: f64 = 400.0;
const ENOUGH: f64 = 60.0;
/// Between these two, a limit that is used is right. Their part above 1 is for service times spread like an exponential's.
const ROOM: f64 = 1.25;
const FULL: f64 = 1.5;
/// With this share of it under way on average, the limit is what holds requests back.
const USED: f64 = 0.75;
/// A further cut, while it is not known yet whether the latency responds.
const FURTHER: f64 = 0.6;
/// Seconds after which few answers have to do.
const LONGEST_WAIT: f64 = 10.0;
/// A relative standard error that says nothing.
const VAGUE: f64 = 0.25;
/// With more answers than this of the time before a cut, for each one after it, nothing can be compared yet.
const STALE: f64 = 0.25;
/// Seconds that an unclear comparison may take.
const PATIENCE: f64 = 1.0;
/// Shares left under way after which latencies are compared: sooner where answers are many.
const CLEARLY_LESS: f64 = 0.7;
const MUCH_LESS: f64 = 0.5;
/// The limit during a probe, and the answers that a probe needs.
const PROBE_SHARE: f64 = 0.6;
const PROBE_COUNT: f64 = 30.0;
const PROBE_ENOUGH: f64 = 200.0;
/// How long it is known that the latency follows the limit.
const PROVEN_FOR: Duration = Duration::from_secs(10);
/// Time between probes.
const PROBE_EVERY: f64 = 15.0;

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
    estimate: Estimate,
    /// Answers have become slow, but not for a queue, as far as is known.
    watch: Option<Watch>,
    /// How far a cut has been looked at.
    before: Before,
    /// Limit and latency before the probe.
    resume: (f64, f64),
    growths: f64,
    /// When, in this overload, the limit last kept the answers fast: then it is a queue, also when a cut changes nothing because
    /// other replicas take what is given up.
    proven: Option<Instant>,
    probe_at: Instant,
    seed: u64,
    last: Option<f64>,
}

// === impl Control ===

impl Control {
    pub(super) fn new(rules: Rules, seed: u64) -> Self {
        let mut control = Self {
            rules,
            phase: Phase::Open,
            limit: 0.0,
            estimate: Estimate::default(),
            watch: None,
            before: Before::None,
            resume: (0.0, 0.0),
            growths: 0.0,
            proven: None,
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
            baseline: self.estimate.known().map(Duration::from_secs_f64),
            latency: self.last.map(Duration::from_secs_f64),
        }
    }

    pub(super) fn on_window(&mut self, window: &Window, now: Instant) -> Next {
        // Who leaves sooner than an answer takes does so for reasons of his own.
        let is_tired = window.left_after > self.estimate.suspicious();
        let left = if is_tired { window.left } else { 0.0 };
        let is_open = self.phase == Phase::Open;
        if window.dropped + left > window.count && (is_open || window.peak > 0.5 * self.limit) {
            return self.on_drops(now);
        }
        if window.count < 1.0 {
            return if window.left > 0.0 {
                Next::Wait
            } else {
                self.on_silence(window)
            };
        }
        self.last = Some(window.mean);
        // Ten answers without a rare slow one look more certain than they are.
        let error = window
            .error
            .max((self.estimate.variance() / window.count).sqrt());
        let window = &Window { error, ..*window };
        match self.phase {
            Phase::Open => self.open(window, now),
            Phase::Limited => self.limited(window, now),
            Phase::Probing => self.probing(window, now),
        }
    }

    /// Most requests time out, or their clients leave: whatever the latency of the others, it is too much. What was usually under
    /// way did no harm.
    fn on_drops(&mut self, now: Instant) -> Next {
        if self.phase == Phase::Open && self.estimate.known().is_some() {
            self.probe_at = now + Duration::from_secs(1);
            self.set(with_room(self.estimate.level()).min(self.limit));
        } else {
            self.set(self.limit * 0.9);
        }
        self.watch = None;
        self.phase = Phase::Limited;
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
        if let Some(watch) = self.watch {
            return self.watching(watch, window, now);
        }
        if self.estimate.known().is_some() && window.mean > self.estimate.suspicious() {
            if window.mean - 2.5 * window.error <= CERTAIN * self.estimate.baseline()
                && window.count < ENOUGH_OPEN
            {
                return Next::Wait;
            }
            if is_queue(window, &self.estimate) {
                // In less than a latency, answers come as unevenly as their requests did.
                if window.age < self.estimate.baseline() {
                    return Next::Wait;
                }
                return self.overloaded(window, now);
            }
            self.watch = Some(Watch::new(now));
            self.make_room(window);
            return Next::Window;
        }
        self.estimate.learn(window);
        self.reopen();
        Next::Window
    }

    /// Slow answers that no queue explains.
    fn watching(&mut self, watch: Watch, window: &Window, now: Instant) -> Next {
        if is_busier(window, &self.estimate) {
            return self.overloaded(window, now);
        }
        self.make_room(window);
        let (seen, watch) = watch.look(window, &self.estimate, now);
        self.watch = watch;
        match seen {
            Seen::Little => Next::Wait,
            Seen::Enough => Next::Window,
            Seen::Queue => self.overloaded(window, now),
            Seen::Normal => {
                self.estimate.learn(window);
                self.reopen();
                Next::Window
            }
            Seen::Slower => {
                self.estimate.replace(window);
                self.reopen();
                Next::Window
            }
        }
    }

    /// What takes longer is longer under way.
    fn make_room(&mut self, window: &Window) {
        let longer = (window.mean / self.estimate.baseline()).max(1.0);
        self.set((self.estimate.open_limit() * longer).max(self.limit));
    }

    fn overloaded(&mut self, window: &Window, now: Instant) -> Next {
        // What was learned in a short life may contain a queue already.
        self.probe_at = now + Duration::from_secs(1);
        self.watch = None;
        self.cut(window, Before::Growing)
    }

    fn limited(&mut self, window: &Window, now: Instant) -> Next {
        if window.stale > STALE * window.count {
            // The queue of the time before is still running out, and the first to pass it were the lucky ones.
            return Next::Window;
        }
        if self.estimate.known().is_none() {
            self.estimate.learn(window);
        }
        let is_vague = window.error > VAGUE * window.mean && window.count < ENOUGH;
        if is_vague && window.age < LONGEST_WAIT {
            return Next::Wait;
        }
        let ratio = window.mean / self.estimate.baseline();
        let under_way = window.count / window.age.max(1e-3) * window.mean;
        // Above the limit, what was under way before a cut is still running out.
        let is_used = under_way >= USED * self.limit || window.peak > self.limit.round() + 1.0;
        if ratio > self.stretched(FULL) {
            return self.on_full(window, is_used, now);
        }
        let room = self.room();
        if ratio < room {
            self.proven = Some(now);
        }
        self.before = Before::None;
        if !is_used {
            self.estimate.learn(window);
            return self.grow(is_used);
        }
        if now >= self.probe_at {
            return self.probe(window);
        }
        if ratio > room {
            self.growths = 0.0;
            return Next::Window;
        }
        if window.mean + window.error > room * self.estimate.baseline() && window.count < ENOUGH {
            return Next::Wait;
        }
        self.grow(is_used)
    }

    /// A queue, or a pool that has become slower.
    fn on_full(&mut self, window: &Window, is_used: bool, now: Instant) -> Next {
        if window.mean - 2.0 * window.error < self.room() * self.estimate.baseline() {
            if !is_used {
                return self.grow(is_used);
            }
            if window.count < ENOUGH {
                return Next::Wait;
            }
        }
        let proven = self.proven.is_some_and(|at| now.since(at) < PROVEN_FOR);
        if self.limit <= f64::from(self.rules.min) {
            return if proven {
                Next::Window
            } else {
                self.accept(window, now)
            };
        }
        if window.error > 0.1 * window.mean && window.age < 0.5 * PATIENCE {
            return Next::Wait;
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
        let gap = (window.mean - expected) / window.error.hypot(before.error).max(1e-9);
        if !proven && (share <= CLEARLY_LESS && gap > 5.0 || share <= MUCH_LESS && gap > 3.0) {
            return self.accept(window, now);
        }
        // It does not look like a queue: waiting for more answers costs less than a further cut.
        if share <= CLEARLY_LESS && gap > 0.0 && window.age < PATIENCE {
            return Next::Wait;
        }
        self.cut(window, self.before)
    }

    fn probing(&mut self, window: &Window, now: Instant) -> Next {
        let is_exact = window.count >= PROBE_COUNT && window.error < 0.1 * window.mean;
        if !is_exact && window.count < PROBE_ENOUGH && window.age < 20.0 * window.mean.max(0.05) {
            return Next::Wait;
        }
        let is_lower = self.estimate.probe(window);
        let (limit, latency) = self.resume;
        let busy = limit * (self.estimate.baseline() / latency).min(1.0);
        self.phase = Phase::Limited;
        self.set(if is_lower { with_room(busy) } else { limit });
        self.probe_at = now + self.pause(is_lower);
        self.settle(false)
    }

    /// Lowers the limit to what the pool works on, and by half at most unless a queue was seen before anything was cut.
    fn cut(&mut self, window: &Window, before: Before) -> Next {
        let busy = with_room(window.count / window.age.max(1e-3) * self.estimate.baseline());
        let used = self.used(window);
        let limit = match self.before {
            Before::None if self.phase == Phase::Open => busy,
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

    /// Times the latency without a queue, up to which more may be under way.
    fn room(&self) -> f64 {
        self.stretched(ROOM)
    }

    fn stretched(&self, ratio: f64) -> f64 {
        1.0 + (ratio - 1.0) * self.estimate.unevenness(self.limit)
    }

    fn used(&self, window: &Window) -> f64 {
        self.limit.min(window.peak.max(1.0))
    }

    /// Fewer requests under way did not make the answers faster: this is how fast the pool is now. Twice as
    /// many may be under way, and a probe soon tells whether that was true.
    fn accept(&mut self, window: &Window, now: Instant) -> Next {
        self.estimate.replace(window);
        let limit = match self.before {
            // Not all at once: a queue that was taken for slowness would be back.
            Before::Settled(before) => 2.0 * before.used,
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
        let step = self.limit.sqrt().max(1.0) * self.growths;
        let step = if is_used {
            step
        } else {
            step.max(0.5 * self.limit)
        };
        let limit = self.limit + step.min(self.limit);
        if limit >= self.estimate.open_limit() {
            self.reopen();
            return Next::Window;
        }
        self.set(limit);
        self.settle(false)
    }

    fn reopen(&mut self) {
        self.phase = Phase::Open;
        self.proven = None;
        self.before = Before::None;
        self.growths = 0.0;
        self.set(self.estimate.open_limit());
    }

    /// Until a changed limit shows: the slow answers of the time before have to be out.
    fn settle(&self, clear: bool) -> Next {
        let time = if clear {
            2.0 * self.estimate.tail()
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
        let usual = PROBE_EVERY.max(40.0 * self.estimate.tail());
        Duration::from_secs_f64(
            jitter
                * if is_lower {
                    4.0 * self.estimate.baseline()
                } else {
                    usual
                },
        )
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
