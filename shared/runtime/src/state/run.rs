//! From the start to the end: what is known before the first request, and a thread that keeps it fresh.

use super::embedded::Embedded;
use super::etcd::{Client, Etcd};
use super::file::Keeper;
use super::keep::Kept;
#[cfg(feature = "kubernetes")]
use super::kubernetes::Kubernetes;
use super::store::StateStore;
use super::{Orders, Source};
use crate::admin::TokenFile;
use crate::build::Site;
use crate::clock;
use crate::tier::Common;
use crate::worker::Shared;
use anyhow::Context;
use lb_core::config::model::StoreKind;
use lb_core::drain::FORGET_MS;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How long peers or a store may keep a replica from starting.
const START: Duration = Duration::from_secs(2);
/// How often what could not be written is tried again.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often gauges are brought up to date.
const EXPORT: Duration = Duration::from_secs(1);
/// How often what ended long ago is looked for.
const FORGET: Duration = Duration::from_secs(60);

/// Finds out what has been ordered: from the file, then from the peers or the store, for two seconds at most.
///
/// Neither has to be there: without them this replica starts without orders, and says so.
///
/// # Errors
/// What the configuration names can't be used, or there is no event loop.
pub(crate) fn open(common: &Common<'_>, site: &Site) -> anyhow::Result<Arc<Orders>> {
    let tokens = common.admin.token_file.as_ref();
    let tokens = tokens.map(|path| TokenFile::new(site.base.join(path)));
    let syncs = site.metrics.families.state_sync.clone();
    let peers = Embedded::new(site.peers.clone(), common.peers.to_vec(), tokens);
    let peers = peers.counted(syncs);
    let store = store(common, site, peers)?;
    let directory = common.state.directory.as_ref();
    let kept = Kept::new(directory.map(|path| Keeper::new(site.base.join(path))));
    if directory.is_none() {
        log::warn!(
            "state: no state.directory is configured: a restart forgets what operators ordered, unless a peer or a store knows"
        );
    }
    let orders = Arc::new(Orders::new(site.identity.clone(), store, kept));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop that reads orders")?;
    runtime.block_on(orders.begin());
    // A lookup of names may hang longer than it may hold up the start.
    runtime.shutdown_background();
    Ok(orders)
}

/// Who has the last word.
fn store(common: &Common<'_>, site: &Site, peers: Embedded) -> anyhow::Result<Arc<dyn StateStore>> {
    let syncs = site.metrics.families.state_sync.clone();
    let (tier, region) = (site.identity.tier.as_str(), site.identity.region.as_deref());
    Ok(match (common.state.store, &common.state.etcd) {
        (StoreKind::Etcd, Some(etcd)) => {
            let client = Client::new(etcd, &site.base)?;
            let place = format!("{tier}/{}", region.unwrap_or("-"));
            Arc::new(Etcd::new(client, &etcd.prefix, &place, peers, syncs))
        }
        #[cfg(feature = "kubernetes")]
        (StoreKind::Kubernetes, _) => {
            let settings = common.state.kubernetes.clone().unwrap_or_default();
            let place = (tier, region);
            Arc::new(Kubernetes::new(&settings, &site.base, place, peers, syncs))
        }
        #[cfg(not(feature = "kubernetes"))]
        (StoreKind::Kubernetes, _) => anyhow::bail!(
            "state.store: this program was built without the feature `kubernetes`, so it can't keep orders there: use one that was built with it, or write `store: embedded` or `store: etcd`"
        ),
        // The checks see to it that an etcd is named.
        _ => Arc::new(peers),
    })
}

/// Starts the thread that keeps the orders fresh. What a predecessor took since this process has begun to wait for it is read first.
///
/// # Errors
/// The operating system gives no thread or no event loop.
pub(crate) fn start(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    shared.orders.read_again();
    let run = move || {
        runtime.block_on(async {
            let orders = &shared.orders;
            tokio::join!(orders.store.watch(orders), tend(&shared));
        });
    };
    std::thread::Builder::new().name("state".into()).spawn(run)
}

/// Everything that happens at intervals.
async fn tend(shared: &Shared) {
    let orders = &shared.orders;
    let tick = |period| {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut catch_up, mut export, mut forget) = (tick(CATCH_UP), tick(EXPORT), tick(FORGET));
    let mut leaving = shared.lifecycle.leaving();
    let mut left = false;
    loop {
        tokio::select! {
            () = leaving.reached(), if !left => {
                left = true;
                orders.kept.leave().await;
            }
            _ = catch_up.tick() => {
                if left && !shared.lifecycle.is_leaving() {
                    left = false;
                    leaving = shared.lifecycle.leaving();
                    orders.kept.resume().await;
                }
                if !left {
                    orders.catch_up().await;
                }
            }
            _ = forget.tick() => {
                let gone = orders.forget();
                if !gone.is_empty() {
                    orders.store.forget(&gone).await;
                }
            }
            _ = export.tick() => {
                let families = &shared.metrics.families;
                let look = orders.store.look(clock::now());
                families.state_age.set(look.age.as_secs_f64());
                families.state_durable.set(i64::from(orders.is_durable()));
                let skew = look.skew_ms.unwrap_or_default();
                families.state_clock_skew.set(skew as f64 / 1e3);
                let doubts = orders.doubts(clock::now()).len();
                let faults = orders.kept.faults().len() + look.faults.len() + doubts;
                families.state_faults.set(i64::try_from(faults).unwrap_or(i64::MAX));
            }
        }
    }
}

// === impl Orders ===

impl Orders {
    async fn begin(&self) {
        let found = self.kept.load();
        let now = clock::unix_millis();
        if let Some(content) = &found {
            self.doubt_since(content.alive_ms);
        }
        // Who was away for longer than the others remember could bring back what they have ended.
        let is_stale = |alive_ms: u64| now.saturating_sub(alive_ms) >= FORGET_MS;
        let (fresh, stale) = match found {
            Some(content) if is_stale(content.alive_ms) => (None, Some(content)),
            found => (found, None),
        };
        if let Some(content) = fresh {
            self.adopt(content.snapshot.records.into_iter(), Source::Kept);
        }
        let heard = match tokio::time::timeout(START, self.store.load(self)).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(error)) => {
                log::warn!("state: {error}; this replica starts with what its file says");
                false
            }
            Err(_) => {
                log::warn!("state: not all peers or stores have answered within {START:?}");
                // Those that did are heard.
                let peers = self.store.look(clock::now()).peers;
                peers.iter().any(|peer| peer.hash.is_some())
            }
        };
        if let Some(content) = stale {
            if heard && self.may_forget(clock::now()) {
                log::warn!(
                    "state: the file is older than a day: the others' orders are taken instead"
                );
            } else {
                self.adopt(content.snapshot.records.into_iter(), Source::Kept);
            }
        }
        self.catch_up().await;
        let known = self.book.load().iter().count();
        if known > 0 {
            log::info!("state: {known} orders are known");
        }
    }
}

#[cfg(test)]
mod tests;
