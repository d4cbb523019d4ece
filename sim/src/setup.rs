//! What a run begins with.

use lb_core::balance::Policy;
use lb_core::config::model::RegionOrder;
use std::time::Duration;

/// A topology and its load.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Seed of all randomness.
    pub seed: u64,
    /// Global replicas.
    pub globals: usize,
    /// Regions.
    pub regions: usize,
    /// Replicas in each region.
    pub replicas: usize,
    /// Servers in each region.
    pub servers: usize,
    /// Requests that a server works on at one time.
    pub slots: usize,
    /// Mean time that a server works on a request, off by up to a half.
    pub service: Duration,
    /// Requests per second of all users.
    pub rps: f64,
    /// Clients, told apart by a hash.
    pub clients: u64,
    /// How regions are ranked. Regions have equal weight and priority; with [`RegionOrder::Priority`] they get rising ones.
    pub order: RegionOrder,
    /// How a server is chosen.
    pub policy: Policy,
    /// How long the run lasts.
    pub length: Duration,
    /// What is switched on.
    pub on: Mechanisms,
}

/// Mechanisms that a negative control switches off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms {
    /// Outlier ejection in both tiers.
    pub ejection: bool,
    /// The cap on ejections.
    pub ejection_cap: bool,
    /// The panic threshold of pools.
    pub panic: bool,
    /// Failures raise an endpoint's cost.
    pub penalty: bool,
    /// The retry budget.
    pub budget: bool,
    /// Traffic as evidence on regions: it convicts and acquits.
    pub traffic: bool,
    /// The cap on what goes out, and failing open.
    pub removal: bool,
    /// Spill, room and refusal.
    pub waterfall: bool,
    /// Regions that turn slow give away their share.
    pub latency_shift: bool,
    /// Returning regions ramp up.
    pub ramp: bool,
    /// Weight 0 drains.
    pub drain: bool,
}

// === impl Mechanisms ===

impl Mechanisms {
    /// Everything, as it is shipped.
    pub const ALL: Self = Self {
        ejection: true,
        ejection_cap: true,
        panic: true,
        penalty: true,
        budget: true,
        traffic: true,
        removal: true,
        waterfall: true,
        latency_shift: true,
        ramp: true,
        drain: true,
    };
}

// === impl Setup ===

impl Setup {
    /// Three regions of two replicas and four servers, half full.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            globals: 2,
            regions: 3,
            replicas: 2,
            servers: 4,
            slots: 2,
            service: Duration::from_millis(40),
            rps: 300.0,
            clients: 1000,
            order: RegionOrder::Weighted,
            policy: Policy::P2c,
            length: Duration::from_secs(90),
            on: Mechanisms::ALL,
        }
    }

    /// Requests per second that one region is able to serve.
    #[must_use]
    pub fn region_capacity(&self) -> f64 {
        (self.servers * self.slots) as f64 / self.service.as_secs_f64()
    }

    /// The same setup with load for this share of all capacity.
    #[must_use]
    pub fn at(mut self, utilisation: f64) -> Self {
        self.rps = utilisation * self.region_capacity() * self.regions as f64;
        self
    }
}
