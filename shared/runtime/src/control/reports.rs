//! Region reports: asked for at each regional replica's admin listener, so that an idle link is fresh too.

use super::{Tasks, ask};
use crate::build::MemberSpec;
use crate::clock;
use crate::plan::Plan;
use crate::upstream::Pool;
use lb_core::region::report::RegionReport;
use lb_core::time::Instant;
use std::time::Duration;

/// How often a replica is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_millis(800);

/// A replica's admin address, in a region's position and name.
pub(super) type Key = (u64, usize, String);

/// Polls every replica that has an admin address.
pub(super) fn reconcile(tasks: &mut Tasks<Key>, plan: &Plan) {
    let Some(regions) = &plan.regions else { return };
    let wanted = regions
        .regions
        .iter()
        .enumerate()
        .flat_map(|(index, region)| {
            let admins = region
                .pool
                .spec
                .members
                .iter()
                .filter_map(|member| member.admin.clone());
            admins.map(move |admin| (plan.generation, index, admin))
        });
    let set = regions.clone();
    tasks.reconcile(wanted.collect(), |(_, index, admin)| {
        let (set, index, admin) = (set.clone(), *index, admin.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            loop {
                ticks.tick().await;
                let Some(region) = set.regions.get(index) else {
                    return;
                };
                match tokio::time::timeout(TIMEOUT, report(&admin)).await {
                    Ok(Ok(report)) if report.region == region.name => {
                        let now = clock::now();
                        heard(&region.pool, &admin, report.draining, now);
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

/// The replica with this admin address leaves, or does not.
fn heard(pool: &Pool, admin: &str, leaves: bool, now: Instant) {
    let of = |member: &&MemberSpec| member.admin.as_deref() == Some(admin);
    let names = pool
        .spec
        .members
        .iter()
        .filter(of)
        .map(|member| &member.name);
    let view = pool.view();
    for name in names {
        let all = view.members.iter().map(|member| &member.endpoint);
        for endpoint in all.filter(|endpoint| endpoint.key.server == *name) {
            if leaves {
                pool.note_leaving(endpoint, now);
            } else {
                pool.note_staying(endpoint, now);
            }
        }
    }
}

async fn report(admin: &str) -> anyhow::Result<RegionReport> {
    let body = ask::get(admin, "/api/v1/region-status").await?;
    Ok(serde_json::from_slice(&body)?)
}
