//! One step of the verdict.

use super::signals::Signals;
use super::window::Window;
use super::{Evidence, Proof, RETURN, State, Why};
use crate::region::choice::Condition;
use crate::time::Instant;
use rand::{Rng, RngExt};
use std::time::Duration;

/// Passed probes that a return needs.
const RETURN_PASSES: u32 = 3;
/// A degraded region is called healthy again from this share on, so that the name does not flicker around 70 %.
const HEALTHY_AGAIN: f64 = 0.75;
/// How long probes may lag behind a report that says that replicas no longer leave.
const PARDON: Duration = Duration::from_secs(10);
/// The time constant of the share that traffic may defend.
const STEADY: Duration = Duration::from_secs(10);

// === impl Evidence ===

impl Evidence {
    pub(super) fn absorb(&mut self, signals: &Signals, now: Instant) {
        if let Some(report) = signals.report {
            self.healthy = report.healthy;
        }
        if !self.kept {
            let alpha = 1.0 - (-now.since(self.stepped).as_secs_f64() / STEADY.as_secs_f64()).exp();
            self.steady += (self.healthy - self.steady) * alpha;
        }
        self.traffic.absorb(&signals.traffic, now);
        self.degraded = if self.degraded {
            self.healthy < HEALTHY_AGAIN
        } else {
            Condition::from_healthy_share(self.healthy) != Condition::Healthy
        };
    }

    /// Its replicas leave: what fails now is no evidence.
    pub(super) fn let_go(&mut self, signals: &Signals, now: Instant) {
        self.left = Some(now);
        self.traffic = Window::new(now);
        self.proof = None;
        if self.state == State::Unknown {
            self.settle(signals, None, now);
        }
    }

    pub(super) fn step(
        &mut self,
        signals: &Signals,
        was_degraded: bool,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        if signals.probes.is_good() {
            self.left = None;
        }
        let against = self.against(signals, now);
        let shed = signals.report.map_or(0.0, |report| report.shed);
        let defended = against.is_some() && self.traffic.is_good(shed);
        match self.state {
            State::Unknown => self.settle(signals, against.filter(|_| !defended), now),
            State::Up | State::Ramping { .. } => {
                if self.traffic.is_convicted() {
                    let length = self.rules.ejection.mul_f64(rng.random_range(0.9..=1.1));
                    let until = now + length;
                    self.go_out(State::Ejected { until }, Why::Traffic);
                    self.flaps.leave(&self.rules, now);
                } else if let Some(why) = against.filter(|_| !defended) {
                    self.go_out(State::Unhealthy, why);
                    if why != Why::Left {
                        self.flaps.leave(&self.rules, now);
                    }
                } else {
                    self.stay(against.is_some(), was_degraded, now);
                }
            }
            State::Ejected { until } => {
                if let Some(why) = against {
                    self.state = State::Unhealthy;
                    self.why = why;
                    self.proof = None;
                } else if now >= until && self.flaps.held_until(now).is_none() {
                    self.enter(State::Ramping { since: now }, Why::Served, now);
                }
            }
            State::Unhealthy => self.prove(signals, against, shed, now),
        }
    }

    /// What reports and probes hold against the region.
    fn against(&self, signals: &Signals, now: Instant) -> Option<Why> {
        if signals.probes.all_failed() {
            match self.left {
                None => return Some(Why::Probes),
                // Somebody is back already, and will be probed.
                Some(at) if signals.report.is_some() && now.since(at) < PARDON => {}
                Some(_) => return Some(Why::Left),
            }
        }
        let report = signals.report?;
        (Condition::from_healthy_share(report.healthy) == Condition::Unhealthy)
            .then_some(Why::Report(report.healthy))
    }

    /// The first evidence settles it at once, without a ramp: all regions start together.
    fn settle(&mut self, signals: &Signals, against: Option<Why>, now: Instant) {
        if let Some(why) = against {
            self.state = State::Unhealthy;
            self.why = why;
        } else if signals.is_alive() {
            self.enter(State::Up, Why::First, now);
        }
    }

    fn stay(&mut self, defended: bool, was_degraded: bool, now: Instant) {
        if defended != self.kept {
            self.kept = defended;
            self.why = if defended {
                Why::KeptByTraffic
            } else {
                Why::Report(self.healthy)
            };
        }
        if let State::Ramping { since } = self.state
            && now.since(since) >= self.rules.ramp
        {
            self.state = State::Up;
            self.why = Why::Ramped;
        }
        if self.state == State::Up && self.degraded != was_degraded && !self.kept {
            self.why = Why::Report(self.healthy);
        }
        self.flaps.serve(now);
    }

    /// Looks for what a return needs: good checks for long enough, or requests that succeed in spite of them.
    fn prove(&mut self, signals: &Signals, against: Option<Why>, shed: f64, now: Instant) {
        let checked = against.is_none()
            && signals.probes.is_good()
            && signals.report.is_none_or(|report| report.healthy >= RETURN);
        let served = self.traffic.is_good(shed);
        if self.traffic.is_convicted() || !(checked || served) {
            self.proof = None;
            return;
        }
        let mut proof = self.proof.unwrap_or(Proof {
            since: now,
            passes: 0,
        });
        proof.passes = proof.passes.saturating_add(signals.probes.passes);
        self.proof = Some(proof);
        let enough = served || !signals.probes.probing || proof.passes >= RETURN_PASSES;
        let waited = now.since(proof.since) >= self.rules.return_after;
        if enough && waited && self.flaps.held_until(now).is_none() {
            self.kept = against.is_some();
            self.enter(State::Ramping { since: now }, Why::Proven, now);
        }
    }

    fn go_out(&mut self, state: State, why: Why) {
        self.state = state;
        self.why = why;
        self.kept = false;
        self.proof = None;
    }

    fn enter(&mut self, state: State, why: Why, now: Instant) {
        self.state = state;
        self.why = why;
        self.proof = None;
        self.flaps.enter(now);
    }
}
