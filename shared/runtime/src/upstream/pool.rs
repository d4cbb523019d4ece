//! A pool at work: its endpoints, which of them are routable, and the balancer over those.
//!
//! The data path reads one immutable [`PoolView`]. Whoever learns something (a probe, an ejection, a
//! resolver) changes the endpoint and asks for a new view, which the control thread builds: choosing
//! stays O(1) and free of locks, and a storm of transitions costs one rebuild.

use super::{Admission, Changes, Endpoint, Ordered, ServerOrders, Sticky, Target};
use crate::build::{Lookups, PoolSpec};
use crate::metrics::PoolMetrics;
use arc_swap::ArcSwap;
use lb_core::balance::EndpointId;
use lb_core::time::Instant;
use rand::Rng;
use rand::seq::IteratorRandom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

mod view;

#[cfg(test)]
mod tests;

pub use view::{Member, PoolView};

/// A pool of one configuration generation.
#[derive(Debug)]
pub struct Pool {
    /// What the configuration says.
    pub spec: PoolSpec,
    /// How its endpoints are spoken to.
    pub target: Target,
    /// Resolved metric handles.
    pub metrics: PoolMetrics,
    /// Who is let in; it belongs to the pool's name.
    pub admission: Arc<Admission>,
    /// The cookie that keeps users on a server.
    pub sticky: Option<Sticky>,
    /// How the look-ups fare by which its servers are found.
    pub lookups: Lookups,
    view: ArcSwap<PoolView>,
    stale: AtomicBool,
    /// When the failures of all were last held against none, in nanoseconds; 0 is never.
    evened_at: AtomicU64,
    /// Which list of found servers its members are of.
    found: AtomicU64,
    changes: Arc<Changes>,
}

/// How long the word of an endpoint that it leaves counts. By then its checks fail, or it serves again; and if neither, it
/// gets a request and says so again.
const LEAVES_FOR: Duration = Duration::from_secs(5);

// === impl Pool ===

impl Pool {
    /// A pool of `members`, with who lets requests in and what keeps users on a server; `changes` is told when it needs
    /// a new view.
    #[must_use]
    pub fn new(
        spec: PoolSpec,
        target: Target,
        metrics: PoolMetrics,
        (admission, sticky): (Arc<Admission>, Option<Sticky>),
        members: Vec<Member>,
        changes: Arc<Changes>,
        now: Instant,
    ) -> Self {
        let view = PoolView::new(&spec, members, None, now);
        let pool = Self {
            spec,
            target,
            metrics,
            admission,
            sticky,
            lookups: Lookups::default(),
            view: ArcSwap::from_pointee(view),
            stale: AtomicBool::new(false),
            evened_at: AtomicU64::new(0),
            found: AtomicU64::new(0),
            changes,
        };
        pool.export();
        pool
    }

    /// What requests see now.
    #[must_use]
    pub fn view(&self) -> arc_swap::Guard<Arc<PoolView>> {
        self.view.load()
    }

    /// Notes that an endpoint changed, and wakes the control thread, which builds a new view.
    pub fn mark_stale(&self) {
        self.stale.store(true, Relaxed);
        self.changes.note();
    }

    /// Notes that an endpoint says it stays: one that was restarted does not serve the rest of the time for its word of before.
    /// Otherwise a rolling restart would find both replicas of two leaving.
    pub fn note_staying(&self, endpoint: &Endpoint, now: Instant) {
        if endpoint.note_staying(now) {
            self.mark_stale();
        }
    }

    /// Notes that an endpoint leaves: new requests go to the others, as long as there are some.
    pub fn note_leaving(&self, endpoint: &Endpoint, now: Instant) {
        if endpoint.note_leaving(now + LEAVES_FOR, now) {
            self.mark_stale();
        }
    }

    /// Takes over what operators ordered for its servers.
    pub fn obey(&self, orders: &ServerOrders, now: Instant) {
        let mut is_news = false;
        let view = self.view.load();
        let all = orders.of(&self.spec.name, &view.members);
        for member in &view.members {
            let server = &member.endpoint.key.server;
            let ordered = all.get(server).copied().unwrap_or_default();
            if member.endpoint.set_ordered(ordered, now) {
                is_news = true;
                let what = match ordered {
                    Ordered::In => "back in service",
                    Ordered::Drained => "drained",
                    Ordered::Off => "turned off",
                };
                log::info!("pool {} server {server}: {what} by order", self.spec.name);
            }
        }
        if is_news {
            self.mark_stale();
        }
    }

    /// Builds a new view when one is due. Control thread only.
    pub fn refresh(&self, now: Instant) {
        if self.stale.swap(false, Relaxed) {
            let members = self.view.load().members.clone();
            self.replace(members, now);
        }
    }

    /// Changes the members. Control thread only.
    pub fn replace(&self, members: Vec<Member>, now: Instant) {
        let before = self.view.load();
        let serves = |member: &Member| member.is_routable(now) || member.stands_in(now);
        if self.spec.fails_open() && !members.iter().any(serves) {
            members.iter().for_each(|m| m.endpoint.pardon(now));
        }
        let view = PoolView::new(&self.spec, members, Some(&before), now);
        if view.resorts && !before.resorts {
            log::warn!(
                "pool {}: no server is usable; those that are drained by order and well take its requests",
                self.spec.name
            );
        }
        if before.healthy_share == 0.0 && view.healthy_share > 0.0 {
            // The outage ends. Whoever is probed first would look so much better than the others, whose failures
            // are still held against them, that it got everything.
            view.members.iter().for_each(|m| m.endpoint.load.forgive());
        }
        self.view.store(Arc::new(view));
        self.export();
    }

    /// Which list of found servers its members are of; 0: none.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found.load(Relaxed)
    }

    /// Notes which list its members are of.
    pub fn set_found(&self, version: u64) {
        self.found.store(version, Relaxed);
        self.export();
    }

    /// Whether there are no servers, and discovery says so: somebody scaled to zero. What is merely not known is not empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found() > 0 && self.view.load().members.is_empty()
    }

    /// Whether nobody has told yet which servers there are.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let is_untold = self.spec.services.is_some() || self.lookups.is_untold();
        is_untold && self.found() == 0 && self.view.load().members.is_empty()
    }

    pub(super) fn set_evened(&self, now: Instant) {
        self.evened_at.store(now.as_nanos().max(1), Relaxed);
    }

    pub(super) fn evened_at(&self) -> Option<Instant> {
        Some(self.evened_at.load(Relaxed))
            .filter(|at| *at > 0)
            .map(Instant::from_nanos)
    }

    /// Has a new view built at the next look, without waking the control thread: for itself.
    pub(super) fn mark_due(&self) {
        self.stale.store(true, Relaxed);
    }

    /// Chooses an endpoint that is not among `tried`.
    pub fn pick(
        &self,
        key: Option<u64>,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Arc<Endpoint>> {
        let view = self.view.load();
        view.pick(key, tried, now, rng).cloned()
    }

    /// The endpoint that a cookie names, when it takes requests and is not among `tried`.
    #[must_use]
    pub fn named(&self, server: &str, tried: &[EndpointId]) -> Option<Arc<Endpoint>> {
        let view = self.view.load();
        let named = view.named(server)?;
        (!tried.contains(&named.id)).then(|| named.clone())
    }

    /// Chooses among all endpoints with a weight, when none is routable; `None` when one is.
    pub fn pick_without_health(
        &self,
        tried: &[EndpointId],
        rng: &mut impl Rng,
    ) -> Option<Arc<Endpoint>> {
        let view = self.view.load();
        let left =
            |member: &&Member| member.weight.is_some() && !tried.contains(&member.endpoint.id);
        let left = view.members.iter().filter(left);
        let chosen = left.choose(rng).filter(|_| view.routable() == 0)?;
        Some(chosen.endpoint.clone())
    }

    fn export(&self) {
        let view = self.view.load();
        // What is empty on purpose is nothing to be alarmed about.
        let share = if self.is_empty() {
            1.0
        } else {
            view.healthy_share
        };
        self.metrics.healthy_ratio.set(share);
        self.metrics.panic.set(i64::from(view.panic));
        self.metrics.resorts.set(i64::from(view.resorts));
    }
}
