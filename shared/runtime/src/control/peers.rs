//! Sister replicas: each is asked once a second who it is, at its admin listener.

use super::{Tasks, ask};
use crate::build::Site;
use crate::clock;
use crate::plan::Plan;
use lb_core::status::ReplicaIdentity;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often a peer is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Asks every address that the plan's peers have now, and no other.
pub(super) fn reconcile(tasks: &mut Tasks<SocketAddr>, plan: &Plan, site: &Arc<Site>) {
    let addresses = plan.peers.iter().flat_map(|peer| site.addresses(peer));
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    site.peers.set(&addresses);
    tasks.reconcile(addresses, |address| {
        let (peers, address) = (site.peers.clone(), *address);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let answer = tokio::time::timeout(TIMEOUT, who(address)).await;
                let who = answer.map_err(anyhow::Error::from).flatten();
                if let Err(error) = &who {
                    log::debug!("peer {address}: {error}");
                }
                peers.learn(address, who.as_ref().ok(), clock::now());
            }
        });
        Some(task.abort_handle())
    });
}

async fn who(address: SocketAddr) -> anyhow::Result<ReplicaIdentity> {
    let body = ask::get(&address.to_string(), "/api/v1/replica").await?;
    Ok(serde_json::from_slice(&body)?)
}
