//! Region reports: asked for at each regional replica's admin listener, so that an idle link is fresh too.

use super::probes::admin_of;
use super::{Tasks, ask};
use crate::clock;
use crate::plan::Plan;
use crate::upstream::{Endpoint, Pool};
use lb_core::name::ServerName;
use lb_core::region::report::RegionReport;
use lb_core::time::Instant;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often a replica is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_millis(800);

/// Where a replica is asked and where it serves, by its region's position and its name.
pub(super) type Key = (u64, usize, ServerName, SocketAddr, SocketAddr);

/// Polls every replica that has an admin address. A name that has several addresses is as many replicas.
pub(super) fn reconcile(tasks: &mut Tasks<Key>, plan: &Plan) {
    let Some(regions) = &plan.regions else { return };
    let mut wanted = Vec::new();
    for (index, region) in regions.regions.iter().enumerate() {
        let view = region.pool.view();
        for endpoint in view.members.iter().map(|member| &member.endpoint) {
            let (server, serving) = (&endpoint.key.server, endpoint.key.address);
            let mut specs = region.pool.spec.members.iter();
            let spec = specs.find(|member| member.name == *server);
            if let Some(admin) = spec.and_then(|spec| spec.admin.as_ref()) {
                let at = admin_of(admin, serving);
                wanted.push((plan.generation, index, server.clone(), at, serving));
            }
        }
    }
    let set = regions.clone();
    tasks.reconcile(wanted, |(_, index, server, at, serving)| {
        let (set, index, server) = (set.clone(), *index, server.clone());
        let (at, serving) = (*at, *serving);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            loop {
                ticks.tick().await;
                let Some(region) = set.regions.get(index) else {
                    return;
                };
                match tokio::time::timeout(TIMEOUT, report(at)).await {
                    Ok(Ok(report)) if report.region == region.name => {
                        let now = clock::now();
                        heard(&region.pool, (&server, serving), report.draining, now);
                        region.memory.record(report, now);
                    }
                    Ok(Ok(report)) => log::warn!(
                        "region {}: {at} reports for region {}: check the replica's address",
                        region.name,
                        report.region
                    ),
                    Ok(Err(error)) => {
                        log::debug!("region {}: report of {at}: {error}", region.name)
                    }
                    Err(_) => {
                        log::debug!("region {}: report of {at}: no answer in time", region.name)
                    }
                }
            }
        });
        Some(task.abort_handle())
    });
}

/// The replica of this name, at this address, leaves, or does not.
fn heard(pool: &Pool, (server, at): (&ServerName, SocketAddr), leaves: bool, now: Instant) {
    let view = pool.view();
    let all = view.members.iter().map(|member| &member.endpoint);
    let is_it =
        |endpoint: &&Arc<Endpoint>| endpoint.key.server == *server && endpoint.key.address == at;
    for endpoint in all.filter(is_it) {
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
