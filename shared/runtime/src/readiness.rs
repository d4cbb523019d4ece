//! Whether a replica should get traffic.
//!
//! # Problem
//! A replica starts while the API server or the resolver is away, or refuses it: it knows no servers. Ready all the same, it replaces a
//! sister that knows them, and a rollout replaces all of them. Never ready, one name that nobody answers for keeps a whole platform down.
//!
//! # Choice
//! - An answer, be it that there is nobody, ends the wait; a failure to get one doesn't. A pool that is known to be empty is an answer.
//! - While a live sister (`peers`) is ready and knows the servers of all its pools, whoever doesn't know them is not ready: the sister serves.
//! - Without such a sister it is ready after [`PATIENCE`], with what it has. Those that gave up so don't count as sisters that know:
//!   else the first of them would keep all others out.
//! - A process that takes over from another has a sister in that one: the upgrade ends, and the old process goes on.
//! - At the global tier pools are regions. One that nobody knows leads its requests to others, so only not knowing any counts.
//!
//! - A replica that refuses for want of memory or time is not ready, so that its share goes elsewhere; but at most half of the sisters
//!   at a time, as each that goes leaves its share to the rest, and the last ones would follow.
//!
//! # Limits
//! A sister that is found by a name is not found while names aren't resolved; then the wait ends after [`PATIENCE`]. Once ready, a replica
//! stays so: servers that a later configuration adds don't make it unready.

use crate::clock;
use crate::lifecycle::Stage;
use crate::plan::{Plan, Tier};
use crate::process::Process;
use crate::tier::TierProgram;
use crate::upstream::Pool;
use lb_core::status::Readiness;
use lb_core::time::Instant;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long the first sweep of probes may keep a replica from being ready, from its start, or from when it was told of late servers.
const PROBE_GRACE: Duration = Duration::from_secs(5);
/// How long a replica waits at most to be told of servers, when nobody else knows them either.
const PATIENCE: Duration = Duration::from_secs(60);

// === impl Process ===

impl<T: TierProgram> Process<T> {
    /// Whether readiness says that this process leaves: not at once where that would end traffic sooner than it should.
    fn has_left(&self) -> bool {
        let delay = || self.shared.plan.load().shutdown.readiness_fail_delay.get();
        let left_at = self.shared.lifecycle.left_at();
        left_at.is_some_and(|at| clock::now() >= at + delay())
    }

    /// Whether this replica should get traffic.
    pub(crate) fn readiness(&self) -> Readiness {
        let lifecycle = &self.shared.lifecycle;
        let mut pending = Vec::new();
        if lifecycle.stage() == Stage::Starting {
            pending.push("listeners".to_owned());
        }
        pending.extend(self.unready(false));
        let refuses = self.shared.overload.refuses();
        let stands_aside = refuses && self.shared.peers.may_stand_aside();
        let ready = pending.is_empty() && !self.has_left() && !stands_aside;
        pending.extend(self.shared.overload.complaint());
        if refuses && !stands_aside {
            pending.push("ready all the same: too few sisters would be left".to_owned());
        }
        Readiness { ready, pending }
    }

    /// Whether it serves, and knows the servers of all its pools.
    pub(crate) fn is_informed(&self) -> bool {
        let plan = self.shared.plan.load();
        self.shared.lifecycle.stage() == Stage::Serving
            && self.unready(false).is_empty()
            && !plan.pools.iter().any(|pool| pool.is_unknown())
    }

    /// What is not known yet, or can't be reached, of what it sends requests to. `beside`: another process serves in its place as
    /// long as that is so.
    pub(crate) fn unready(&self, beside: bool) -> Vec<String> {
        let mut pending = Vec::new();
        let plan = self.shared.plan.load();
        if !self.warm.load(Relaxed) {
            let now = clock::now();
            pending.extend(self.untold(&plan, beside, now));
            let from = Instant::from_nanos(self.waited.load(Relaxed));
            if now < from + PROBE_GRACE {
                pending.extend(plan.pools.iter().filter_map(unprobed));
            }
            let regions = plan.regions.iter().flat_map(|set| set.unsettled());
            pending.extend(regions.map(|name| format!("the verdict on region {name}")));
        }
        if pending.is_empty() {
            self.warm.store(true, Relaxed);
        }
        let regions = plan.regions.clone();
        if regions.is_some_and(|set| set.together.is_isolated() && set.view().fails_open) {
            pending.push("a way to the regions: none can be reached from here".to_owned());
        }
        pending
    }

    /// Pools whose servers nobody has told yet, as long as that is waited for.
    fn untold(&self, plan: &Plan, beside: bool, now: Instant) -> Vec<String> {
        let unknown = || plan.pools.iter().filter(|pool| pool.is_unknown());
        let is_worst =
            plan.identity.tier == Tier::Regional || unknown().count() == plan.pools.len();
        // Whoever waits for this long waits for the grace of the probes, too.
        let waits = beside
            || self.shared.peers.is_any_informed()
            || now.as_nanos() < nanos(PATIENCE - PROBE_GRACE);
        if unknown().next().is_none() || !is_worst || !waits {
            return Vec::new();
        }
        self.waited.store(now.as_nanos(), Relaxed);
        let told = |pool: &Arc<Pool>| {
            let trouble = pool.lookups.trouble();
            let trouble = trouble.unwrap_or_else(|| "no answer yet".to_owned());
            format!("the servers of pool {}: {trouble}", pool.spec.name)
        };
        unknown().map(told).collect()
    }
}

/// What is left to be probed for the first time.
fn unprobed(pool: &Arc<Pool>) -> Option<String> {
    let view = pool.view();
    let is_left = |member: &&crate::upstream::Member| {
        pool.spec.check.enabled && member.endpoint.last_check().is_none()
    };
    let left = view.members.iter().filter(is_left).count();
    // An empty list that was found is an answer, too.
    let is_awaited = view.members.is_empty() && pool.found() == 0;
    let left = left + usize::from(is_awaited);
    (left > 0).then(|| format!("first probes of pool {} ({left} left)", pool.spec.name))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
