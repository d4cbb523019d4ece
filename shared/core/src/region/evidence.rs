//! Whether a region gets requests: its reports, this replica's probes and the traffic, joined into one verdict.
//!
//! # Problem
//! Each source alone is wrong at times. Reports stop when an admin port is cut off, checks flap or all fail by a mistake
//! in themselves (the large outages of health checkers are of this kind), and traffic says nothing where none goes.
//!
//! # Choice
//! One state machine per region, stepped by the control thread ([`Evidence::observe`]).
//! - A report puts the region into classes by its healthy share: HEALTHY from 70 %, DEGRADED from 25 % with 1.4 × that
//!   share, UNHEALTHY below. A report that is missing or old decides nothing: the last share is frozen.
//! - Probes count when *all* replicas of the region failed them: one replica carries a region.
//! - Traffic convicts at once: a row of gateway errors across the region, while errors prevail. A row alone is no proof
//!   on a busy region of which a third fails: such rows come about by chance several times a second.
//! - Traffic also acquits: while requests succeed and nothing is shed, neither reports nor probes take a region out. It
//!   keeps the share that it had before (a slow average): a real loss of servers comes with a share that fell for real.
//!
//! The way back is slower than the way out: three passed probes and 35 % for 15 s, then a ramp of 30 s from a tenth.
//! A region that goes out three times within five minutes is held down, 30 s first and twice as long each time after,
//! until it has been in service for five minutes.
//!
//! A region whose replicas all say that they leave (a redeployment, a shutdown) is no failure: while they say so nothing is held
//! against it and it gets nothing new, as if it were drained; as soon as one says otherwise it is back, without proof or ramp. If it
//! is gone in earnest afterwards, it goes out for that, but doesn't flap.
//!
//! # Rejected
//! - A score that adds the sources up: nobody can explain at night why 0.48 was too little.
//! - Ejection by an error *rate*: it is the outlier statistics' business among the replicas; across regions, a rate that
//!   is high everywhere says that the users' requests are bad.
//!
//! # Limits
//! Without traffic, reports and probes decide alone. What all regions together may lose is
//! [`removal`](super::removal)'s business.

mod flaps;
mod rules;
mod signals;
mod step;
mod window;

pub use rules::Rules;
pub use signals::{ProbeTally, ReportView, Signals};

use super::choice::Condition;
use crate::status::RegionState;
use crate::time::Instant;
use flaps::Flaps;
use rand::Rng;
use window::Window;

/// Share of healthy weight from which a region that was out may come back.
const RETURN: f64 = 0.35;
/// Share of requests with which a ramp begins.
const RAMP_START: f64 = 0.10;
/// A region that traffic defends keeps at least this.
const KEPT_SHARE: f64 = 0.35;

/// Why a region is where it is: the reason of a transition, for the log, `explain` and a metric's label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Why {
    /// No evidence yet.
    Nothing,
    /// A probe passed, a request succeeded, or a report came in: the first evidence.
    First,
    /// Its reports tell of this healthy share of its servers' weight.
    Report(f64),
    /// The probes of all of its replicas failed.
    Probes,
    /// Gateway errors in a row across the region.
    Traffic,
    /// Reports or probes speak against it, but its requests succeed.
    KeptByTraffic,
    /// Probes and reports were good for long enough.
    Proven,
    /// Its time out, for the errors of its traffic, is over.
    Served,
    /// The ramp is over.
    Ramped,
    /// Its replicas said that they leave, and are gone.
    Left,
}

/// A change, with its reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// State before.
    pub from: RegionState,
    /// State now; the same as before when only the reason changed.
    pub to: RegionState,
    /// What led to it.
    pub why: Why,
    /// When.
    pub at: Instant,
    /// Not back before this, because it flaps.
    pub held_until: Option<Instant>,
}

/// The verdict on one region. Belongs to its identity and survives a reload.
#[derive(Debug, Clone)]
pub struct Evidence {
    rules: Rules,
    state: State,
    why: Why,
    since: Instant,
    kept: bool,
    degraded: bool,
    /// Healthy share by the last report; 1 before the first.
    healthy: f64,
    /// Slow average of the healthy share.
    steady: f64,
    traffic: Window,
    flaps: Flaps,
    proof: Option<Proof>,
    stepped: Instant,
    leaving: bool,
    /// When its replicas last said that they leave; none once one of them has passed a probe since.
    left: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Unknown,
    Up,
    Ramping { since: Instant },
    Ejected { until: Instant },
    Unhealthy,
}

/// What speaks for a region that is out, and since when.
#[derive(Debug, Clone, Copy)]
struct Proof {
    since: Instant,
    passes: u32,
}

// === impl Why ===

impl Why {
    /// A metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::First => "first_evidence",
            Self::Report(_) => "report",
            Self::Probes => "probes",
            Self::Traffic => "traffic",
            Self::KeptByTraffic => "kept_by_traffic",
            Self::Proven => "proven",
            Self::Served => "ejection_over",
            Self::Ramped => "ramped",
            Self::Left => "left",
        }
    }
}

// === impl Evidence ===

impl Evidence {
    /// A region of which nothing is known.
    #[must_use]
    pub fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            state: State::Unknown,
            why: Why::Nothing,
            since: now,
            kept: false,
            degraded: false,
            healthy: 1.0,
            steady: 1.0,
            traffic: Window::new(now),
            flaps: Flaps::default(),
            proof: None,
            stepped: now,
            leaving: false,
            left: None,
        }
    }

    /// Takes over changed rules; the verdict stays.
    pub fn reconfigure(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes in what is known now and what happened since the last call. Call it each 50 to 100 ms.
    pub fn observe(
        &mut self,
        signals: &Signals,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Transition> {
        let before = (self.state(), self.kept);
        let was_degraded = self.degraded;
        self.leaving = signals.leaving;
        if signals.leaving {
            self.let_go(signals, now);
        } else {
            self.absorb(signals, now);
            self.step(signals, was_degraded, now, rng);
        }
        self.stepped = now;
        let changed = self.state() != before.0 || self.kept != before.1;
        if changed {
            self.since = now;
        }
        changed.then(|| Transition {
            from: before.0,
            to: self.state(),
            why: self.why,
            at: now,
            held_until: self.flaps.held_until(now).filter(|_| self.is_out()),
        })
    }

    /// Fitness for new requests, before [`ramp`](Self::ramp). A region without evidence is not usable yet.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self.state {
            State::Unknown | State::Ejected { .. } | State::Unhealthy => Condition::Unhealthy,
            State::Up | State::Ramping { .. } if self.kept => {
                Condition::from_healthy_share(self.steady.max(KEPT_SHARE))
            }
            // In service without a fresh report, the last one bad: probes or traffic brought it back.
            State::Up | State::Ramping { .. } => {
                match Condition::from_healthy_share(self.healthy) {
                    Condition::Unhealthy => Condition::from_healthy_share(RETURN),
                    condition => condition,
                }
            }
        }
    }

    /// Share of its requests that a returning region takes: 0.1 to 1.
    #[must_use]
    pub fn ramp(&self, now: Instant) -> f64 {
        let State::Ramping { since } = self.state else {
            return 1.0;
        };
        let ramp = self.rules.ramp.as_secs_f64().max(1e-9);
        let done = now.since(since).as_secs_f64() / ramp;
        (RAMP_START + (1.0 - RAMP_START) * done).min(1.0)
    }

    /// The state, for status and metrics.
    #[must_use]
    pub fn state(&self) -> RegionState {
        match self.state {
            State::Unknown => RegionState::Unknown,
            State::Up if self.degraded && !self.kept => RegionState::Degraded,
            State::Up => RegionState::Healthy,
            State::Ramping { .. } => RegionState::Ramping,
            State::Ejected { .. } => RegionState::Ejected,
            State::Unhealthy => RegionState::Unhealthy,
        }
    }

    /// The reason of the state.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }

    /// Since when the state and its reason stand.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Whether the evidence takes the region out.
    #[must_use]
    pub const fn is_out(&self) -> bool {
        matches!(self.state, State::Ejected { .. } | State::Unhealthy)
    }

    /// Whether all of its replicas say that they leave: it gets nothing new while another region is usable.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether this replica can't reach the region or gets nothing but errors from it, whatever it reported.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.is_out() && matches!(self.why, Why::Probes | Why::Traffic)
    }

    /// Healthy share by the last report, 0 to 1; 1 before the first one.
    #[must_use]
    pub const fn reported(&self) -> f64 {
        self.healthy
    }

    /// Not back before this, because it flaps.
    #[must_use]
    pub fn held_until(&self, now: Instant) -> Option<Instant> {
        self.flaps.held_until(now)
    }

    /// Times that it went out within the last five minutes.
    #[must_use]
    pub fn flips(&self, now: Instant) -> usize {
        self.flaps.recent(now)
    }
}

#[cfg(test)]
mod tests;
