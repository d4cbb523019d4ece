//! Active checks: one task for each endpoint.

use super::Tasks;
use crate::build::MemberSpec;
use crate::clock;
use crate::plan::Plan;
use crate::probe::{self, CheckSnapshot};
use crate::probe::{CheckKind, ProbeTarget, ProbeTls, Prober};
use crate::upstream::{Endpoint, EndpointKey, Health, Pool};
use crate::worker::Shared;
use lb_core::config::model::UpstreamHttp;
use lb_core::health::{CheckState, ProbeResult, Verdict};
use rand::RngExt;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use tokio::task::AbortHandle;

/// What makes a check another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    endpoint: EndpointKey,
    check: String,
    at: SocketAddr,
}

/// An endpoint that is to be probed.
struct Wanted {
    key: Key,
    pool: Arc<Pool>,
    endpoint: Arc<Endpoint>,
    authority: String,
}

/// Starts and ends checks, so that each endpoint of the plan has the one that it should.
pub(super) fn reconcile(tasks: &mut Tasks<Key>, plan: &Plan, shared: &Arc<Shared>) {
    let wanted: Vec<Wanted> = plan.pools.iter().flat_map(wanted).collect();
    let keys = wanted.iter().map(|wanted| wanted.key.clone()).collect();
    let mut by_key = wanted
        .into_iter()
        .map(|w| (w.key.clone(), w))
        .collect::<HashMap<_, _>>();
    tasks.reconcile(keys, |key| spawn(by_key.remove(key)?, shared));
}

fn wanted(pool: &Arc<Pool>) -> Vec<Wanted> {
    if !pool.spec.check.enabled {
        return Vec::new();
    }
    let check = format!("{:?} {:?}", pool.spec.check, pool.spec.tls);
    let view = pool.view();
    let specs = pool.spec.members.iter().map(|spec| (&spec.name, spec));
    let specs: HashMap<_, _> = specs.collect();
    let of = |member: &crate::upstream::Member| {
        let endpoint = member.endpoint.clone();
        // Servers that were found have no lines of their own.
        let spec = specs.get(&endpoint.key.server).copied();
        let serving = endpoint.key.address;
        let key = Key {
            at: address(pool, spec, serving),
            endpoint: endpoint.key.clone(),
            check: check.clone(),
        };
        Some(Wanted {
            key,
            pool: pool.clone(),
            authority: spec.map_or_else(|| serving.to_string(), |spec| spec.address.clone()),
            endpoint,
        })
    };
    view.members.iter().filter_map(of).collect()
}

/// Where the probe goes: the admin address, the check's own port, or where the endpoint serves.
fn address(pool: &Pool, spec: Option<&MemberSpec>, serving: SocketAddr) -> SocketAddr {
    let admin = spec.and_then(|spec| spec.admin_of(serving));
    let mut address = admin.unwrap_or(serving);
    if let Some(port) = pool.spec.check.port {
        address.set_port(port);
    }
    address
}

fn spawn(wanted: Wanted, shared: &Arc<Shared>) -> Option<AbortHandle> {
    let Wanted {
        key,
        pool,
        endpoint,
        authority,
    } = wanted;
    // An admin listener speaks plain HTTP/1.1 whatever the data port speaks.
    let own = key.at.port() == endpoint.key.address.port();
    let tls = match pool
        .spec
        .tls
        .as_ref()
        .filter(|_| own)
        .map(ProbeTls::new)
        .transpose()
    {
        Ok(tls) => tls.map(Arc::new),
        Err(error) => {
            log::error!(
                "pool {} server {}: check: {error}",
                key.endpoint.pool,
                key.endpoint.server
            );
            return None;
        }
    };
    let prober = Prober::new(ProbeTarget {
        address: key.at,
        authority,
        check: Arc::new(CheckKind::of(&pool.spec.check)),
        tls,
        h2: own && pool.spec.protocol == UpstreamHttp::H2,
        timeout: pool.spec.check.timeout.get(),
    });
    let prober = match prober {
        Ok(prober) => prober,
        Err(error) => {
            log::error!(
                "pool {} server {}: check: {error}",
                key.endpoint.pool,
                key.endpoint.server
            );
            return None;
        }
    };
    let state = CheckState::new(&pool.spec.check);
    let seed = clock::with_rng(|rng| rng.random());
    let (endpoint, shared) = (Arc::downgrade(&endpoint), shared.clone());
    let on_change = move |snapshot| learn(&shared, &endpoint, snapshot);
    let run = probe::run(
        prober,
        state,
        clock::now,
        seed,
        on_change,
        std::future::pending(),
    );
    Some(tokio::spawn(run).abort_handle())
}

/// Takes a probe's result in. Runs on the control thread, and so brings the views up to date itself; the
/// snapshot is kept last, because a replica is ready when each endpoint has one.
fn learn(shared: &Shared, endpoint: &Weak<Endpoint>, snapshot: CheckSnapshot) {
    let Some(endpoint) = endpoint.upgrade() else {
        return;
    };
    let pool = endpoint.key.pool.as_str();
    let result = snapshot.last.result;
    let label = result.failure().map_or("pass", |failure| failure.label());
    let checks = &shared.metrics.families.health_checks;
    checks.with_label_values(&[pool, label]).inc();
    if result.failure().is_none() {
        let plan = shared.plan.load();
        let regions = plan.regions.iter().flat_map(|set| &set.regions);
        if let Some(region) = regions.into_iter().find(|r| r.name.as_str() == pool) {
            region.memory.probe_passed();
        }
    }
    let health = match snapshot.verdict {
        Verdict::Healthy => Some(Health::Healthy),
        Verdict::Unhealthy => Some(Health::Unhealthy),
        Verdict::Unknown => None,
    };
    if health.is_some_and(|health| endpoint.set_health(health, clock::now())) {
        if health == Some(Health::Healthy) {
            endpoint.load.forgive();
        }
        announce(shared, &endpoint, result);
        let plan = shared.plan.load();
        if let Some(pool) = plan.pools.iter().find(|known| known.spec.name == pool) {
            pool.mark_stale();
        }
        super::refresh(&plan);
    }
    endpoint.set_last_check(snapshot);
}

/// Logs and counts a change of health.
fn announce(shared: &Shared, endpoint: &Endpoint, result: ProbeResult) {
    let (pool, server) = (endpoint.key.pool.as_str(), &endpoint.key.server);
    let reason = match result.failure() {
        None => {
            log::info!("pool {pool} server {server}: healthy");
            "pass"
        }
        Some(failure) => {
            log::warn!("pool {pool} server {server}: unhealthy: {failure}");
            failure.label()
        }
    };
    let transitions = &shared.metrics.families.health_transitions;
    transitions.with_label_values(&[pool, reason]).inc();
}
