//! What is known of an upgrade, for `/api/v1/handover` and the metrics.

use crate::clock;
use lb_core::status::{Handover, HandoverPhase, HandoverResult};
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where this process stands in an upgrade, and how the last one ended.
#[derive(Debug)]
pub(crate) struct Journal {
    state: Mutex<State>,
    upgrades: IntCounterVec,
}

#[derive(Debug, Default)]
struct State {
    told: Handover,
    ends_at: Option<Instant>,
}

/// How an upgrade ended, as the metric has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// This process serves in place of another.
    TakenOver,
    /// Another serves in place of this one.
    HandedOver,
    /// The successor failed before it served.
    Failed,
    /// The successor died after it had begun to serve, and this process serves again.
    Resumed,
    /// No upgrade was possible at that time.
    Refused,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn new(directory: Option<&Path>, upgrades: IntCounterVec) -> Self {
        let told = Handover {
            directory: directory.map(|path| path.display().to_string()),
            ..Handover::default()
        };
        let state = State {
            told,
            ends_at: None,
        };
        Self {
            state: Mutex::new(state),
            upgrades,
        }
    }

    /// All but the counts of requests.
    pub(crate) fn read(&self) -> Handover {
        let state = self.lock();
        let left = |at: Instant| clock::now().until(at).as_millis();
        Handover {
            ends_in_ms: state
                .ends_at
                .map(|at| u64::try_from(left(at)).unwrap_or(u64::MAX)),
            ..state.told.clone()
        }
    }

    /// A conversation begins, or goes on.
    pub(super) fn enter(&self, phase: HandoverPhase, peer: Option<u32>) {
        let mut state = self.lock();
        state.told.phase = phase;
        state.told.peer_pid = peer;
    }

    pub(super) fn attempt(&self) {
        self.lock().told.attempts += 1;
    }

    /// When this process ends at the latest.
    pub(super) fn ends_at(&self, at: Option<Instant>) {
        self.lock().ends_at = at;
    }

    /// What a successor waits for.
    pub(super) fn waits_for(&self, pending: &[String]) {
        self.lock().told.pending = pending.to_vec();
    }

    /// Counts the end of an upgrade, and keeps it for whoever asks.
    pub(super) fn note(&self, outcome: Outcome, reason: &str) {
        self.upgrades.with_label_values(&[outcome.label()]).inc();
        let ok = matches!(outcome, Outcome::TakenOver | Outcome::HandedOver);
        self.lock().told.last = Some(HandoverResult {
            ok,
            reason: reason.to_owned(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Outcome ===

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::TakenOver => "taken_over",
            Self::HandedOver => "handed_over",
            Self::Failed => "failed",
            Self::Resumed => "resumed",
            Self::Refused => "refused",
        }
    }
}
