//! The verdict on one endpoint, and when to probe it next.

use super::{ProbeFailure, ProbeResult};
use crate::config::model::HealthCheck;
use crate::time::Instant;
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Shortest pause between two probes, whatever is configured: nothing spins.
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(10);

/// What the probes say of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No probe has settled it yet. Routable only when nothing else exists.
    #[default]
    Unknown,
    /// Routable.
    Healthy,
    /// Not routable, except under the panic threshold.
    Unhealthy,
}

/// A change of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Verdict before.
    pub from: Verdict,
    /// Verdict now.
    pub to: Verdict,
    /// When it changed.
    pub at: Instant,
    /// The last failure that led to it, when it is for the worse.
    pub reason: Option<ProbeFailure>,
}

/// The last probe, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastProbe {
    /// What it found.
    pub result: ProbeResult,
    /// When it ended.
    pub at: Instant,
}

/// The state of one endpoint's active check.
#[derive(Debug, Clone)]
pub struct CheckState {
    rules: Rules,
    verdict: Verdict,
    /// Results in a row that speak against the verdict; below the count that changes it.
    streak: u32,
    since: Option<Instant>,
    last: Option<LastProbe>,
}

/// The numbers of the configuration that decide.
#[derive(Debug, Clone, Copy)]
struct Rules {
    fall: u32,
    rise: u32,
    interval: Duration,
    fast_interval: Duration,
}

// === impl Verdict ===

impl Verdict {
    /// Whether probes have shown that the endpoint serves.
    #[must_use]
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy)
    }
}

// === impl CheckState ===

impl CheckState {
    /// A check that has seen nothing: unknown, or healthy when checks are off.
    #[must_use]
    pub fn new(config: &HealthCheck) -> Self {
        Self {
            rules: Rules::new(config),
            verdict: if config.enabled {
                Verdict::Unknown
            } else {
                Verdict::Healthy
            },
            streak: 0,
            since: None,
            last: None,
        }
    }

    /// Takes over a changed configuration. The verdict stays, so that a reload changes nobody's health; turning
    /// checks off makes the endpoint healthy, because nothing would ever bring it back.
    pub fn reconfigure(&mut self, config: &HealthCheck) {
        self.rules = Rules::new(config);
        if !config.enabled {
            self.verdict = Verdict::Healthy;
            self.streak = 0;
        }
        self.streak = self.streak.min(self.threshold() - 1);
        self.check_invariants();
    }

    /// Takes in the result of a probe that ended at `now`, and tells whether the verdict changed by it.
    pub fn on_probe(&mut self, result: ProbeResult, now: Instant) -> Option<Transition> {
        self.last = Some(LastProbe { result, at: now });
        if !result.is_evidence() {
            return None;
        }
        let passed = result.failure().is_none();
        let to = match (self.verdict, passed) {
            (Verdict::Unknown, true) => Verdict::Healthy,
            (Verdict::Healthy, true) | (Verdict::Unhealthy, false) => {
                self.streak = 0;
                return None;
            }
            (Verdict::Unhealthy, true) => self.contest(Verdict::Healthy)?,
            (Verdict::Unknown | Verdict::Healthy, false) => self.contest(Verdict::Unhealthy)?,
        };
        let from = std::mem::replace(&mut self.verdict, to);
        self.streak = 0;
        self.since = Some(now);
        self.check_invariants();
        Some(Transition {
            from,
            to,
            at: now,
            reason: result.failure(),
        })
    }

    /// The pause from the start of one probe to the start of the next: the interval, or the fast interval while
    /// the verdict is open or contested, off by up to a tenth so that replicas don't probe in step.
    #[must_use]
    pub fn next_probe_in(&self, rng: &mut impl Rng) -> Duration {
        let pause = if self.is_decided() {
            self.rules.interval
        } else {
            self.rules.fast_interval
        };
        pause.mul_f64(rng.random_range(0.9..=1.1)).max(MIN_PAUSE)
    }

    /// The pause before the first probe: up to a tenth of the interval, so that a start with thousands of endpoints
    /// is not one burst.
    #[must_use]
    pub fn first_probe_in(&self, rng: &mut impl Rng) -> Duration {
        self.rules.interval.mul_f64(rng.random_range(0.0..=0.1))
    }

    /// The verdict.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the verdict stands uncontested.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        !matches!(self.verdict, Verdict::Unknown) && self.streak == 0
    }

    /// Results in a row that speak against the verdict.
    #[must_use]
    pub const fn streak(&self) -> u32 {
        self.streak
    }

    /// When the verdict last changed; none while it is the first one.
    #[must_use]
    pub const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The last probe; none before the first.
    #[must_use]
    pub const fn last(&self) -> Option<LastProbe> {
        self.last
    }

    /// Counts a result against the verdict; `to` when that was the last one needed.
    fn contest(&mut self, to: Verdict) -> Option<Verdict> {
        let needed = self.threshold();
        self.streak += 1;
        (self.streak >= needed).then_some(to)
    }

    /// Results in a row that change the verdict; at least 1.
    const fn threshold(&self) -> u32 {
        match self.verdict {
            Verdict::Unhealthy => self.rules.rise,
            Verdict::Unknown | Verdict::Healthy => self.rules.fall,
        }
    }

    fn check_invariants(&self) {
        debug_assert!(
            self.streak < self.threshold(),
            "a streak of {} should have changed {:?}",
            self.streak,
            self.verdict
        );
    }
}

// === impl Rules ===

impl Rules {
    fn new(config: &HealthCheck) -> Self {
        Self {
            fall: config.fall.max(1),
            rise: config.rise.max(1),
            interval: config.interval.get(),
            fast_interval: config.fast_interval.get().min(config.interval.get()),
        }
    }
}
