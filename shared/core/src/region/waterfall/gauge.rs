//! What a step is told of a region.

use crate::region::tally::Drained;

/// Below this utilisation, rate over utilisation says nothing of capacity.
const TELLING: f64 = 0.10;
/// A region that refuses requests is at least so full, and as much more as it refuses.
const REFUSING: f64 = 0.95;
/// A share of refusals from which a region is called saturated.
const SHEDDING: f64 = 0.01;

/// What is known of a region's load at one step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauge {
    /// It takes requests: by its evidence, or because the cap on removals retains it. Not while an operator has it out.
    pub usable: bool,
    /// Requests per second that it is able to serve, by its report or the file; with adaptive limits, what the limit gives.
    pub capacity_rps: Option<f64>,
    /// Requests per second that it takes from all replicas, by its report.
    pub rps: Option<f64>,
    /// How full it is, by its report; 1 is full.
    pub utilization: Option<f64>,
    /// Share of the requests that it refuses for overload, by its report.
    pub shed: f64,
    /// This replica's requests since the last step.
    pub traffic: Drained,
}

// === impl Gauge ===

impl Gauge {
    /// How full the region is: what it reports, and full when it refuses requests.
    pub(super) fn fullness(&self) -> Option<f64> {
        let shedding = (self.shed > SHEDDING).then_some(REFUSING + self.shed);
        let known = self.utilization.or_else(|| {
            let capacity = self.capacity_rps.filter(|capacity| *capacity > 0.0)?;
            Some(self.rps? / capacity)
        });
        match (known, shedding) {
            (Some(known), Some(shedding)) => Some(known.max(shedding)),
            (known, shedding) => known.or(shedding),
        }
    }

    /// Requests per second that it served: what it refuses is not among them.
    pub(super) fn served(&self) -> Option<f64> {
        Some(self.rps? * (1.0 - self.shed.clamp(0.0, 1.0)))
    }

    /// Whether [`Self::capacity`] is told rather than derived, so that it doesn't swing with the requests.
    pub(super) const fn is_capacity_told(&self) -> bool {
        self.shed <= SHEDDING && self.capacity_rps.is_some()
    }

    /// What it can serve. While it refuses, that is what it serves, whatever was configured.
    pub(super) fn capacity(&self) -> Option<f64> {
        if self.shed > SHEDDING {
            return self.served();
        }
        self.capacity_rps.or_else(|| {
            let utilization = self.utilization.filter(|u| *u >= TELLING)?;
            Some(self.rps? / utilization)
        })
    }
}
