//! What an endpoint's answers say about its latency, and how firmly.
//!
//! **Problem.** A peak-sensitive average believes every slow answer for tens of seconds: at 2 ms, one answer
//! of 500 ms outweighs the other endpoints for 50 s, since nobody sends the request that would prove it
//! wrong. In a large pool that costs little. One of three equal servers at a few requests per second gets
//! nothing for that time, after a single pause of its garbage collector.
//!
//! **Choice.** A peak counts at once, but as a suspicion: for [`HOLD`], after which the average of before is
//! in force again and the endpoint gets its next request. If a request that began after the peak was seen,
//! and within [`MEMORY`] of it, is slow as well, then the peak is believed and enters the average, which
//! forgets it with its 10 s. So a pause costs 2 s of traffic whatever its height, and an endpoint that
//! turned slow gets one round of requests more than it would otherwise. Requests that were under way
//! together are one event, however many there are: they prove nothing about each other. The first answer
//! is compared with the guess of 30 ms in the same way, as connections and caches may have been cold.
//!
//! **What counts as a peak** is what the choice would notice: above [`is_apart`] from the average.
//!
//! **Rejected.** A shorter decay for all: an endpoint that is really slow would be tried as much more
//! often. A shorter decay while idle, towards zero: it undershoots, and makes a frozen endpoint look fast. Comparing
//! with the pool's typical latency: a shared word that every answer writes. Clearing the suspicion at the next good
//! answer: those that were under way already would clear it at once, and what stalls once tends to stall again.
//!
//! **Representation.** The suspicion is one word beside the average's: the peak (`f32` nanoseconds, 0 for
//! none) and the time at which it was first seen, in ticks of 2^24 ns (16.8 ms). Each word is consistent in
//! itself; when two threads see a peak in the same instant, one of them may be lost.
//!
//! **Limits.** An endpoint that gets less than one request per 10 s is never found slow for longer than
//! [`HOLD`]. Stamps wrap after 2.3 years.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ewma::{Estimate, PeakEwma};
use crate::time::Instant;

/// How long one peak counts that nothing confirms.
const HOLD: Duration = Duration::from_secs(2);
/// A slow answer confirms a peak when its request began within this time after it.
const MEMORY: Duration = Duration::from_secs(10);
/// Latencies within this ratio plus [`NOISE_NANOS`] are called equal.
const NOISE_RATIO: f32 = 1.25;
/// See [`NOISE_RATIO`]: 1 ms.
const NOISE_NANOS: f32 = 1e6;
/// A stamp counts units of two to this power nanoseconds.
const TICK_BITS: u32 = 24;

/// An average, and what is held against the endpoint beside it.
#[derive(Debug)]
pub(super) struct Latency {
    average: PeakEwma,
    suspicion: AtomicU64,
}

/// A peak that is not believed yet, unpacked.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Suspicion {
    /// 0: there is none.
    nanos: f32,
    tick: u32,
}

// === impl Latency ===

impl Latency {
    /// Without observations.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            average: PeakEwma::new(now),
            suspicion: AtomicU64::new(0),
        }
    }

    /// Takes in the latency of a request that ended `now`.
    pub(super) fn observe(&self, latency: Duration, now: Instant) {
        let sample = latency.as_secs_f32() * 1e9;
        if !is_apart(self.average.undecayed(), sample) {
            self.average.observe(latency, now);
            return;
        }
        let seen = self.suspicion.load(Ordering::Relaxed);
        let known = Suspicion::unpack(seen);
        let began = Instant::from_nanos(now.as_nanos().saturating_sub(nanos(latency)));
        let next = match known.filter(|known| known.age(began) <= ticks(MEMORY)) {
            // It was under way when the peak was seen: the same event.
            Some(known) if known.age(began) <= 0 => Suspicion {
                nanos: known.nanos.max(sample),
                ..known
            }
            .pack(),
            Some(_) => {
                self.average.observe(latency, now);
                0
            }
            None => Suspicion::new(sample, now).pack(),
        };
        // Another thread's verdict of this instant is as good.
        let _ = self
            .suspicion
            .compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Stops the decay up to `now` without an observation.
    pub(super) fn hold(&self, now: Instant) {
        self.average.hold(now);
    }

    /// The latency to expect now. At least 1 ns.
    pub(super) fn read(&self, now: Instant) -> Estimate {
        let average = self.average.read(now);
        let word = self.suspicion.load(Ordering::Relaxed);
        let held = Suspicion::unpack(word).filter(|known| known.age(now) <= ticks(HOLD));
        match held {
            Some(peak) if peak.nanos > average.nanos() => Estimate::Measured(peak.nanos),
            _ => average,
        }
    }
}

// === impl Suspicion ===

impl Suspicion {
    fn new(nanos: f32, now: Instant) -> Self {
        let tick = tick(now);
        Self { nanos, tick }
    }

    /// Ticks from the stamp to `at`; negative when `at` is before it.
    fn age(self, at: Instant) -> i32 {
        tick(at).wrapping_sub(self.tick).cast_signed()
    }

    fn pack(self) -> u64 {
        u64::from(self.nanos.to_bits()) << 32 | u64::from(self.tick)
    }

    fn unpack(word: u64) -> Option<Self> {
        let nanos = f32::from_bits((word >> 32) as u32);
        let tick = word as u32;
        (nanos > 0.0).then_some(Self { nanos, tick })
    }
}

/// Whether `high` is above `low` by more than noise.
pub(super) fn is_apart(low: f32, high: f32) -> bool {
    high > low * NOISE_RATIO + NOISE_NANOS
}

/// The tick of a time, wrapping.
fn tick(at: Instant) -> u32 {
    (at.as_nanos() >> TICK_BITS) as u32
}

const fn ticks(time: Duration) -> i32 {
    (time.as_nanos() >> TICK_BITS) as i32
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
