//! Services of Kubernetes: the servers of each pool that has them found.

use super::Tasks;
use crate::build::Site;
use crate::plan::Plan;
use std::sync::Arc;

/// The watches, one for each pool.
#[derive(Default)]
pub(super) struct Watches(Tasks<(String, String)>);

// === impl Watches ===

impl Watches {
    /// Watches the Services of each pool of the plan, and no others. A pool whose Services change keeps its servers until
    /// those of the new ones are known.
    pub(super) fn reconcile(&mut self, plan: &Plan, site: &Arc<Site>) {
        let pools = plan.pools.iter();
        let wanted = pools.filter_map(|pool| {
            let services = pool.spec.services.as_ref()?;
            let text = format!("{services:?} {:?}", pool.spec.zone);
            Some((pool.spec.name.clone(), text))
        });
        self.0.reconcile(wanted.collect(), |(name, _)| {
            let pool = plan.pools.iter().find(|pool| pool.spec.name == *name)?;
            start(&pool.spec, site)
        });
    }
}

#[cfg(feature = "kubernetes")]
fn start(spec: &crate::build::PoolSpec, site: &Arc<Site>) -> Option<tokio::task::AbortHandle> {
    use crate::discover::kubernetes::{Target, follow};
    let target = Target {
        pool: spec.name.clone(),
        config: spec.services.clone()?,
        zone: spec.zone.clone(),
    };
    let site = site.clone();
    let task = tokio::spawn(async move {
        let stats = site.services(&target.pool);
        let lists = &site.metrics.families.discovery_lists;
        let lists = lists.with_label_values(&[&target.pool]);
        follow(&target, &site.base, &stats, |list| {
            lists.inc();
            site.set_found(&target.pool, list);
        })
        .await;
    });
    Some(task.abort_handle())
}

/// A plan with Services isn't built without the feature.
#[cfg(not(feature = "kubernetes"))]
fn start(_: &crate::build::PoolSpec, _: &Arc<Site>) -> Option<tokio::task::AbortHandle> {
    None
}
