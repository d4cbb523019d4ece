//! Region reports: asked for at each regional replica's admin listener, so that an idle link is fresh too.

use super::Tasks;
use crate::clock;
use crate::plan::Plan;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use lb_core::region::report::RegionReport;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// How often a replica is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_millis(800);
/// Size of one answer.
const MAX_ANSWER: usize = 16 << 10;

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
                match tokio::time::timeout(TIMEOUT, ask(&admin)).await {
                    Ok(Ok(report)) if report.region == region.name => {
                        region.memory.record(report, clock::now());
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

async fn ask(admin: &str) -> anyhow::Result<RegionReport> {
    let stream = match admin.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect(address).await?,
        Err(_) => TcpStream::connect(admin).await?,
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = http::Request::get("/api/v1/region-status")
        .header(http::header::HOST, admin)
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(
        response.status().is_success(),
        "status {}",
        response.status()
    );
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    driver.abort();
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    Ok(serde_json::from_slice(&body)?)
}
