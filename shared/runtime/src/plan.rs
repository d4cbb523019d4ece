//! What the data path runs by: one immutable snapshot of a configuration generation.
//!
//! A reload builds a new plan and swaps it in; a request keeps the plan that it began with.

use crate::exchange::RateLimiter;
use crate::metrics::RouteMetrics;
use crate::upstream::{Pool, RegionRoute, RegionSet};
use lb_core::config::model;
use lb_core::config::scalar::Percent;
use lb_core::http::forward::{Pseudonym, Trust};
use lb_core::name::{RegionName, ReplicaName};
use lb_core::retry::{Budget, Rules};
use lb_core::route::RouteTable;
use lb_core::route::edit::HeaderPlan;
use lb_core::route::target::{PrefixRewrite, RedirectPlan};
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The tier of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Chooses a region.
    Global,
    /// Chooses a server.
    Regional,
}

/// Who this process is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its tier.
    pub tier: Tier,
    /// Its name, unique in the tier or region.
    pub replica: String,
    /// Its region, on the regional tier.
    pub region: Option<String>,
    /// Its name in `Via`.
    pub pseudonym: Pseudonym,
    /// Tells one start of the process from another.
    pub boot_id: u64,
}

/// A configuration generation at work.
#[derive(Debug)]
pub struct Plan {
    /// Counts generations, from 1.
    pub generation: u64,
    /// Who this process is.
    pub identity: Arc<Identity>,
    /// Limits against clients.
    pub limits: model::Limits,
    /// How this process leaves.
    pub shutdown: model::Shutdown,
    /// Admin addresses of the sister replicas.
    pub peers: Vec<String>,
    /// Whose forwarding headers are believed.
    pub trust: Trust,
    /// Finds the route of a request: its position in `rules`.
    pub table: RouteTable,
    /// The routes.
    pub rules: Vec<Arc<Rule>>,
    /// The pools; at the global tier, those of the regions.
    pub pools: Vec<Arc<Pool>>,
    /// The regions, on the global tier.
    pub regions: Option<Arc<RegionSet>>,
    /// Where clients are, on the global tier.
    pub geo: model::GeoSource,
    /// Requests per second that a regional replica's servers are able to serve, when that is configured.
    pub capacity_rps: Option<u32>,
    /// Counts what no route matches.
    pub unrouted: RouteMetrics,
}

/// A route at work.
#[derive(Debug)]
pub struct Rule {
    /// The route's name.
    pub name: String,
    /// Where its requests go.
    pub action: Action,
    /// Deadlines.
    pub timeouts: Deadlines,
    /// Retries in one pool or region.
    pub retry: Rules,
    /// Bounds the retries of all its requests.
    pub budget: Arc<Budget>,
    /// Bounds the rate of each client.
    pub(crate) rate_limit: Option<Arc<RateLimiter>>,
    /// Size of a request body.
    pub max_body: Option<u64>,
    /// Rewrites the target.
    pub rewrite: Option<PrefixRewrite>,
    /// Replaces the `Host` field.
    pub rewrite_host: Option<http::HeaderValue>,
    /// Disturbances for drills.
    pub fault: Option<FaultRule>,
    /// Copies to another pool.
    pub mirror: Option<MirrorRule>,
    /// Edits of the request.
    pub request_edits: HeaderPlan,
    /// Edits of the response.
    pub response_edits: HeaderPlan,
    /// Resolved metric handles.
    pub metrics: RouteMetrics,
}

/// Copies of a share of a route's requests.
#[derive(Debug)]
pub struct MirrorRule {
    /// Where they go.
    pub pool: Arc<Pool>,
    /// How many of the requests are copied.
    pub share: Percent,
    /// Bounds the copies that are under way.
    pub places: Arc<Semaphore>,
    /// Copies that were answered.
    pub answered: IntCounter,
    /// Copies that were not.
    pub failed: IntCounter,
    /// Copies that were not sent.
    pub dropped: IntCounter,
}

/// Disturbances of a route's requests.
#[derive(Debug)]
pub struct FaultRule {
    /// Which, and of how many.
    pub config: model::Fault,
    /// Requests that were held back.
    pub delayed: IntCounter,
    /// Requests that were answered with an error.
    pub aborted: IntCounter,
}

/// Where a route's requests go.
#[derive(Debug)]
pub enum Action {
    /// To a pool (regional tier).
    Pool(Arc<Pool>),
    /// To a region (global tier).
    Regions(RegionRoute),
    /// Back to the client.
    Redirect(RedirectPlan),
}

/// Deadlines of a route; see [`model::Timeouts`].
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// To open a connection.
    pub connect: Duration,
    /// From the end of the request to the response's head, per try.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// To the response's head, over all tries.
    pub request: Duration,
}

// === impl Tier ===

impl Tier {
    /// The `tier` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Regional => "regional",
        }
    }
}

// === impl Identity ===

impl Identity {
    /// Names a process.
    ///
    /// # Errors
    /// When the names can't stand in a header field; parsed names always can.
    pub fn new(
        tier: Tier,
        replica: &ReplicaName,
        region: Option<&RegionName>,
        boot_id: u64,
    ) -> Result<Self, http::Error> {
        let place = region.map(|region| format!("{}-{region}", tier.as_str()));
        let pseudonym = Pseudonym::new(place.as_deref().unwrap_or(tier.as_str()), replica)?;
        Ok(Self {
            tier,
            replica: replica.to_string(),
            region: region.map(ToString::to_string),
            pseudonym,
            boot_id,
        })
    }
}

impl From<&model::Timeouts> for Deadlines {
    fn from(timeouts: &model::Timeouts) -> Self {
        Self {
            connect: timeouts.connect.get(),
            first_byte: timeouts.first_byte.get(),
            idle: timeouts.idle.get(),
            request: timeouts.request.get(),
        }
    }
}
