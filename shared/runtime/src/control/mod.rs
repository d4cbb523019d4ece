//! The control thread: everything that is not a request.
//!
//! Probes, name resolution, region reports and the rebuilding of views run here, on an event loop of
//! their own, until the process exits: the data path never waits for them, and they never wait for it.

mod ask;
mod gauges;
mod names;
mod peers;
mod probes;
mod reports;
mod services;

use crate::build::Site;
use crate::clock;
use crate::overload::Watch;
use crate::plan::Plan;
use crate::worker::Shared;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often everything is looked at. A change of an endpoint wakes the thread without waiting for it.
const TICK: Duration = Duration::from_millis(50);
/// How often endpoints are compared with their peers, and gauges brought up to date.
const EXPORT: Duration = Duration::from_secs(1);

/// After changes of addresses none are looked at for this many times as long as they took: a pool of 10,000 servers that changes
/// all the time takes an eighth of the thread at most.
const REST: u32 = 8;

/// Tasks by what they are for. A task ends when its purpose does.
struct Tasks<K> {
    running: HashMap<K, AbortHandle>,
}

/// Starts the thread.
///
/// # Errors
/// The operating system gives no thread or no event loop.
pub(crate) fn start(shared: Arc<Shared>, site: Arc<Site>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let run = move || runtime.block_on(run(shared, site));
    std::thread::Builder::new()
        .name("control".into())
        .spawn(run)
}

async fn run(shared: Arc<Shared>, site: Arc<Site>) {
    let mut generation = 0;
    let mut probes = Tasks::default();
    let mut names = Tasks::default();
    let mut reports = Tasks::default();
    let mut peers = Tasks::default();
    let mut services = services::Watches::default();
    let mut rest_until = clock::now();
    let mut gauges = gauges::Gauges::default();
    let mut overload = Watch::new(&shared.plan.load().limits.overload);
    let resolver = names::resolver();
    let mut ticks = tokio::time::interval(TICK);
    let mut export = tokio::time::interval(EXPORT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = site.changes.next() => {
                refresh(&shared.plan.load());
                continue;
            }
            () = site.orders.changed() => {
                let plan = shared.plan.load();
                obey(&plan, &site);
                refresh(&plan);
                continue;
            }
            _ = export.tick() => {
                // Orders end by themselves, too.
                obey(&shared.plan.load(), &site);
                let plan = shared.plan.load();
                let now = clock::now();
                plan.pools.iter().for_each(|pool| pool.judge(now));
                peers::reconcile(&mut peers, &plan, &site);
                gauges.export(&shared, &site);
                let (now, plan) = (clock::now(), shared.plan.load());
                let lag = shared.pulse.take_lag(now);
                overload.look(&plan.limits.overload, lag, &shared.overload, now);
                continue;
            }
        }
        let plan = shared.plan.load_full();
        overload.glance(&plan.limits.overload, &shared.overload);
        let start = clock::now();
        let is_due = start >= rest_until && names::changed(&plan, &site);
        if plan.generation != generation || is_due {
            generation = plan.generation;
            names::settle(&plan, &site);
            services.reconcile(&plan, &site);
            names::reconcile(&mut names, &plan, &site, resolver.as_ref());
            probes::reconcile(&mut probes, &plan, &shared);
            reports::reconcile(&mut reports, &plan);
            peers::reconcile(&mut peers, &plan, &site);
            let now = clock::now();
            rest_until = now + (now.since(start) * REST).min(EXPORT);
        }
        refresh(&plan);
    }
}

/// Carries out what operators ordered.
fn obey(plan: &Plan, site: &Site) {
    if site.obey(clock::unix_millis()) {
        let (orders, now) = (site.server_orders(), clock::now());
        plan.pools.iter().for_each(|pool| pool.obey(&orders, now));
    }
}

/// Brings the views of pools and regions up to date.
fn refresh(plan: &Plan) {
    let now = clock::now();
    for pool in &plan.pools {
        pool.check_ejections(now);
        pool.refresh(now);
        pool.admission.tick(now);
    }
    if let Some(regions) = &plan.regions {
        regions.refresh(now);
    }
}

// === impl Tasks ===

impl<K> Default for Tasks<K> {
    fn default() -> Self {
        Self {
            running: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Tasks<K> {
    /// Ends tasks that are not `wanted`, and starts those that are new.
    fn reconcile(&mut self, wanted: Vec<K>, mut start: impl FnMut(&K) -> Option<AbortHandle>) {
        let mut kept = HashMap::with_capacity(wanted.len());
        for key in wanted {
            let handle = self.running.remove(&key).filter(|task| !task.is_finished());
            if let Some(handle) = handle.or_else(|| start(&key)) {
                kept.insert(key, handle);
            }
        }
        for handle in std::mem::replace(&mut self.running, kept).into_values() {
            handle.abort();
        }
    }
}
