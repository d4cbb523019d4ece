//! Region reports: asked for at each regional replica's admin listener, so that an idle link is fresh too.

use super::{Tasks, ask};
use crate::clock;
use crate::plan::Plan;
use crate::upstream::{Endpoint, Member, Pool};
use lb_core::region::report::RegionReport;
use lb_core::time::Instant;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often a replica is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_millis(800);

/// An admin address of a replica, in a region's position. A name with several addresses stands for as many replicas.
pub(super) type Key = (u64, usize, SocketAddr);

/// Polls every replica that has an admin address.
pub(super) fn reconcile(tasks: &mut Tasks<Key>, plan: &Plan) {
    let Some(regions) = &plan.regions else { return };
    let wanted = regions
        .regions
        .iter()
        .enumerate()
        .flat_map(|(index, region)| {
            let admins = endpoints(&region.pool).into_iter();
            admins.map(move |(admin, _)| (plan.generation, index, admin))
        });
    let set = regions.clone();
    tasks.reconcile(wanted.collect(), |(_, index, admin)| {
        let (set, index, admin) = (set.clone(), *index, *admin);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            loop {
                ticks.tick().await;
                let Some(region) = set.regions.get(index) else {
                    return;
                };
                match tokio::time::timeout(TIMEOUT, report(admin)).await {
                    Ok(Ok(report)) if report.region == region.name => {
                        let now = clock::now();
                        heard(&region.pool, admin, report.draining, now);
                        region.memory.record(report, now);
                    }
                    Ok(Ok(report)) => log::warn!(
                        "region {}: {admin} reports for region {}: check the replica's address",
                        region.name,
                        report.region
                    ),
                    Ok(Err(error)) => {
                        log::debug!("region {}: report of {admin}: {error}", region.name)
                    }
                    Err(_) => log::debug!(
                        "region {}: report of {admin}: no answer in time",
                        region.name
                    ),
                }
            }
        });
        Some(task.abort_handle())
    });
}

/// The endpoints of a region's replicas, each with its admin address.
fn endpoints(pool: &Pool) -> Vec<(SocketAddr, Arc<Endpoint>)> {
    let view = pool.view();
    let of = |member: &Member| {
        let endpoint = member.endpoint.clone();
        let mut specs = pool.spec.members.iter();
        let spec = specs.find(|spec| spec.name == endpoint.key.server)?;
        Some((spec.admin_of(endpoint.key.address)?, endpoint))
    };
    view.members.iter().filter_map(of).collect()
}

/// The replica with this admin address leaves, or does not.
fn heard(pool: &Pool, admin: SocketAddr, leaves: bool, now: Instant) {
    for (_, endpoint) in endpoints(pool).iter().filter(|(at, _)| *at == admin) {
        if leaves {
            pool.note_leaving(endpoint, now);
        } else {
            pool.note_staying(endpoint, now);
        }
    }
}

async fn report(admin: SocketAddr) -> anyhow::Result<RegionReport> {
    let body = ask::get(&admin.to_string(), "/api/v1/region-status").await?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests;
