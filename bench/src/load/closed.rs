//! Closed loop: every connection sends its next request as soon as it has its answer.
//!
//! This finds the highest rate that a contender sustains. Its waiting times say little, because a
//! slow contender is asked less often; that is what the open loop is for.

use std::time::Duration;

use serde::Serialize;

use super::fleet::{Done, Fleet};
use super::{Latency, Target, Waits};
use crate::clock;
use crate::interrupt::Interrupt;

/// How often the signal flag is looked at.
const CHECK: Duration = Duration::from_millis(50);

/// What a closed loop did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClosedResult {
    /// Answers with a 2xx status.
    pub(crate) answers: u64,
    /// Other answers, and requests lost with their connection.
    pub(crate) errors: u64,
    /// Length of the window in seconds.
    pub(crate) seconds: f64,
    /// Waiting times; `None` without any answer.
    pub(crate) latency: Option<Latency>,
}

/// Connections that are kept busy, over several windows.
pub(crate) struct ClosedLoop {
    fleet: Fleet,
    running: bool,
    interrupt: Interrupt,
}

// === impl ClosedLoop ===

impl ClosedLoop {
    /// Opens the connections; nothing is sent yet.
    pub(crate) fn connect(
        target: Target,
        connections: usize,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let fleet = Fleet::connect(target, connections)?;
        Ok(Self {
            fleet,
            running: false,
            interrupt: interrupt.clone(),
        })
    }

    /// Keeps all connections busy for `window`. Requests in flight at its end stay in flight, so
    /// that the next window starts without a ramp.
    pub(crate) fn run(&mut self, window: Duration) -> anyhow::Result<ClosedResult> {
        let begin = clock::now();
        if !std::mem::replace(&mut self.running, true) {
            for slot in 0..self.fleet.len() {
                self.fleet.start(slot, begin)?;
            }
        }
        let (mut answers, mut errors) = (0, 0);
        let mut waits = Waits::new()?;
        let mut done: Vec<Done> = Vec::new();
        let mut next_check = begin;
        loop {
            let now = clock::now();
            if now.saturating_duration_since(begin) >= window {
                break;
            }
            if now >= next_check {
                self.interrupt.check()?;
                next_check = now + CHECK;
            }
            self.fleet.wait(CHECK, &mut done)?;
            for ended in &done {
                if ended.ok {
                    answers += 1;
                    waits.record(ended.wait);
                } else {
                    errors += 1;
                }
                self.fleet.start(ended.slot, clock::now())?;
            }
        }
        let seconds = clock::now().saturating_duration_since(begin).as_secs_f64();
        Ok(ClosedResult {
            answers,
            errors,
            seconds,
            latency: waits.latency(),
        })
    }
}
