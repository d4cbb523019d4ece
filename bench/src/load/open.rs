//! Open loop: requests fall due at a fixed mean rate, whatever the contender does.
//!
//! Users do not wait for each other, so a slow answer must not delay the next question. Gaps are
//! exponential (a Poisson process) from a fixed seed: the same burst pattern for every contender. A
//! wait counts from the moment a request was *due*, even when no connection was free or the
//! generator itself woke late, so nothing is hidden ("coordinated omission", G. Tene). Late sends
//! and late answers are counted on their own.
//!
//! The thread sleeps in epoll on a timer descriptor with nanosecond resolution. Rejected: epoll's
//! own timeout, which counts in milliseconds; and spinning, which would take the core away from the
//! test servers beside it.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde::Serialize;

use super::fleet::{Done, Fleet};
use super::{Latency, Target, Waits};
use crate::clock;
use crate::interrupt::Interrupt;

/// How long outstanding answers are waited for after the last request fell due.
const TAIL: Duration = Duration::from_secs(2);
/// How often the signal flag is looked at.
const CHECK: Duration = Duration::from_millis(50);
/// A request sent later than this after it fell due is a late send.
const SEND_SLACK: Duration = Duration::from_millis(1);
/// Every contender sees the gaps that this seed gives.
const SEED: u64 = 0x0073_7472_6174_6121;

/// What to offer, and what counts as late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenPlan {
    /// Mean requests per second, above 0.
    pub(crate) rate: f64,
    /// Length of the schedule.
    pub(crate) window: Duration,
    /// An answer that takes longer than this from the due time is late.
    pub(crate) late_after: Duration,
}

/// What an open loop saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct OpenResult {
    /// Requests that fell due.
    pub(crate) due: u64,
    /// Answers with a 2xx status.
    pub(crate) answers: u64,
    /// Other answers, requests lost with their connection, and those never answered.
    pub(crate) errors: u64,
    /// Requests that left more than 1 ms after they fell due: no free connection, or no free core.
    pub(crate) late_sends: u64,
    /// Answers that came after the limit.
    pub(crate) late_answers: u64,
    /// Waiting times from due to answered; `None` without any answer.
    pub(crate) latency: Option<Latency>,
}

/// A one-shot timer that epoll can wait for.
struct Timer(OwnedFd);

/// The stream of moments at which requests fall due.
struct Schedule {
    next: Instant,
    end: Instant,
    mean_gap: f64,
    random: SmallRng,
}

/// Connections that answer to a schedule.
pub(crate) struct OpenLoop {
    fleet: Fleet,
    timer: Timer,
    free: VecDeque<usize>,
    interrupt: Interrupt,
}

// === impl Timer ===

impl Timer {
    fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(
            timerfd_create(TimerfdClockId::Monotonic, flags).context("creating a timer")?,
        ))
    }

    /// Fires once in `delay`; never at zero, which would disarm it.
    fn arm(&self, delay: Duration) -> anyhow::Result<()> {
        let delay = delay.max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: delay.subsec_nanos().into(),
        };
        let it_interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = Itimerspec {
            it_interval,
            it_value,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec).context("arming a timer")?;
        Ok(())
    }
}

// === impl Schedule ===

impl Schedule {
    fn new(plan: &OpenPlan) -> Self {
        let begin = clock::now();
        let random = SmallRng::seed_from_u64(SEED);
        let mut this = Self {
            next: begin,
            end: begin + plan.window,
            mean_gap: 1.0 / plan.rate,
            random,
        };
        this.advance();
        this
    }

    /// The next due time, once it has passed; each is given out once.
    fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        (due <= now && due < self.end).then(|| {
            self.advance();
            due
        })
    }

    fn is_over(&self) -> bool {
        self.next >= self.end
    }

    fn advance(&mut self) {
        let unit: f64 = self.random.random();
        self.next += Duration::from_secs_f64(-(1.0 - unit).ln() * self.mean_gap);
    }
}

// === impl OpenLoop ===

impl OpenLoop {
    /// Opens the connections and the timer; nothing is sent yet.
    pub(crate) fn connect(
        target: Target,
        connections: usize,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let fleet = Fleet::connect(target, connections)?;
        let timer = Timer::new()?;
        let source = timer.0.as_raw_fd();
        let token = Token(fleet.len());
        fleet
            .registry()
            .register(&mut SourceFd(&source), token, Interest::READABLE)?;
        let free = (0..fleet.len()).collect();
        Ok(Self {
            fleet,
            timer,
            free,
            interrupt: interrupt.clone(),
        })
    }

    /// Offers the plan's rate over its window and waits up to 2 s for the last answers.
    pub(crate) fn run(&mut self, plan: &OpenPlan) -> anyhow::Result<OpenResult> {
        let mut schedule = Schedule::new(plan);
        let mut result = OpenResult {
            due: 0,
            answers: 0,
            errors: 0,
            late_sends: 0,
            late_answers: 0,
            latency: None,
        };
        let mut waits = Waits::new()?;
        let mut pending: VecDeque<Instant> = VecDeque::new();
        let mut done: Vec<Done> = Vec::new();
        let mut next_check = clock::now();
        loop {
            let now = clock::now();
            if now >= next_check {
                self.interrupt.check()?;
                next_check = now + CHECK;
            }
            while let Some(due) = schedule.take_due(now) {
                result.due += 1;
                pending.push_back(due);
            }
            result.late_sends += self.send(&mut pending)?;
            let finished = result.answers + result.errors;
            let ended = now.saturating_duration_since(schedule.end);
            if schedule.is_over() && (finished == result.due || ended >= TAIL) {
                break;
            }
            if !schedule.is_over() {
                self.timer
                    .arm(schedule.next.saturating_duration_since(clock::now()))?;
            }
            self.fleet.wait(CHECK, &mut done)?;
            for ended in &done {
                result.count(ended, plan, &mut waits);
                self.free.push_back(ended.slot);
            }
        }
        result.errors = result.due - result.answers;
        result.latency = waits.latency();
        Ok(result)
    }

    /// Sends what is due on free connections, longest unused first; returns the late sends.
    fn send(&mut self, pending: &mut VecDeque<Instant>) -> anyhow::Result<u64> {
        let mut late = 0;
        while let Some(due) = pending.front().copied() {
            let Some(slot) = self.free.pop_front() else {
                break;
            };
            pending.pop_front();
            if clock::now().saturating_duration_since(due) > SEND_SLACK {
                late += 1;
            }
            self.fleet.start(slot, due)?;
        }
        Ok(late)
    }
}

// === impl OpenResult ===

impl OpenResult {
    fn count(&mut self, ended: &Done, plan: &OpenPlan, waits: &mut Waits) {
        if !ended.ok {
            self.errors += 1;
            return;
        }
        self.answers += 1;
        waits.record(ended.wait);
        if ended.wait > plan.late_after {
            self.late_answers += 1;
        }
    }
}
