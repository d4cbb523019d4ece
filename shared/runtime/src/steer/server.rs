//! Orders on servers.

use super::{Check, unknown};
use crate::admin::Written;
use crate::clock;
use crate::upstream::{Pool, ServerOrders};
use crate::worker::Shared;
use lb_core::drain::{Refusal, Rule, Scope};
use lb_core::name::{PoolName, ServerName};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most names in the hint of an unknown server: a pool may have thousands.
const MOST_NAMES: usize = 20;

/// The server of a name in a pool: of the file, of what was found, or of an order, as one that was drained may be unlisted now.
pub(super) fn find(shared: &Shared, pool: &str, server: &str) -> Result<Scope, Written> {
    let plan = shared.plan.load();
    let Some(found) = plan.pools.iter().find(|p| p.spec.name == pool) else {
        let names: Vec<String> = plan.pools.iter().map(|p| p.spec.name.clone()).collect();
        return Err(unknown(&format!("pool \"{pool}\""), &names));
    };
    let view = found.view();
    let written = found.spec.members.iter().map(|member| &member.name);
    let listed = view.members.iter().map(|m| &m.endpoint.key.server);
    let names: BTreeSet<&str> = written.chain(listed).map(ServerName::as_str).collect();
    let scope = || {
        let (pool, server) = (PoolName::new(pool).ok()?, ServerName::new(server).ok()?);
        Some(Scope::Server { pool, server })
    };
    let is_there =
        |scope: &Scope| names.contains(server) || shared.orders.book().get(scope).is_some();
    scope().filter(is_there).ok_or_else(|| {
        let mut known: Vec<String> = names.iter().take(MOST_NAMES).map(|n| (*n).into()).collect();
        if names.len() > MOST_NAMES {
            known.push(format!("and {} more", names.len() - MOST_NAMES));
        }
        unknown(&format!("server \"{server}\" in pool \"{pool}\""), &known)
    })
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

/// Whether its order is not obeyed, as it would leave no server with the earlier ones.
pub(super) fn is_suspended(shared: &Shared, pool: &str, server: &ServerName, now_ms: u64) -> bool {
    let orders = ServerOrders::new(&shared.orders.book(), now_ms);
    pool_of(shared, pool).is_some_and(|pool| {
        let members = &pool.view().members;
        orders.suspended(&pool.spec.name, members).contains(server)
    })
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
