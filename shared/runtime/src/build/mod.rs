//! Building a plan from a configuration.
//!
//! Whatever outlives a configuration (endpoints, resolved names, reports, metrics) lives in the
//! [`Site`]; a plan only refers to it, so that a reload keeps it.

mod kept;
mod lookups;
mod pools;
mod rules;

pub use lookups::Lookups;
pub use pools::{MemberSpec, PoolSpec};

use crate::clock;
use crate::discover::WatchStats;
use crate::metrics::{Metrics, RouteMetrics};
use crate::peers::Peers;
use crate::plan::{Action, Identity, Plan};
use crate::state::Orders;
use crate::tier::{Common, TierProgram};
use crate::upstream::{
    Changes, EndpointTable, Pool, RegionCounters, RegionMemory, RegionSet, RegionsMemory,
    ServerOrders,
};
use arc_swap::ArcSwap;
use lb_core::balance::PoolLoad;
use lb_core::config::model;
use lb_core::discovery::Merged;
use lb_core::http::forward::Trust;
use lb_core::retry::Budget;
use lb_core::route::RouteTable;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What outlives a configuration.
#[derive(Debug)]
pub struct Site {
    /// Who this process is.
    pub identity: Arc<Identity>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where relative paths start: the configuration file's directory.
    pub base: PathBuf,
    /// All endpoints.
    pub endpoints: EndpointTable,
    /// Wakes the control thread.
    pub changes: Arc<Changes>,
    /// The sister replicas.
    pub peers: Arc<Peers>,
    /// What operators ordered.
    pub orders: Arc<Orders>,
    resolved: Mutex<HashMap<String, Vec<SocketAddr>>>,
    lookups: Mutex<HashMap<String, Arc<WatchStats>>>,
    /// Servers that were found, by pool, with a number for each list.
    found: Mutex<HashMap<String, (u64, Arc<Merged>)>>,
    regions: Mutex<HashMap<String, Arc<RegionMemory>>>,
    together: Arc<RegionsMemory>,
    server_orders: ArcSwap<ServerOrders>,
    loads: Mutex<HashMap<String, Arc<PoolLoad>>>,
    budgets: Mutex<HashMap<(String, String), Arc<Budget>>>,
    kept: kept::Kept,
    /// Pools that have had endpoints: whoever joins one later is a newcomer.
    settled: Mutex<HashSet<String>>,
}

/// What a tier's routes lead to.
#[derive(Debug, Default)]
pub struct Targets {
    /// The pools; at the global tier, those of the regions.
    pub pools: Vec<Arc<Pool>>,
    /// The regions, on the global tier.
    pub regions: Option<Arc<RegionSet>>,
    /// Where clients are, on the global tier.
    pub geo: model::GeoSource,
    /// Requests per second that a region's servers are able to serve, on the regional tier.
    pub capacity_rps: Option<u32>,
    /// For each route, where it leads (redirects excepted) and under which name that is counted.
    pub actions: Vec<Option<(Action, String)>>,
}

// === impl Site ===

impl Site {
    /// An empty site.
    #[must_use]
    pub fn new(identity: Identity, metrics: Arc<Metrics>, base: PathBuf) -> Self {
        let identity = Arc::new(identity);
        Self {
            peers: Arc::new(Peers::new(&identity)),
            orders: Orders::in_memory(identity.clone()),
            identity,
            metrics,
            base,
            endpoints: EndpointTable::default(),
            changes: Arc::default(),
            resolved: Mutex::default(),
            lookups: Mutex::default(),
            found: Mutex::default(),
            regions: Mutex::default(),
            together: Arc::default(),
            server_orders: ArcSwap::default(),
            loads: Mutex::default(),
            budgets: Mutex::default(),
            kept: kept::Kept::default(),
            settled: Mutex::default(),
        }
    }

    /// The addresses last found for `host:port`; a literal address is its own.
    #[must_use]
    pub fn addresses(&self, address: &str) -> Vec<SocketAddr> {
        if let Ok(literal) = address.parse() {
            return vec![literal];
        }
        let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.get(address).cloned().unwrap_or_default()
    }

    /// Remembers what a name resolved to.
    pub fn set_addresses(&self, address: &str, found: Vec<SocketAddr>) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.insert(address.to_owned(), found);
    }

    /// The servers last found for a pool, and the number of that list; 0 before the first.
    #[must_use]
    pub fn found(&self, pool: &str) -> (u64, Option<Arc<Merged>>) {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found
            .get(pool)
            .map_or((0, None), |(version, list)| (*version, Some(list.clone())))
    }

    /// Remembers which servers were found for a pool.
    pub fn set_found(&self, pool: &str, list: Arc<Merged>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let version = found.get(pool).map_or(1, |(version, _)| version + 1);
        found.insert(pool.to_owned(), (version, list));
    }

    /// What a pool carries in all; it belongs to the pool's name, not to a generation.
    #[must_use]
    pub fn load(&self, pool: &str) -> Arc<PoolLoad> {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads.entry(pool.to_owned()).or_default().clone()
    }

    /// Whether a pool has had endpoints.
    pub(super) fn is_settled(&self, pool: &str) -> bool {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.contains(pool)
    }

    /// Notes that a pool has endpoints.
    pub(super) fn settle(&self, pool: &str) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.insert(pool.to_owned());
    }

    /// A route's retry budget. It belongs to the route's name: a reload that keeps its numbers keeps what
    /// was spent.
    #[must_use]
    pub fn budget(&self, route: &str, retry: &model::Retry) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let (ratio, floor) = (retry.budget.ratio(), retry.budget_floor);
        let numbers = format!("{ratio} {floor} {}", retry.stop_when_futile);
        let make = || {
            Arc::new(if retry.stop_when_futile {
                Budget::new(ratio, floor)
            } else {
                Budget::undaunted(ratio, floor)
            })
        };
        budgets
            .entry((route.to_owned(), numbers))
            .or_insert_with(make)
            .clone()
    }

    /// What is known of a region; it belongs to the region's name.
    #[must_use]
    pub fn region(&self, name: &str, failover: &model::Failover) -> Arc<RegionMemory> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(RegionMemory::new(failover, clock::now()));
        let memory = regions.entry(name.to_owned()).or_insert_with(make).clone();
        memory.reconfigure(failover);
        memory
    }

    /// What is known of all regions together.
    #[must_use]
    pub fn together(&self) -> Arc<RegionsMemory> {
        self.together.clone()
    }

    /// Takes over what operators ordered, for regions and servers; true when it changes something for servers.
    pub fn obey(&self, unix_ms: u64) -> bool {
        let book = Arc::clone(&self.orders.book());
        let orders = ServerOrders::new(&book, unix_ms);
        self.together.orders.obey(book);
        let is_news = orders != **self.server_orders.load();
        if is_news {
            self.server_orders.store(Arc::new(orders));
        }
        is_news
    }

    /// What operators ordered for servers.
    #[must_use]
    pub fn server_orders(&self) -> Arc<ServerOrders> {
        self.server_orders.load_full()
    }

    /// What counts their changes.
    #[must_use]
    pub fn region_counters(&self) -> RegionCounters {
        let families = &self.metrics.families;
        RegionCounters {
            failovers: families.failovers.clone(),
            transitions: families.region_transitions.clone(),
        }
    }
}

/// Builds the plan of `config`.
///
/// # Errors
/// A reason that names the object. What serves now is untouched.
pub fn plan<T: TierProgram>(
    config: &T::Config,
    site: &Site,
    generation: u64,
) -> Result<Plan, String> {
    let Common {
        limits,
        shutdown,
        routes,
        trusted_proxies,
        peers,
        ..
    } = T::common(config);
    let mut targets = T::targets(config, site)?;
    let actions = std::mem::take(&mut targets.actions);
    let table = RouteTable::new(routes).map_err(|error| error.to_string())?;
    let rules = routes
        .iter()
        .zip(actions)
        .map(|(route, action)| {
            rules::rule(route, action, &targets.pools, limits, site).map(Arc::new)
        })
        .collect::<Result<_, _>>()?;
    Ok(Plan {
        generation,
        identity: site.identity.clone(),
        limits: limits.clone(),
        shutdown: shutdown.clone(),
        peers: peers.to_vec(),
        trust: Trust::new(trusted_proxies),
        table,
        rules,
        pools: targets.pools,
        regions: targets.regions,
        geo: targets.geo,
        capacity_rps: targets.capacity_rps,
        unrouted: RouteMetrics::new(&site.metrics.families, "", ""),
    })
}
