//! The failures that are played: their names, their targets, and where each is written.
//!
//! Targets are those of the project's table of resilience targets. They are not adjusted to what anybody reaches.

mod checks;
mod clients;
mod errors;
mod gray;
mod overload;
mod processes;
mod servers;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::measures::Measures;
use crate::trial::Bed;

/// Requests per second of most scenarios: enough for statistics, too little to keep a core busy.
const RATE: f64 = 300.0;
/// Share of POSTs where they are asked for, and their size in bytes.
const POSTS: (f64, usize) = (0.2, 1_000);

/// One failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// A server dies under load.
    ServerKilled,
    /// A regional replica is killed.
    ReplicaKilled,
    /// A regional replica is stopped with SIGSTOP.
    ReplicaFrozen,
    /// All replicas of the first region are killed.
    RegionKilled,
    /// All replicas of the first region stop answering, without a reset.
    RegionCut,
    /// One of six servers turns 10 × slower.
    ServerSlow,
    /// One of six servers answers 503 to 30 % of its requests.
    ServerFailing,
    /// One of six servers sends half of its answers cut short.
    ServerTruncating,
    /// All servers answer 500.
    #[value(name = "all-500")]
    #[serde(rename = "all-500")]
    All500,
    /// All servers answer 503, which may be retried.
    #[value(name = "all-503")]
    #[serde(rename = "all-503")]
    All503,
    /// All servers answer 503, and clients retry hard.
    OutageStorm,
    /// Twice the capacity, which nobody was told.
    #[value(name = "overload-2x")]
    #[serde(rename = "overload-2x")]
    Overload2x,
    /// Five times the capacity, which nobody was told.
    #[value(name = "overload-5x")]
    #[serde(rename = "overload-5x")]
    Overload5x,
    /// One of three regions at 80 % of their known capacity dies.
    RegionLossAt80,
    /// All servers of a pool die, and come back together.
    PoolReturns,
    /// The health checks of half of the servers flap, while they serve.
    FlappingChecks,
    /// All health checks of all regions fail, while the servers serve.
    ChecksFail,
    /// One of three regions turns 5 × slower without failing.
    RegionSlow,
    /// Clients that send and read very slowly, beside normal ones.
    SlowClients,
    /// Servers close idle connections just as they are used again.
    StaleConnections,
}

// === impl Scenario ===

impl Scenario {
    /// All of them, in the order of playing.
    pub const ALL: [Self; 20] = [
        Self::ServerKilled,
        Self::ReplicaKilled,
        Self::ReplicaFrozen,
        Self::RegionKilled,
        Self::RegionCut,
        Self::ServerSlow,
        Self::ServerFailing,
        Self::ServerTruncating,
        Self::All500,
        Self::All503,
        Self::OutageStorm,
        Self::Overload2x,
        Self::Overload5x,
        Self::RegionLossAt80,
        Self::PoolReturns,
        Self::FlappingChecks,
        Self::ChecksFail,
        Self::RegionSlow,
        Self::SlowClients,
        Self::StaleConnections,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server-killed",
            Self::ReplicaKilled => "replica-killed",
            Self::ReplicaFrozen => "replica-frozen",
            Self::RegionKilled => "region-killed",
            Self::RegionCut => "region-cut",
            Self::ServerSlow => "server-slow",
            Self::ServerFailing => "server-failing",
            Self::ServerTruncating => "server-truncating",
            Self::All500 => "all-500",
            Self::All503 => "all-503",
            Self::OutageStorm => "outage-storm",
            Self::Overload2x => "overload-2x",
            Self::Overload5x => "overload-5x",
            Self::RegionLossAt80 => "region-loss-at80",
            Self::PoolReturns => "pool-returns",
            Self::FlappingChecks => "flapping-checks",
            Self::ChecksFail => "checks-fail",
            Self::RegionSlow => "region-slow",
            Self::SlowClients => "slow-clients",
            Self::StaleConnections => "stale-connections",
        }
    }

    /// Its target, in words.
    pub fn target(self) -> &'static str {
        match self {
            Self::ServerKilled | Self::ReplicaKilled => "0 failed GETs, 0 repeated POSTs",
            Self::ReplicaFrozen => "0 failed GETs, its share gone in ≤ 3 s",
            Self::RegionKilled => "≥ 99.9 % in the first 60 s, recovered in ≤ 1 s",
            Self::RegionCut => "recovered in ≤ 3 s",
            Self::ServerSlow => "p99 ≤ 1.5 × healthy",
            Self::ServerFailing | Self::ServerTruncating => "out in ≤ 10 s",
            Self::All500 => {
                "amplification ≤ 1.2, nobody ejected beyond the cap, well again at once"
            }
            Self::All503 => "amplification ≤ 1.44 through both tiers, well again at once",
            Self::OutageStorm => "amplification ≤ 1.44, recovered in ≤ 3 s after the return",
            Self::Overload2x | Self::Overload5x => {
                "goodput ≥ 0.9 × capacity, p99 of the admitted ≤ 2 ×, normal in ≤ 5 s"
            }
            Self::RegionLossAt80 => "survivors ≥ 0.9 × their capacity, the rest refused fast",
            Self::PoolReturns => "peak on one server ≤ 1.5 × fair share",
            Self::FlappingChecks => "errors ≤ 0.1 %",
            Self::ChecksFail => "≥ 99.9 %, and the region keeps its traffic",
            Self::RegionSlow => "its share falls to ≤ 0.7 of before, nothing fails",
            Self::SlowClients => "other clients ≥ 99.9 %",
            Self::StaleConnections => "failed POSTs ≤ 0.1 %, 0 repeated",
        }
    }

    /// Plays it once.
    ///
    /// # Errors
    ///
    /// When the stack does not start or can't be disturbed; a missed target is no error.
    pub async fn play(self, bed: &Bed) -> Result<Measures> {
        match self {
            Self::ServerKilled => Box::pin(processes::server_killed(bed)).await,
            Self::ReplicaKilled => Box::pin(processes::replica_killed(bed)).await,
            Self::ReplicaFrozen => Box::pin(processes::replica_frozen(bed)).await,
            Self::RegionKilled => Box::pin(processes::region_killed(bed)).await,
            Self::RegionCut => Box::pin(processes::region_cut(bed)).await,
            Self::ServerSlow => Box::pin(gray::server_slow(bed)).await,
            Self::ServerFailing => Box::pin(gray::server_failing(bed)).await,
            Self::ServerTruncating => Box::pin(gray::server_truncating(bed)).await,
            Self::All500 => Box::pin(errors::all_answer(bed, 500, 1.2)).await,
            Self::All503 => Box::pin(errors::all_answer(bed, 503, 1.44)).await,
            Self::OutageStorm => Box::pin(errors::outage_storm(bed)).await,
            Self::Overload2x => Box::pin(overload::overload(bed, 2.0)).await,
            Self::Overload5x => Box::pin(overload::overload(bed, 5.0)).await,
            Self::RegionLossAt80 => Box::pin(overload::region_loss(bed)).await,
            Self::PoolReturns => Box::pin(servers::pool_returns(bed)).await,
            Self::FlappingChecks => Box::pin(checks::flapping(bed)).await,
            Self::ChecksFail => Box::pin(checks::all_fail(bed)).await,
            Self::RegionSlow => Box::pin(gray::region_slow(bed)).await,
            Self::SlowClients => Box::pin(clients::slow(bed)).await,
            Self::StaleConnections => Box::pin(servers::stale_connections(bed)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_scenarios_are_listed_under_the_names_of_the_command_line() {
        let listed: BTreeSet<_> = Scenario::ALL.into_iter().collect();
        let known: BTreeSet<_> = Scenario::value_variants().iter().copied().collect();
        assert_eq!(listed, known);
        for scenario in Scenario::ALL {
            let value = scenario.to_possible_value().unwrap();
            assert_eq!(value.get_name(), scenario.name());
            let json = serde_json::to_value(scenario).unwrap();
            assert_eq!(json, scenario.name());
        }
    }
}
