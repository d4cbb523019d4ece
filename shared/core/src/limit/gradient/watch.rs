//! Slow answers: a queue, or slowness of another cause?
//!
//! # Problem
//! Both double the latency. Under a queue less work has to be let in; where a database behind the pool has become slow, refusing
//! requests makes nothing faster, and only loses them.
//!
//! # Choice
//! Two marks tell them apart before anything is refused:
//! - **What a slow request met.** A queue makes a request slow because many were under way when it came: requests that take
//!   twice as long met at least twice as many as usual. When the first slow answers had met about as many as ever, no queue
//!   made them slow.
//! - **Whether the number under way goes on growing** once the slowness has settled. In an overload more come than are answered,
//!   for as long as it lasts; of slow work only the first stretch of requests piles up. Clients who lose their patience keep
//!   the number down, so those who leave after a wait count as if they were still there.
//!
//! A third mark holds whenever it is seen ([`is_busier`]): more is met than the latency explains.
//!
//! # Limits
//! A pool that was almost full before an overload shows the first mark late, and is cut by the second one, some latencies later.
//! Clients that wait for an answer before they ask again (a closed loop) never grow in number: their queue becomes the
//! new normal, and the next lasting overload is limited from there, and probed.

use super::estimate::Estimate;
use super::window::Window;
use crate::time::Instant;
use std::time::Duration;

/// Latency may exceed what the requests met, both as multiples of the usual, by this factor, and still be a queue.
const EXCESS: f64 = 1.25;
/// More than this is met than latency explains, whenever that is seen: more is answered than usual.
const BUSIER: f64 = 1.5;
/// Growth counts above this many standard deviations of a number under way that comes and goes by chance, ...
const CLEAR: f64 = 2.5;
/// ... and above this share of the arrivals.
const LEAST: f64 = 0.05;
/// Slowness has settled after so many mean latencies, and after a long one: so many standard deviations above the mean.
const SETTLE: f64 = 3.0;
const TAIL: f64 = 3.0;
/// Mean latencies over which growth is then looked for.
const LOOK: f64 = 2.0;
/// Seconds that the look takes at least, and answers that it needs unless it lasts.
const LOOK_LEAST: f64 = 0.25;
const ANSWERS: f64 = 20.0;
const LOOK_MOST: f64 = 5.0;

/// Slowness that is being looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    since: Instant,
    /// It has settled, and the window began after that.
    settled: bool,
}

/// What a window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Too little.
    Little,
    /// A stretch is over, the next window begins.
    Enough,
    /// More come than are answered.
    Queue,
    /// It is not slow any more.
    Normal,
    /// As many are answered as come: this is how fast the pool is now.
    Slower,
}

/// Whether what slow requests met explains how slow they were.
pub(super) fn is_queue(window: &Window, estimate: &Estimate) -> bool {
    let slower = window.mean / estimate.baseline();
    let fuller = window.met / estimate.level();
    fuller >= EXCESS * slower
}

/// Whether the pool clearly answers more than usual while it is slow. By Little's law what is under way is throughput × latency: where it
/// grew by more than latency did, so did the throughput, and slowness alone would not do that. Another replica that has cut its
/// share meanwhile keeps the number from growing, but not from being large.
pub(super) fn is_busier(window: &Window, estimate: &Estimate) -> bool {
    let slower = (window.mean + CLEAR * window.error) / estimate.baseline();
    let is_enough = window.age >= estimate.baseline() && window.count >= ANSWERS;
    is_enough && window.met >= BUSIER * slower * estimate.level()
}

/// Whether the number under way has grown in the window by more than chance, or would have if nobody had left or timed out
/// who had waited for as long as the others for their answers.
fn is_growing(window: &Window) -> bool {
    let is_tired = window.left_after >= window.mean;
    let left = if is_tired { window.left } else { 0.0 };
    let growth = window.last - window.first + left + window.dropped;
    growth > CLEAR * (window.first + window.last).sqrt() && growth > LEAST * (window.count + growth)
}

// === impl Watch ===

impl Watch {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            settled: false,
        }
    }

    /// Looks at a window, and tells how the watch goes on.
    pub(super) fn look(
        self,
        window: &Window,
        estimate: &Estimate,
        now: Instant,
    ) -> (Seen, Option<Self>) {
        if !self.settled {
            let tail = window.mean + TAIL * window.variance.sqrt();
            let settling = tail.max(SETTLE * window.mean).clamp(0.1, LOOK_MOST);
            let until = self.since + Duration::from_secs_f64(settling);
            if now < until {
                return (Seen::Little, Some(self));
            }
            let settled = Self {
                settled: true,
                ..self
            };
            return (Seen::Enough, Some(settled));
        }
        let long = (LOOK * window.mean).max(LOOK_LEAST);
        if (window.age < long || window.count < ANSWERS) && window.age < LOOK_MOST {
            return (Seen::Little, Some(self));
        }
        let seen = if is_growing(window) {
            Seen::Queue
        } else if window.mean < estimate.suspicious() {
            Seen::Normal
        } else {
            Seen::Slower
        };
        (seen, None)
    }
}
