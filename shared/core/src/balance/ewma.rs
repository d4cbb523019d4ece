//! Peak-sensitive moving average of one endpoint's latency.
//!
//! **Problem.** The choice between two endpoints needs to see a slow-down with the first slow
//! answer, and to forget it slowly, because an endpoint that stalls once tends to stall again.
//!
//! **Choice.** Peak-EWMA as in Finagle and linkerd: an observation above the average replaces it,
//! one below pulls it down with weight `1 - exp(-dt / 10 s)`, where `dt` is the time since the last
//! one. Weighing by time instead of by count makes the average independent of the request rate. A
//! reading decays towards zero while nothing is observed, so that an endpoint that was slow is
//! tried again: without that it would never get the request that proves its recovery. 10 s is
//! linkerd's constant: a peak of 10 times is forgotten in 23 s. Which peaks enter is decided in
//! [`super::latency`].
//!
//! **Before the first answer** the average is a guess of 30 ms (linkerd's default), and marked as
//! one: the first observation that enters replaces it whole, and the choice does not compare guesses with
//! measurements (see [`super::p2c`]). Otherwise, in a pool that answers in 1 ms, the first endpoint
//! to answer would take all traffic while the others wait for their guess to decay.
//!
//! **Representation.** Average (`f32` nanoseconds; the sign bit marks a guess) and time stamp share
//! one 64-bit word, so that neither is ever seen with the other's old value and no lock is needed.
//! The stamp counts ticks of 2^20 ns (1.05 ms). Within one tick peaks are taken at once, while of
//! the lower observations only the first enters: a sample, as unbiased as the requests are.
//!
//! **Limit.** Stamps wrap after 52 days; an endpoint idle for 26 to 52 days is read undecayed once.
//!
//! Sources: Finagle `PeakEwma.scala`, linkerd2-proxy `linkerd/ewma`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;

/// The guess before the first answer, in nanoseconds.
const GUESS_NANOS: f32 = 30e6;
/// After this time without observation a reading has fallen to 1/e.
const DECAY: Duration = Duration::from_secs(10);
/// A stamp counts units of two to this power nanoseconds.
const TICK_BITS: u32 = 20;
/// No reading is below this, so that it can be multiplied and compared: 1 ns.
const FLOOR_NANOS: f32 = 1.0;

/// A shared, lock-free peak-EWMA.
#[derive(Debug)]
pub(super) struct PeakEwma(AtomicU64);

/// A reading, decayed to the time of the question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Estimate {
    /// No answer yet: the decayed default, in nanoseconds.
    Guessed(f32),
    /// From observations, in nanoseconds.
    Measured(f32),
}

/// The unpacked word.
#[derive(Debug, Clone, Copy)]
struct State {
    nanos: f32,
    measured: bool,
    tick: u32,
}

// === impl PeakEwma ===

impl PeakEwma {
    /// An average without observations, guessed at 30 ms.
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            nanos: GUESS_NANOS,
            measured: false,
            tick: tick(now),
        };
        Self(AtomicU64::new(state.pack()))
    }

    /// Takes in one observation.
    pub(super) fn observe(&self, latency: Duration, now: Instant) {
        let sample = (latency.as_secs_f32() * 1e9).max(FLOOR_NANOS);
        self.update(|state| state.after(sample, tick(now)));
    }

    /// Stops the decay up to `now` without an observation: a failed request is no evidence that the
    /// endpoint became faster.
    pub(super) fn hold(&self, now: Instant) {
        self.update(|state| State {
            tick: state.tick.wrapping_add(state.age(tick(now))),
            ..state
        });
    }

    /// The average decayed to `now`. At least 1 ns.
    pub(super) fn read(&self, now: Instant) -> Estimate {
        let state = State::unpack(self.0.load(Ordering::Relaxed));
        let nanos = (state.nanos * remainder(state.age(tick(now)))).max(FLOOR_NANOS);
        if state.measured {
            Estimate::Measured(nanos)
        } else {
            Estimate::Guessed(nanos)
        }
    }

    /// The average at its last observation, or the guess of 30 ms, in nanoseconds.
    pub(super) fn undecayed(&self) -> f32 {
        State::unpack(self.0.load(Ordering::Relaxed)).nanos
    }

    fn update(&self, change: impl Fn(State) -> State) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = change(State::unpack(seen)).pack();
            if next == seen {
                return;
            }
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(newer) => seen = newer,
            }
        }
    }
}

// === impl Estimate ===

impl Estimate {
    /// Nanoseconds, guessed or measured.
    pub(super) fn nanos(self) -> f32 {
        match self {
            Self::Guessed(nanos) | Self::Measured(nanos) => nanos,
        }
    }
}

// === impl State ===

impl State {
    fn after(self, sample: f32, tick: u32) -> Self {
        let age = self.age(tick);
        let nanos = if !self.measured || sample >= self.nanos {
            sample
        } else {
            sample + (self.nanos - sample) * remainder(age)
        };
        Self {
            nanos,
            measured: true,
            tick: self.tick.wrapping_add(age),
        }
    }

    /// Ticks from the stamp to `tick`; zero when another thread has stamped a later one already.
    fn age(self, tick: u32) -> u32 {
        let age = tick.wrapping_sub(self.tick);
        if age > u32::MAX / 2 { 0 } else { age }
    }

    fn pack(self) -> u64 {
        let nanos = if self.measured {
            self.nanos
        } else {
            -self.nanos
        };
        u64::from(nanos.to_bits()) << 32 | u64::from(self.tick)
    }

    fn unpack(word: u64) -> Self {
        let nanos = f32::from_bits((word >> 32) as u32);
        Self {
            nanos: nanos.abs(),
            measured: nanos.is_sign_positive(),
            tick: word as u32,
        }
    }
}

/// The tick of a time, wrapping.
fn tick(now: Instant) -> u32 {
    (now.as_nanos() >> TICK_BITS) as u32
}

/// The share of an average that is left after `age` ticks.
fn remainder(age: u32) -> f32 {
    const TICKS: f32 = DECAY.as_nanos() as f32 / (1_u64 << TICK_BITS) as f32;
    if age == 0 {
        1.0
    } else {
        (-(age as f32) / TICKS).exp()
    }
}
