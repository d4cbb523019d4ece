//! What a scenario needs started: how many of what, and what the servers can do.

use std::time::Duration;

use serde::Serialize;
use strata_tests::server::Behaviour;

use crate::template::Capacity;

/// In which order regions serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The first takes all, the others stand by.
    Priority,
    /// All take the same share.
    Even,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Processes of the global tier.
    pub globals: usize,
    /// Regions.
    pub regions: usize,
    /// Processes of each region.
    pub replicas: usize,
    /// Servers of each region.
    pub servers: usize,
    /// Order of the regions.
    pub order: Order,
    /// Time that a server takes for an answer.
    pub service: Duration,
    /// Requests that a server works on at one time; the others wait. `None`: any number.
    pub workers: Option<usize>,
    /// Whether the contenders are told what the workers can do.
    pub is_capacity_known: bool,
    /// Whether limits are to be found from latency, where that is not the default.
    pub adaptive: bool,
    /// Length of slow start in seconds; 0 leaves the default.
    pub slow_start_s: u64,
}

// === impl Plan ===

impl Plan {
    /// Two global processes, one region of two processes and `servers` servers that take 20 ms.
    pub fn pool(servers: usize) -> Self {
        Self {
            globals: 2,
            regions: 1,
            replicas: 2,
            servers,
            order: Order::Priority,
            service: Duration::from_millis(20),
            workers: None,
            is_capacity_known: false,
            adaptive: false,
            slow_start_s: 0,
        }
    }

    /// As [`Plan::pool`], with three regions of three servers each.
    pub fn regions(order: Order) -> Self {
        Self {
            regions: 3,
            order,
            ..Self::pool(3)
        }
    }

    /// Requests per second that a region's servers can do; 0 when they have no limit.
    pub fn region_rps(&self) -> f64 {
        let workers = self.workers.unwrap_or(0) * self.servers;
        workers as f64 / self.service.as_secs_f64()
    }

    /// What the contenders are told of it, if anything.
    pub(crate) fn capacity(&self) -> Option<Capacity> {
        let workers = self.workers.filter(|_| self.is_capacity_known)?;
        let server_in_flight = workers.div_ceil(self.replicas);
        Some(Capacity {
            region_rps: self.region_rps() as u64,
            server_in_flight,
            replica_in_flight: server_in_flight * self.servers,
        })
    }

    /// Half of what a replica may have under way at full use, rounded up.
    pub(crate) fn quiet_in_flight(&self) -> u64 {
        let busy = self.workers.unwrap_or(10) * self.servers;
        busy.div_ceil(2 * self.replicas).max(3) as u64
    }

    /// Makes a server what the plan wants it to be.
    pub(crate) fn script(&self, behaviour: &mut Behaviour) {
        behaviour.head_delay = self.service;
        if let Some(workers) = self.workers {
            behaviour.limit_workers(workers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_contenders_are_told_is_what_the_servers_can_do() {
        let plan = Plan {
            service: Duration::from_millis(100),
            workers: Some(4),
            servers: 2,
            ..Plan::pool(2)
        };
        assert!((plan.region_rps() - 80.0).abs() < 1e-9);
        assert!(plan.capacity().is_none(), "nobody is told");
        let plan = Plan {
            is_capacity_known: true,
            ..plan
        };
        let told = plan.capacity().unwrap();
        let (rps, one, all) = (
            told.region_rps,
            told.server_in_flight,
            told.replica_in_flight,
        );
        assert_eq!(
            (rps, one, all),
            (80, 2, 4),
            "two replicas share the workers"
        );
    }
}
