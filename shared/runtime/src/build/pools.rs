//! A pool of servers, or of a region's replicas, with its endpoints.

use super::Site;
use crate::clock;
use crate::metrics::{EndpointMetrics, PoolMetrics};
use crate::upstream::{Endpoint, EndpointKey, Health, Member, Pool, Protection, Target};
use lb_core::balance::{Load, Policy, Weight};
use lb_core::config::model::{HashOn, HealthCheck, Outlier, UpstreamHttp, UpstreamTls};
use lb_core::name::{ServerName, ZoneName};
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
    /// How often names are resolved again.
    pub resolve_interval: Duration,
    /// The servers or replicas.
    pub members: Vec<MemberSpec>,
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

// === impl MemberSpec ===

impl MemberSpec {
    /// The host part of the address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.address
            .rsplit_once(':')
            .map_or(self.address.as_str(), |(host, _)| host)
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
        let members = self.members(&spec, &target);
        Ok(Arc::new(Pool::new(
            spec,
            target,
            metrics,
            admission,
            members,
            self.changes.clone(),
            clock::now(),
        )))
    }

    /// The endpoints of a pool by the addresses known now.
    #[must_use]
    pub fn members(&self, spec: &PoolSpec, target: &Target) -> Vec<Member> {
        let mut members = Vec::with_capacity(spec.members.len());
        for server in &spec.members {
            for address in self.addresses(&server.address) {
                let endpoint = self.endpoint(spec, server, address, target);
                members.push(Member {
                    endpoint,
                    weight: Weight::new(server.weight),
                });
            }
        }
        members
    }

    fn endpoint(
        &self,
        spec: &PoolSpec,
        server: &MemberSpec,
        address: SocketAddr,
        target: &Target,
    ) -> Arc<Endpoint> {
        let key = EndpointKey {
            pool: spec.name.clone(),
            server: server.name.clone(),
            address,
            target: target.fingerprint(),
        };
        let families = &self.metrics.families;
        let endpoint = self.endpoints.get_or_make(&key, |id| {
            let metrics = EndpointMetrics::new(families, &spec.name, server.name.as_str());
            let peer = target.peer(address, server.host());
            let (key, zone) = (key.clone(), server.zone.clone());
            let load = Load::in_pool(clock::now(), self.load(&spec.name));
            Endpoint::new(id, key, zone, load, &spec.outlier, peer, metrics)
        });
        endpoint.reconfigure(&spec.outlier);
        if !spec.check.enabled {
            endpoint.set_health(Health::Healthy);
        }
        endpoint
    }
}
