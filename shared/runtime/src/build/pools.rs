//! A pool of servers, or of a region's replicas, with its endpoints.

use super::Site;
use crate::clock;
use crate::metrics::{EndpointMetrics, PoolMetrics};
use crate::upstream::{
    Endpoint, EndpointKey, Health, Member, Pool, Protection, ServerOrders, Sticky, Target,
};
use lb_core::balance::{Load, Policy, Weight};
use lb_core::config::model::{
    Affinity, HashOn, HealthCheck, KubernetesServices, Outlier, SlowStart, UpstreamHttp,
    UpstreamTls, ZonePreference,
};
use lb_core::name::{ServerName, ZoneName};
use lb_core::time::Instant;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the configuration says of a pool, in terms that both tiers share.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// The pool's or region's name.
    pub name: String,
    /// How an endpoint is chosen.
    pub policy: Policy,
    /// What hash policies hash.
    pub hash_on: HashOn,
    /// Routable share (0.0 to 1.0) below which health is ignored.
    pub panic_threshold: f64,
    /// Outlier ejection.
    pub outlier: Outlier,
    /// The share of an endpoint that returns.
    pub slow_start: SlowStart,
    /// The zone that this replica stands in.
    pub zone: Option<ZoneName>,
    /// Endpoints of that zone first.
    pub zone_preference: ZonePreference,
    /// A cookie that keeps users on a server.
    pub affinity: Option<Affinity>,
    /// Active checks.
    pub check: HealthCheck,
    /// Limits of what may be under way.
    pub protection: Protection,
    /// HTTP version.
    pub protocol: UpstreamHttp,
    /// TLS.
    pub tls: Option<UpstreamTls>,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Whether a server's closes teach a shorter one.
    pub learn_idle_timeout: bool,
    /// How often names are resolved again.
    pub resolve_interval: Duration,
    /// The servers or replicas.
    pub members: Vec<MemberSpec>,
    /// Services of Kubernetes whose servers are found, instead of `members`.
    pub services: Option<KubernetesServices>,
}

/// A server or replica.
#[derive(Debug, Clone)]
pub struct MemberSpec {
    /// Its name.
    pub name: ServerName,
    /// `address:port` or `name:port`.
    pub address: String,
    /// Its weight; 0 is drained.
    pub weight: u32,
    /// The zone that it stands in.
    pub zone: Option<ZoneName>,
    /// Where it is probed and asked for its report, when not where it serves.
    pub admin: Option<String>,
}

/// Thresholds up to here are none: health is never ignored.
const NO_PANIC: f64 = 1e-6;

// === impl PoolSpec ===

impl PoolSpec {
    /// Whether health is ignored when too little is routable. Not among the replicas of a region: there, what is not
    /// routable sends requests to other regions.
    #[must_use]
    pub fn fails_open(&self) -> bool {
        self.panic_threshold > NO_PANIC
    }
}

#[cfg(test)]
impl PoolSpec {
    /// A pool without checks, for tests.
    pub(crate) fn plain(name: &str, members: Vec<MemberSpec>) -> Self {
        Self {
            name: name.to_owned(),
            policy: Policy::P2c,
            hash_on: HashOn::default(),
            panic_threshold: 0.5,
            outlier: Outlier::default(),
            slow_start: SlowStart::default(),
            zone: None,
            zone_preference: ZonePreference::default(),
            affinity: None,
            check: HealthCheck {
                enabled: false,
                ..HealthCheck::default()
            },
            protection: Protection::default(),
            protocol: UpstreamHttp::Http1,
            tls: None,
            idle_timeout: Duration::from_secs(60),
            learn_idle_timeout: true,
            resolve_interval: Duration::from_secs(60),
            members,
            services: None,
        }
    }
}

// === impl MemberSpec ===

impl MemberSpec {
    /// The host part of the address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.address
            .rsplit_once(':')
            .map_or(self.address.as_str(), |(host, _)| host)
    }

    /// The admin address of the process that serves at `serving`: with a name, each of its addresses has its own.
    #[must_use]
    pub fn admin_of(&self, serving: SocketAddr) -> Option<SocketAddr> {
        let admin = self.admin.as_ref()?;
        if let Ok(literal) = admin.parse() {
            return Some(literal);
        }
        let port = admin.rsplit_once(':')?.1.parse().ok()?;
        Some(SocketAddr::new(serving.ip(), port))
    }
}

// === impl Site ===

impl Site {
    /// Builds a pool. Endpoints that stay the same keep what is known of them.
    ///
    /// # Errors
    /// A reason that names the pool, when the authorities' file can't be used.
    pub fn pool(&self, spec: PoolSpec) -> Result<Arc<Pool>, String> {
        let target = Target::new(
            spec.protocol,
            spec.tls.as_ref(),
            spec.idle_timeout,
            &self.base,
        )
        .map_err(|error| format!("pool {}: {error}", spec.name))?;
        let metrics = PoolMetrics::new(&self.metrics.families, &spec.name);
        let admission = self.admission(&spec.name, &spec.protection);
        let sticky = spec
            .affinity
            .as_ref()
            .map(|affinity| Sticky::new(affinity, &spec.name, &self.base, &self.metrics.families));
        let sticky = sticky
            .transpose()
            .map_err(|error| format!("pool {}: {error}", spec.name))?;
        if spec.services.is_some() && !cfg!(feature = "kubernetes") {
            return Err(format!(
                "pool {}: this program is built without Kubernetes",
                spec.name
            ));
        }
        let (version, members) = self.members(&spec, &target);
        let lookups = self.lookups_of(&spec);
        let mut pool = Pool::new(
            spec,
            target,
            metrics,
            (admission, sticky),
            members,
            self.changes.clone(),
            clock::now(),
        );
        pool.lookups = lookups;
        pool.set_found(version);
        Ok(Arc::new(pool))
    }

    /// The endpoints of a pool by the addresses known now, and which list of found servers that is.
    #[must_use]
    pub fn members(&self, spec: &PoolSpec, target: &Target) -> (u64, Vec<Member>) {
        let mut maker = Maker {
            site: self,
            spec,
            target,
            orders: self.server_orders(),
            joins: self.is_settled(&spec.name),
            now: clock::now(),
            members: Vec::with_capacity(spec.members.len()),
        };
        let (version, found) = self.found(&spec.name);
        let found = found.filter(|_| spec.services.is_some());
        for server in found.iter().flat_map(|list| &list.servers) {
            let host = server.address.ip().to_string();
            let (weight, zone) = (server.weight, server.zone.clone());
            maker.add(&server.name, server.address, &host, weight, zone);
            if let Some(member) = maker.members.last_mut() {
                member.leaves = server.leaves;
            }
        }
        for server in &spec.members {
            for address in self.addresses(&server.address) {
                let zone = server.zone.clone();
                maker.add(&server.name, address, server.host(), server.weight, zone);
            }
        }
        let Maker {
            orders,
            now,
            members,
            ..
        } = maker;
        let ordered = orders.of(&spec.name, &members);
        for member in &members {
            let ordered = ordered.get(&member.endpoint.key.server);
            member
                .endpoint
                .set_ordered(ordered.copied().unwrap_or_default(), now);
        }
        if !members.is_empty() {
            self.settle(&spec.name);
        }
        (version, members)
    }
}

/// Makes the members of a pool.
struct Maker<'a> {
    site: &'a Site,
    spec: &'a PoolSpec,
    target: &'a Target,
    orders: Arc<ServerOrders>,
    /// Whoever is new joins a pool that is at work.
    joins: bool,
    now: Instant,
    members: Vec<Member>,
}

// === impl Maker ===

impl Maker<'_> {
    fn add(
        &mut self,
        server: &ServerName,
        address: SocketAddr,
        host: &str,
        weight: u32,
        zone: Option<ZoneName>,
    ) {
        let endpoint = self.endpoint(server, address, host);
        let given = Weight::new(weight);
        self.members.push(Member {
            endpoint,
            given,
            weight: given,
            zone,
            leaves: false,
            slow_start: self.spec.slow_start.clone(),
        });
    }

    fn endpoint(&self, server: &ServerName, address: SocketAddr, host: &str) -> Arc<Endpoint> {
        let (site, spec) = (self.site, self.spec);
        let key = EndpointKey {
            pool: spec.name.clone(),
            server: server.clone(),
            address,
            target: self.target.fingerprint(),
        };
        let endpoint = site.endpoints.get_or_make(&key, |id| {
            let metrics = EndpointMetrics::new(&site.metrics.families, &spec.name, server.as_str());
            let peer = self.target.peer(address, host);
            let load = Load::in_pool(self.now, site.load(&spec.name));
            let made = Endpoint::new(id, key.clone(), load, &spec.outlier, peer, metrics);
            if self.joins {
                made.standing.set_newcomer();
            }
            made
        });
        endpoint.reconfigure(&spec.outlier);
        endpoint.idle_limit.set_learning(spec.learn_idle_timeout);
        if !spec.check.enabled {
            endpoint.set_health(Health::Healthy, self.now);
        }
        endpoint
    }
}
