//! The servers of a pool behind Services of Kubernetes.
//!
//! # Problem
//! A rollout of thousands of pods is hundreds of changes a second, the API server is away more often than the pods are, and a list of
//! servers that is wrong for a minute must not empty a pool.
//!
//! # Choice
//! [`Follow`] lists and watches the slices of the pool's Services, and no others, by their label; core's `discovery` makes the list of servers
//! of all of them; this loop is between the two.
//!
//! - **Static stability.** Whatever goes wrong, the servers that are known stay; the age of what is known is a metric.
//! - **Nothing at all is not believed.** A Service without pods still has a slice, an empty one. No slice at all means that the
//!   Services were deleted or, after a restore, forgotten; or that the API server's data is gone. The servers stay, as those of a
//!   DNS name do that is gone; pods that are truly gone fail their checks. An empty slice is obeyed: somebody scaled to zero.
//! - **Many changes are one.** The first change after a rest counts at once; the next list is made [`GAP`] later, or ten times as long
//!   after as making it took, so that churn takes a tenth of the thread at most.
//!
//! # Rejected
//! A cache of all slices of the namespace for all pools: one watch instead of several, but memory and work for Services of no concern.
//!
//! # Limits
//! A process that starts while the API server is away knows no servers until it is back, and is not ready until then (for the grace of the
//! first probes at most). Slices are small: some 200 bytes a server.

mod convert;
mod slices;
#[cfg(test)]
mod tests;

use super::WatchStats;
use crate::clock;
use crate::kubernetes::{Access, Change, Follow, Pace};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use lb_core::config::model::KubernetesServices;
use lb_core::discovery::{Merged, Rules, merge};
use lb_core::name::ZoneName;
use slices::Slices;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The least time between two lists.
const GAP: Duration = Duration::from_millis(100);
/// Making lists takes this part of the time at most, as its inverse.
const PART: u32 = 10;

/// Whose slices are followed, and how they are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// The pool, for the log.
    pub(crate) pool: String,
    /// What the configuration says.
    pub(crate) config: KubernetesServices,
    /// The zone of this replica.
    pub(crate) zone: Option<ZoneName>,
}

/// Follows the slices of `target` and calls `on_change` with the servers whenever they may have changed. Runs until it is dropped.
/// Relative paths start at `base`.
pub(crate) async fn follow<F>(target: &Target, base: &Path, stats: &WatchStats, on_change: F)
where
    F: Fn(Arc<Merged>) + Send,
{
    let config = &target.config;
    let access = Access::new(config.kubeconfig.as_ref().map(|path| base.join(path)));
    let names: Vec<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
    let selector = format!("{} in ({})", convert::SERVICE, names.join(","));
    let mut follow: Follow<EndpointSlice> =
        Follow::new(access, config.namespace.clone(), selector, Pace::default());
    let what = format!("EndpointSlices of pool {}", target.pool);
    let mut slices = Slices::default();
    let mut known: Option<Arc<Merged>> = None;
    let mut due = clock::now();
    loop {
        let change = if slices.is_changed() {
            let wait = clock::now().until(due);
            tokio::time::timeout(wait, follow.next()).await.ok()
        } else {
            Some(follow.next().await)
        };
        match change {
            Some(Change::Broken(fault)) => stats.on_failure(&what, &fault),
            Some(change) => {
                stats.on_good(clock::now());
                slices.take(change);
            }
            None => {
                let start = clock::now();
                slices.settle();
                if slices.is_empty() && known.is_some() {
                    log::warn!("{what}: there are none any more; the last known servers stay");
                } else {
                    let list = Arc::new(merge(slices.iter(), target.rules()));
                    if known.as_ref() != Some(&list) {
                        target.tell(known.as_deref(), &list);
                        known = Some(list.clone());
                        on_change(list);
                    }
                }
                let now = clock::now();
                due = now + GAP.max(now.since(start) * PART);
            }
        }
    }
}

// === impl Target ===

impl Target {
    fn rules(&self) -> Rules<'_> {
        Rules {
            config: &self.config,
            zone: self.zone.as_ref(),
        }
    }

    /// Logs what is new.
    fn tell(&self, before: Option<&Merged>, after: &Merged) {
        let pool = &self.pool;
        for note in &after.notes {
            if !before.is_some_and(|before| before.notes.contains(note)) {
                log::warn!("pool {pool}: {note}");
            }
        }
        let leave = after.servers.iter().filter(|found| found.leaves).count();
        let (old, new) = (before.map(|list| list.servers.len()), after.servers.len());
        match old {
            None => log::info!("pool {pool}: {new} servers found, {leave} of them leave"),
            Some(old) => {
                log::debug!("pool {pool}: {new} servers after {old}, {leave} of them leave");
            }
        }
    }
}
