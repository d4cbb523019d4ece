//! What came of one scenario with one contender, and how it compares with the target.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::Recovery;

/// A number held against its target.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What it is, with its unit.
    pub what: &'static str,
    /// The number; `None` when it never came about, which fails.
    pub value: Option<f64>,
    /// The target.
    pub limit: f64,
    /// How they are compared.
    pub bound: Bound,
}

/// How a number is compared with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It may not be above.
    AtMost,
    /// It may not be below.
    AtLeast,
}

/// Everything measured; what a scenario does not know is absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measures {
    /// Requests from the fault on.
    pub sent: u64,
    /// Of those: answered well and in time, in per cent.
    pub success_percent: f64,
    /// Failed GETs.
    pub failed_gets: u64,
    /// Failed POSTs.
    pub failed_posts: u64,
    /// Good answers that came late.
    pub late: u64,
    /// When all was well again.
    pub recovery: Option<Recovery>,
    /// Arrivals at servers per request of the clients.
    pub amplification: Option<f64>,
    /// p99 from the fault on ÷ p99 before it.
    pub p99_ratio: Option<f64>,
    /// p99 before the fault, in ms: the base of the ratio.
    pub healthy_p99_ms: f64,
    /// POSTs that arrived at servers more than once.
    pub repeated_posts: u64,
    /// How late the load generator itself was at most, in ms: above some 50 the machine was not quiet.
    pub generator_lag_ms: f64,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// The first failures in words.
    pub examples: Vec<String>,
    /// More numbers, for reading.
    pub notes: BTreeMap<&'static str, f64>,
    /// The numbers that decide.
    pub checks: Vec<Check>,
}

// === impl Check ===

impl Check {
    /// Whether the target is met.
    pub fn is_met(&self) -> bool {
        self.value.is_some_and(|value| match self.bound {
            Bound::AtMost => value <= self.limit,
            Bound::AtLeast => value >= self.limit,
        })
    }
}

// === impl Measures ===

impl Measures {
    /// Adds a number that may not be above `limit`.
    pub fn at_most(&mut self, what: &'static str, value: impl Into<Option<f64>>, limit: f64) {
        self.check(what, value.into(), limit, Bound::AtMost);
    }

    /// Adds a number that may not be below `limit`.
    pub fn at_least(&mut self, what: &'static str, value: impl Into<Option<f64>>, limit: f64) {
        self.check(what, value.into(), limit, Bound::AtLeast);
    }

    /// Adds the rule that no GET fails.
    pub fn no_failed_gets(&mut self) {
        self.at_most("failed GETs", self.failed_gets as f64, 0.0);
    }

    /// Adds the rule that no POST arrives twice.
    pub fn no_repeated_posts(&mut self) {
        self.at_most("repeated POSTs", self.repeated_posts as f64, 0.0);
    }

    /// Adds a limit for the time to recover, in seconds.
    pub fn recovers_within(&mut self, limit: f64) {
        let seconds = self.recovery.map(Recovery::seconds);
        self.at_most("recovered, s", seconds.filter(|s| s.is_finite()), limit);
    }

    /// Whether every target is met.
    pub fn is_met(&self) -> bool {
        self.checks.iter().all(Check::is_met)
    }

    fn check(&mut self, what: &'static str, value: Option<f64>, limit: f64, bound: Bound) {
        // No number at all is told from infinity, which JSON doesn't know.
        let value = value.filter(|value| value.is_finite());
        self.checks.push(Check {
            what,
            value,
            limit,
            bound,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_never_came_about_fails_its_check() {
        let mut measures = Measures {
            recovery: Some(Recovery::Never),
            ..Measures::default()
        };
        assert!(measures.is_met(), "nothing asked, nothing missed");
        measures.recovers_within(3.0);
        assert!(!measures.is_met());
        assert_eq!(measures.checks.first().and_then(|c| c.value), None);
    }

    #[test]
    fn bounds_include_their_limit() {
        let mut measures = Measures::default();
        measures.at_most("a", 1.5, 1.5);
        measures.at_least("b", 0.9, 0.9);
        measures.no_repeated_posts();
        assert!(measures.is_met());
        measures.at_least("c", 0.89, 0.9);
        assert!(!measures.is_met());
    }
}
