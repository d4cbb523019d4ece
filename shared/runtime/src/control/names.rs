//! Host names of servers: resolved again and again, the last good answer kept.

use super::Tasks;
use crate::build::{MemberSpec, Site};
use crate::clock;
use crate::discover::{SystemResolver, WatchTarget, watch};
use crate::plan::Plan;
use rand::RngExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest time between two questions for the peers' names.
const PEERS: Duration = Duration::from_secs(5);

/// What makes a watch another one.
pub(super) type Key = (String, Duration);

/// The system's resolver, when it can be set up; without it, names stay as they were.
pub(super) fn resolver() -> Option<Arc<SystemResolver>> {
    match SystemResolver::new() {
        Ok(resolver) => Some(Arc::new(resolver)),
        Err(error) => {
            log::warn!("host names of servers can't be resolved: {error}");
            None
        }
    }
}

/// Whether a name's addresses differ from those in the plan's pools.
pub(super) fn changed(plan: &Plan, site: &Site) -> bool {
    plan.pools.iter().any(|pool| {
        if pool.spec.services.is_some() {
            return pool.found() != site.found(&pool.spec.name).0;
        }
        let names = pool
            .spec
            .members
            .iter()
            .filter(|m| m.address.parse::<SocketAddr>().is_err());
        let view = pool.view();
        names.into_iter().any(|member| {
            let known = site.addresses(&member.address);
            let used = view
                .members
                .iter()
                .filter(|used| used.endpoint.key.server == member.name)
                .map(|used| used.endpoint.key.address);
            !known.iter().copied().eq(used)
        })
    })
}

/// Puts the addresses known now into the pools.
pub(super) fn settle(plan: &Plan, site: &Site) {
    for pool in &plan.pools {
        let is_name = |m: &MemberSpec| m.address.parse::<SocketAddr>().is_err();
        if pool.spec.services.is_some() || pool.spec.members.iter().any(is_name) {
            let (version, members) = site.members(&pool.spec, &pool.target);
            pool.replace(members, clock::now());
            pool.set_found(version);
        }
    }
}

/// Watches each name of the plan.
pub(super) fn reconcile(
    tasks: &mut Tasks<Key>,
    plan: &Plan,
    site: &Arc<Site>,
    resolver: Option<&Arc<SystemResolver>>,
) {
    let Some(resolver) = resolver else { return };
    let names = plan.pools.iter().flat_map(|pool| {
        let interval = pool.spec.resolve_interval;
        pool.spec
            .members
            .iter()
            .map(move |member| (member.address.clone(), interval))
    });
    let peers = plan.peers.iter().map(|peer| (peer.clone(), PEERS));
    let names = names
        .chain(peers)
        .filter(|(address, _)| address.parse::<SocketAddr>().is_err());
    let mut wanted: Vec<Key> = names.collect();
    wanted.sort();
    wanted.dedup();
    tasks.reconcile(wanted, |(address, interval)| {
        let (name, port) = address.rsplit_once(':')?;
        let target = WatchTarget {
            name: name.to_owned(),
            port: port.parse().ok()?,
            interval: *interval,
        };
        let (site, resolver, address) = (site.clone(), resolver.clone(), address.clone());
        let task = tokio::spawn(async move {
            let stats = site.lookups(&address);
            let seed = clock::with_rng(|rng| rng.random());
            let on_change = |found: Vec<SocketAddr>| {
                log::info!("{address} resolves to {found:?}");
                site.set_addresses(&address, found);
            };
            watch(
                resolver.as_ref(),
                &target,
                &stats,
                clock::now,
                seed,
                on_change,
            )
            .await;
        });
        Some(task.abort_handle())
    });
}
