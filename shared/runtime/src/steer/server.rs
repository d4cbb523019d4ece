//! Orders on servers.

use super::{Check, unknown};
use crate::admin::Written;
use crate::clock;
use crate::upstream::Pool;
use crate::worker::Shared;
use lb_core::drain::{Refusal, Rule, Scope};
use lb_core::name::{PoolName, ServerName};
use std::sync::Arc;

/// The server of a name in a pool.
pub(super) fn find(shared: &Shared, pool: &str, server: &str) -> Result<Scope, Written> {
    let plan = shared.plan.load();
    let Some(found) = plan.pools.iter().find(|p| p.spec.name == pool) else {
        let names: Vec<String> = plan.pools.iter().map(|p| p.spec.name.clone()).collect();
        return Err(unknown(&format!("pool \"{pool}\""), &names));
    };
    let names: Vec<String> = found
        .spec
        .members
        .iter()
        .map(|m| m.name.to_string())
        .collect();
    let scope = || {
        let (pool, server) = (PoolName::new(pool).ok()?, ServerName::new(server).ok()?);
        Some(Scope::Server { pool, server })
    };
    let is_there = names.iter().any(|name| name == server);
    let what = format!("server \"{server}\" in pool \"{pool}\"");
    scope()
        .filter(|_| is_there)
        .ok_or_else(|| unknown(&what, &names))
}

/// 0 when it is drained, else 1.
pub(super) fn share(shared: &Shared, pool: &str, server: &ServerName) -> f64 {
    let drained = pool_of(shared, pool).is_some_and(|pool| {
        let view = pool.view();
        let mut members = view.members.iter();
        members.any(|m| m.endpoint.key.server == *server && m.endpoint.is_drained())
    });
    if drained { 0.0 } else { 1.0 }
}

/// Whether another server of the pool takes requests.
pub(super) fn check(shared: &Shared, pool: &str, server: &ServerName) -> Check {
    let now = clock::now();
    let is_last = pool_of(shared, pool).is_some_and(|pool| {
        let view = pool.view();
        let of = |own: bool| {
            let members = view.members.iter().filter(|m| m.is_routable(now));
            members
                .filter(move |m| (m.endpoint.key.server == *server) == own)
                .count()
        };
        of(true) > 0 && of(false) == 0
    });
    let why = format!("{server} is the last healthy server of pool {pool}");
    let last = is_last.then_some(Refusal {
        rule: Rule::LastServer,
        why,
    });
    Check {
        refusals: last.into_iter().collect(),
        forecast: None,
    }
}

/// This replica's requests that are in flight there.
pub(super) fn in_flight(shared: &Shared, pool: &str, server: &ServerName) -> u64 {
    let Some(pool) = pool_of(shared, pool) else {
        return 0;
    };
    let view = pool.view();
    let members = view
        .members
        .iter()
        .filter(|m| m.endpoint.key.server == *server);
    members
        .map(|m| u64::from(m.endpoint.load.in_flight()))
        .sum()
}

fn pool_of(shared: &Shared, name: &str) -> Option<Arc<Pool>> {
    let plan = shared.plan.load();
    plan.pools
        .iter()
        .find(|pool| pool.spec.name == name)
        .cloned()
}
