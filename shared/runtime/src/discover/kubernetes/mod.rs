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
//!   DNS name do that is gone; pods that are truly gone fail their checks. An empty slice is obeyed: somebody scaled to zero. What is
//!   ready and can't be used (a port that was renamed) is a failure, not an empty pool. Core's `Shelf` decides that.
//! - **Many changes are one.** The first change after a rest counts at once; the next list is made [`GAP`] later, or ten times as long
//!   after as making it took, so that churn takes a tenth of the thread at most.
//!
//! # Rejected
//! A cache of all slices of the namespace for all pools: one watch instead of several, but memory and work for Services of no concern.
//!
//! # Limits
//! A process that starts while the API server is away knows no servers until it is back; `readiness` says how long it waits. What is
//! kept of slices is small, some 200 bytes a server, and bounded: a list that is too long is refused whole, and the last one stays.

mod convert;
#[cfg(test)]
mod tests;

use self::convert::slice;
use super::WatchStats;
use crate::clock;
use crate::kubernetes::{Access, Bound, Change, Fault, Follow, Pace};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use lb_core::config::model::KubernetesServices;
use lb_core::discovery::{Merged, Rules, Shelf, Stays, TooMany};
use lb_core::name::ZoneName;
use lb_core::time::Instant;
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
    let follow: Follow<EndpointSlice> =
        Follow::new(access, config.namespace.clone(), selector, Pace::default());
    let limit = TooMany::of(config);
    let mut follow = follow.bounded(Bound {
        most: limit.most,
        weigh: |slice| slice.endpoints.len(),
        refusal: limit.to_string(),
    });
    let mut list = List::new(target, stats, on_change);
    loop {
        let change = match list.due() {
            Some(due) => {
                let wait = clock::now().until(due);
                tokio::time::timeout(wait, follow.next()).await.ok()
            }
            None => Some(follow.next().await),
        };
        let Some(change) = change else {
            list.make();
            continue;
        };
        if let Err(refused) = list.take(change) {
            // What is known isn't what there is any more: everything again.
            list.fail(&follow.give_up(Fault::new(refused.to_string())));
        }
    }
}

/// What a list is made of, and the last one.
struct List<'a, F> {
    target: &'a Target,
    stats: &'a WatchStats,
    on_change: F,
    /// What is followed, for the log.
    what: String,
    shelf: Shelf,
    known: Option<Arc<Merged>>,
    /// The next list isn't made before.
    rests_until: Instant,
    /// What is told can't be used: its age grows.
    is_useless: bool,
}

// === impl List ===

impl<'a, F: Fn(Arc<Merged>)> List<'a, F> {
    fn new(target: &'a Target, stats: &'a WatchStats, on_change: F) -> Self {
        Self {
            target,
            stats,
            on_change,
            what: format!("EndpointSlices of pool {}", target.pool),
            shelf: Shelf::default(),
            known: None,
            rests_until: clock::now(),
            is_useless: false,
        }
    }

    /// When a list is to be made, if nothing happens until then.
    fn due(&self) -> Option<Instant> {
        if self.shelf.is_changed() {
            return Some(self.rests_until);
        }
        self.shelf.decides_at()
    }

    fn take(&mut self, change: Change<EndpointSlice>) -> Result<(), TooMany> {
        let (config, now) = (&self.target.config, clock::now());
        match change {
            Change::Broken(fault) => {
                self.fail(&fault);
                return Ok(());
            }
            Change::All(all) => {
                let all = all.into_iter().map(slice).collect();
                self.shelf.take_all(all, config, now)?;
            }
            Change::Applied(one) => self.shelf.take(slice(one), config, now)?,
            Change::Deleted(one) => {
                let name = one.metadata.name.unwrap_or_default();
                self.shelf.forget(&name, config, now);
            }
            Change::Heard => {}
        }
        if !self.is_useless {
            self.stats.on_good(now);
        }
        Ok(())
    }

    fn fail(&self, fault: &Fault) {
        self.stats.on_failure(&self.what, fault);
    }

    /// Makes a list, and tells it when it is news.
    fn make(&mut self) {
        let start = clock::now();
        let (list, stays) = self.shelf.list(self.target.rules(), start);
        let was_useless = std::mem::replace(&mut self.is_useless, stays == Some(Stays::Useless));
        if was_useless && !self.is_useless {
            self.stats.on_good(start);
        }
        match stays {
            Some(Stays::NoSlices) => {
                let what = &self.what;
                log::warn!("{what}: there are none any more; the last known servers stay");
            }
            Some(Stays::Useless) => {
                let notes: Vec<String> = list.notes.iter().map(ToString::to_string).collect();
                self.fail(&Fault::new(notes.join("; ")));
            }
            None => {}
        }
        if !list.is_useless() && self.known.as_deref() != Some(&list) {
            let list = Arc::new(list);
            self.target.tell(self.known.as_deref(), &list);
            self.known = Some(list.clone());
            (self.on_change)(list);
            self.stats.on_told();
        }
        let now = clock::now();
        self.rests_until = now + GAP.max(now.since(start) * PART);
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
