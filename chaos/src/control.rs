//! Negative controls: Strata once more, with what protects it in a scenario switched off.
//!
//! **Problem.** A target that is met says little when it would be met anyway: the load may be too low, the fault too mild,
//! the measuring too coarse.
//!
//! **Choice.** For each scenario the mechanisms are named that its target is about, and the same scenario is played on the
//! same programs with these off ([`Contender::Control`](crate::contender::Contender::Control)). That run must miss
//! the target. When it meets it, the table says so beside it.
//!
//! **Rejected.** One control with everything off: it would miss most targets, and nobody would know by what. Builds without a
//! mechanism: operators don't run these.
//!
//! **Limits.** Only what the configuration can switch off is switched off. Checks of servers, deadlines,
//! learned idle limits, and the server that is never ejected stay.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::scenario::Scenario;

/// Something that protects, and that the configuration can switch off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// Further tries, in both tiers, those in another region included.
    Retries,
    /// The bound of retries as a share of requests.
    RetryBudget,
    /// The rule that an answer of 500 is final.
    FinalStatuses,
    /// Ejection of servers and replicas by their traffic, and traffic as evidence against regions.
    Ejection,
    /// Active checks of regional replicas by the global tier.
    RegionChecks,
    /// The choice of a server by load, latency and failures, and the weight that slow ones lose.
    LatencyChoice,
    /// The limit that is found from latency.
    AdaptiveLimit,
    /// What was told of the capacity.
    Capacity,
    /// The growing share of servers that return.
    SlowStart,
    /// The rule that health is ignored when too little is healthy, for servers and for regions.
    PanicThreshold,
    /// The share that a slow region loses.
    LatencyShift,
    /// Time limits of clients, and the process's own overload protection.
    ClientLimits,
    /// Idle limits of servers that their closes teach.
    IdleLearning,
}

/// Which mechanisms are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Off(pub &'static [Mechanism]);

// === impl Mechanism ===

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Retries,
        Self::RetryBudget,
        Self::FinalStatuses,
        Self::Ejection,
        Self::RegionChecks,
        Self::LatencyChoice,
        Self::AdaptiveLimit,
        Self::Capacity,
        Self::SlowStart,
        Self::PanicThreshold,
        Self::LatencyShift,
        Self::ClientLimits,
        Self::IdleLearning,
    ];

    /// Its name in templates (`off.NAME`) and results.
    pub fn key(self) -> &'static str {
        match self {
            Self::Retries => "retries",
            Self::RetryBudget => "retry_budget",
            Self::FinalStatuses => "final_statuses",
            Self::Ejection => "ejection",
            Self::RegionChecks => "region_checks",
            Self::LatencyChoice => "latency_choice",
            Self::AdaptiveLimit => "adaptive_limit",
            Self::Capacity => "capacity",
            Self::SlowStart => "slow_start",
            Self::PanicThreshold => "panic_threshold",
            Self::LatencyShift => "latency_shift",
            Self::ClientLimits => "client_limits",
            Self::IdleLearning => "idle_learning",
        }
    }

    /// Its name in tables, after "without".
    pub fn words(self) -> &'static str {
        match self {
            Self::Retries => "retries",
            Self::RetryBudget => "retry budget",
            Self::FinalStatuses => "500 being final",
            Self::Ejection => "ejection by traffic",
            Self::RegionChecks => "checks of replicas",
            Self::LatencyChoice => "choice by load and latency",
            Self::AdaptiveLimit => "adaptive limit",
            Self::Capacity => "known capacity",
            Self::SlowStart => "slow start",
            Self::PanicThreshold => "panic threshold",
            Self::LatencyShift => "latency shift",
            Self::ClientLimits => "client limits",
            Self::IdleLearning => "learned idle limits",
        }
    }
}

// === impl Off ===

impl Off {
    /// What is off in words: `retries, ejection by traffic`.
    pub fn words(self) -> String {
        let words: Vec<&str> = self.0.iter().map(|m| m.words()).collect();
        words.join(", ")
    }

    /// The keys of what is off.
    pub fn keys(self) -> Vec<&'static str> {
        self.0.iter().map(|m| m.key()).collect()
    }
}

/// Every mechanism by its key: a template that asks for one that does not exist is an error, not a silent no.
impl Serialize for Off {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = Mechanism::ALL.into_iter();
        let map: BTreeMap<_, _> = all.map(|m| (m.key(), self.0.contains(&m))).collect();
        map.serialize(serializer)
    }
}

// === impl Scenario ===

impl Scenario {
    /// What is off in its negative control. Active checks of servers stay on everywhere: they are what everybody has.
    pub fn control(self) -> Off {
        use Mechanism as M;
        let off: &'static [M] = match self {
            Self::ServerKilled | Self::ReplicaKilled | Self::ReplicaFrozen | Self::RegionKilled => {
                &[M::Retries, M::Ejection]
            }
            // Active checks alone find it out in time.
            Self::RegionCut => &[M::Retries, M::Ejection, M::RegionChecks],
            Self::ServerSlow => &[M::LatencyChoice],
            // `p2c` alone shuns a server that fails.
            Self::ServerFailing | Self::ServerTruncating => &[M::Ejection, M::LatencyChoice],
            // Amplification only: that a pool keeps a server whatever its cap is can't be switched off.
            Self::All500 => &[M::FinalStatuses, M::RetryBudget],
            Self::All503 | Self::OutageStorm => &[M::RetryBudget],
            Self::Overload2x | Self::Overload5x => &[M::AdaptiveLimit],
            Self::RegionLossAt80 => &[M::Capacity, M::AdaptiveLimit],
            Self::PoolReturns => &[M::SlowStart, M::PanicThreshold],
            Self::FlappingChecks | Self::ChecksFail => &[M::PanicThreshold],
            Self::RegionSlow => &[M::LatencyShift],
            Self::SlowClients => &[M::ClientLimits],
            Self::StaleConnections => &[M::Retries, M::IdleLearning],
        };
        Off(off)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mechanism_is_off_somewhere_and_no_control_is_empty() {
        let mut used = BTreeSet::new();
        for scenario in Scenario::ALL {
            let off = scenario.control();
            assert!(!off.0.is_empty(), "{scenario:?} would be Strata itself");
            used.extend(off.0);
        }
        assert_eq!(used, Mechanism::ALL.iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn templates_see_each_mechanism_as_on_or_off() {
        let json = serde_json::to_value(Off(&[Mechanism::Retries])).unwrap();
        assert_eq!(json.as_object().unwrap().len(), Mechanism::ALL.len());
        assert_eq!(json["retries"], true);
        assert_eq!(json["ejection"], false);
    }
}
