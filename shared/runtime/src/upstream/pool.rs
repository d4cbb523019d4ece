//! A pool at work: its endpoints, which of them are routable, and the balancer over those.
//!
//! The data path reads one immutable [`PoolView`]. Whoever learns something (a probe, an ejection, a
//! resolver) changes the endpoint and asks for a new view, which the control thread builds: choosing
//! stays O(1) and free of locks, and a storm of transitions costs one rebuild.

use super::{Admission, Changes, Endpoint, Health, Target};
use crate::build::PoolSpec;
use crate::metrics::PoolMetrics;
use arc_swap::ArcSwap;
use lb_core::balance::{Balancer, Candidate, EndpointId, Weight, hash::stable_hash};
use lb_core::outlier::may_eject;
use lb_core::time::Instant;
use rand::Rng;
use rand::seq::IteratorRandom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[cfg(test)]
mod tests;

/// An endpoint in a pool, with what the configuration gives it there.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its weight; `None` is drained.
    pub weight: Option<Weight>,
}

/// What the data path sees of a pool.
#[derive(Debug)]
pub struct PoolView {
    /// All members.
    pub members: Vec<Member>,
    /// Health is ignored.
    pub panic: bool,
    /// Routable share of the weight, 0.0 to 1.0.
    pub healthy_share: f64,
    built: Instant,
    routable: Vec<Arc<Endpoint>>,
    balancer: Balancer,
}

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
    view: ArcSwap<PoolView>,
    stale: AtomicBool,
    changes: Arc<Changes>,
}

// === impl Pool ===

impl Pool {
    /// A pool of `members`; `changes` is told when it needs a new view.
    #[must_use]
    pub fn new(
        spec: PoolSpec,
        target: Target,
        metrics: PoolMetrics,
        admission: Arc<Admission>,
        members: Vec<Member>,
        changes: Arc<Changes>,
        now: Instant,
    ) -> Self {
        let view = PoolView::new(&spec, members, now);
        let pool = Self {
            spec,
            target,
            metrics,
            admission,
            view: ArcSwap::from_pointee(view),
            stale: AtomicBool::new(false),
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

    /// Builds a new view when one is due. Control thread only.
    pub fn refresh(&self, now: Instant) {
        if self.stale.swap(false, Relaxed) {
            let members = self.view.load().members.clone();
            self.replace(members, now);
        }
    }

    /// Changes the members. Control thread only.
    pub fn replace(&self, members: Vec<Member>, now: Instant) {
        self.view
            .store(Arc::new(PoolView::new(&self.spec, members, now)));
        self.export();
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
        let index = view.balancer.pick(key, tried, now, rng)?;
        view.routable.get(index).cloned()
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
        let chosen = left.choose(rng).filter(|_| view.routable.is_empty())?;
        Some(chosen.endpoint.clone())
    }

    /// Ejects an endpoint whose gateway errors completed a row, unless too much of the pool is out.
    pub fn convict(&self, endpoint: &Endpoint, now: Instant) {
        let view = self.view.load();
        let out = |member: &&Member| member.endpoint.ejected_until(now).is_some();
        let ejected = view.members.iter().filter(out).count();
        if !may_eject(ejected, view.members.len(), self.spec.outlier.max_ejected) {
            return;
        }
        if let Some(eject) = endpoint.eject(now) {
            self.metrics.ejections.inc();
            self.mark_stale();
            log::warn!(
                "pool {} server {}: ejected for {:?} after {} gateway errors in a row (ejection {})",
                self.spec.name,
                endpoint.key.server,
                now.until(eject.until),
                self.spec.outlier.consecutive_errors,
                eject.nth,
            );
        }
    }

    /// Notes when an ejection has ended since the view was built, or began without a note here: a request that
    /// began under an older configuration notes it with that one's pool. Control thread only.
    pub fn check_ejections(&self, now: Instant) {
        let view = self.view.load();
        let ended = |member: &Member| {
            member.endpoint.ejected_until(view.built).is_some()
                && member.endpoint.ejected_until(now).is_none()
        };
        let began = |endpoint: &Arc<Endpoint>| endpoint.ejected_until(now).is_some();
        let missed = !view.panic && view.routable.iter().any(began);
        if missed || view.members.iter().any(ended) {
            self.stale.store(true, Relaxed);
        }
    }

    fn export(&self) {
        let view = self.view.load();
        self.metrics.healthy_ratio.set(view.healthy_share);
        self.metrics.panic.set(i64::from(view.panic));
    }
}

// === impl PoolView ===

impl PoolView {
    fn new(spec: &PoolSpec, members: Vec<Member>, now: Instant) -> Self {
        let weight_of = |filter: &dyn Fn(&Member) -> bool| -> u64 {
            members
                .iter()
                .filter(|member| filter(member))
                .filter_map(|member| member.weight)
                .map(|weight| u64::from(weight.get()))
                .sum()
        };
        let total = weight_of(&|_| true);
        let good = weight_of(&|member| member.is_routable(now));
        let healthy_share = if total == 0 {
            0.0
        } else {
            good as f64 / total as f64
        };
        let panic = total > 0 && healthy_share < spec.panic_threshold;
        // What nobody has judged yet is better than nothing: a process that starts beside the
        // endpoints it probes would else refuse everything until its second round of probes.
        let hopeful = |member: &Member| good == 0 && member.is_unjudged(now);
        let chosen: Vec<&Member> = members
            .iter()
            .filter(|member| member.weight.is_some())
            .filter(|member| panic || member.is_routable(now) || hopeful(member))
            .collect();
        let candidates = chosen
            .iter()
            .filter_map(|member| member.candidate())
            .collect();
        let routable = chosen
            .iter()
            .map(|member| member.endpoint.clone())
            .collect();
        let balancer = Balancer::new(spec.policy, candidates);
        Self {
            members,
            panic,
            healthy_share,
            built: now,
            routable,
            balancer,
        }
    }

    /// How many endpoints new requests are spread over.
    #[must_use]
    pub fn routable(&self) -> usize {
        self.routable.len()
    }

    /// The endpoints that new requests are spread over.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.routable
    }
}

// === impl Member ===

impl Member {
    /// Whether health, traffic and the operator let it take new requests.
    #[must_use]
    pub fn is_routable(&self, now: Instant) -> bool {
        self.weight.is_some()
            && self.endpoint.health() == Health::Healthy
            && self.endpoint.ejected_until(now).is_none()
    }

    /// Whether no verdict has been reached on it, for or against.
    fn is_unjudged(&self, now: Instant) -> bool {
        self.endpoint.health() == Health::Unknown && self.endpoint.ejected_until(now).is_none()
    }

    fn candidate(&self) -> Option<Candidate> {
        Some(Candidate {
            id: self.endpoint.id,
            load: self.endpoint.load.clone(),
            weight: self.weight?,
            key_hash: stable_hash(self.endpoint.key.server.as_str().as_bytes()),
        })
    }
}
