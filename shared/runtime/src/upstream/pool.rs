//! A pool at work: its endpoints, which of them are routable, and the balancer over those.
//!
//! The data path reads one immutable [`PoolView`]. Whoever learns something (a probe, an ejection, a
//! resolver) changes the endpoint and asks for a new view, which the control thread builds: choosing
//! stays O(1) and free of locks, and a storm of transitions costs one rebuild.

use super::spread::{Part, Spread};
use super::standing::ramp;
use super::{Changes, Endpoint, Health, Sticky, Target, zones};
use crate::build::PoolSpec;
use crate::metrics::PoolMetrics;
use arc_swap::ArcSwap;
use lb_core::balance::{EndpointId, Weight};
use lb_core::config::model::SlowStart;
use lb_core::name::ZoneName;
use lb_core::time::Instant;
use rand::Rng;
use rand::seq::IteratorRandom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// An endpoint in a pool, with what the configuration gives it there.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its weight; `None` is drained.
    pub weight: Option<Weight>,
    /// The zone that it stands in.
    pub zone: Option<ZoneName>,
    /// How its share grows after a return.
    pub slow_start: SlowStart,
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
    pub(super) built: Instant,
    /// When the next view is due without any change.
    pub(super) rebuild_at: Option<Instant>,
    panic_state: Panic,
    /// What requests choose from first.
    spread: Spread,
    /// What retries choose from first and others last, when zones matter: all but the own zone.
    far: Option<Spread>,
    /// All that is routable, when that is not just `spread`.
    all: Option<Vec<Arc<Endpoint>>>,
}

/// Whether health is ignored.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Panic {
    Off,
    On,
    /// Enough is routable again; off at this time, or sooner when more is.
    Leaving(Instant),
}

/// How often a view is built while a share grows.
const STEP: Duration = Duration::from_millis(500);
/// The same for hash policies, whose tables cost more.
const STEP_HASHED: Duration = Duration::from_secs(1);
/// Routable share that ends a panic at once.
const ENOUGH: f64 = 0.66;
/// How long a panic goes on when less than that is routable, and yet enough.
const LINGER: Duration = Duration::from_secs(3);

/// A pool of one configuration generation.
#[derive(Debug)]
pub struct Pool {
    /// What the configuration says.
    pub spec: PoolSpec,
    /// How its endpoints are spoken to.
    pub target: Target,
    /// Resolved metric handles.
    pub metrics: PoolMetrics,
    /// The cookie that keeps users on a server.
    pub sticky: Option<Sticky>,
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
        sticky: Option<Sticky>,
        members: Vec<Member>,
        changes: Arc<Changes>,
        now: Instant,
    ) -> Self {
        let view = PoolView::new(&spec, members, None, now);
        let pool = Self {
            spec,
            target,
            metrics,
            sticky,
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
        let before = self.view.load();
        if self.spec.fails_open() && !members.iter().any(|member| member.is_routable(now)) {
            members.iter().for_each(|m| m.endpoint.pardon(now));
        }
        let view = PoolView::new(&self.spec, members, Some(&before), now);
        if before.healthy_share == 0.0 && view.healthy_share > 0.0 {
            // The outage ends. Whoever is probed first would look so much better than the others, whose failures
            // are still held against them, that it got everything.
            view.members.iter().for_each(|m| m.endpoint.load.forgive());
        }
        self.view.store(Arc::new(view));
        self.export();
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
        let is_it = |endpoint: &&Arc<Endpoint>| {
            endpoint.key.server.as_str() == server && !tried.contains(&endpoint.id)
        };
        view.endpoints().iter().find(is_it).cloned()
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
        self.metrics.healthy_ratio.set(view.healthy_share);
        self.metrics.panic.set(i64::from(view.panic));
    }
}

// === impl PoolView ===

impl PoolView {
    fn new(spec: &PoolSpec, members: Vec<Member>, before: Option<&Self>, now: Instant) -> Self {
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
        let panic = Panic::decide(
            spec,
            before.map(|view| view.panic_state),
            healthy_share,
            now,
        );
        let is_panic = panic.is_on() && total > 0;
        // What nobody has judged yet is better than nothing: a process that starts beside the
        // endpoints it probes would else refuse everything until its second round of probes.
        let hopeful = |member: &Member| good == 0 && member.is_unjudged(now);
        let is_chosen = |member: &&Member| {
            member.weight.is_some() && (is_panic || member.is_routable(now) || hopeful(member))
        };
        let parts: Vec<Part<'_>> = members
            .iter()
            .filter(is_chosen)
            .map(|member| {
                let share = if is_panic { 1.0 } else { member.share(now) };
                Part { member, share }
            })
            .collect();
        let ramps = parts.iter().any(|part| part.member.ramp(now) < 1.0);
        let step = if spec.policy.needs_key() {
            STEP_HASHED
        } else {
            STEP
        };
        let rebuild_at = [panic.until(), ramps.then(|| now + step)];
        let split = zones::split(spec, &parts).filter(|_| !is_panic);
        let (spread, far, all) = match split {
            None => (Spread::new(spec.policy, &parts), None, None),
            Some(split) => (
                Spread::new(spec.policy, &split.near),
                Some(Spread::new(spec.policy, &split.far)),
                Some(
                    parts
                        .iter()
                        .map(|part| part.member.endpoint.clone())
                        .collect(),
                ),
            ),
        };
        drop(parts);
        Self {
            members,
            panic: is_panic,
            healthy_share,
            built: now,
            rebuild_at: rebuild_at.into_iter().flatten().min(),
            panic_state: panic,
            spread,
            far,
            all,
        }
    }

    /// How many endpoints new requests are spread over.
    #[must_use]
    pub fn routable(&self) -> usize {
        self.endpoints().len()
    }

    /// The endpoints that new requests are spread over, those of other zones included.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        self.all.as_ref().unwrap_or(&self.spread.endpoints)
    }

    /// The endpoints that get requests before others are asked, when zones matter now.
    #[must_use]
    pub fn preferred(&self) -> Option<&[Arc<Endpoint>]> {
        self.far.as_ref().map(|_| &*self.spread.endpoints)
    }

    fn pick(
        &self,
        key: Option<u64>,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<&Arc<Endpoint>> {
        let Some(far) = &self.far else {
            return self.spread.pick(key, tried, now, rng);
        };
        // A zone fails as a whole: what failed in it is tried again in another.
        let (first, then) = if tried.is_empty() {
            (&self.spread, far)
        } else {
            (far, &self.spread)
        };
        let picked = first.pick(key, tried, now, rng);
        picked.or_else(|| then.pick(key, tried, now, rng))
    }
}

// === impl Panic ===

impl Panic {
    /// Below the threshold health is ignored. It is looked at again when two thirds of the weight are routable, or
    /// when the threshold has been reached for a while: of a pool that returns after a total outage, what is
    /// probed first would else carry all of it until the next ones are.
    fn decide(spec: &PoolSpec, before: Option<Self>, share: f64, now: Instant) -> Self {
        if share < spec.panic_threshold {
            return Self::On;
        }
        match before {
            Some(Self::On) if spec.fails_open() && share < ENOUGH => Self::Leaving(now + LINGER),
            Some(Self::Leaving(until)) if share < ENOUGH && now < until => Self::Leaving(until),
            _ => Self::Off,
        }
    }

    const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    const fn until(self) -> Option<Instant> {
        match self {
            Self::Leaving(until) => Some(until),
            _ => None,
        }
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

    /// The part of its weight that slow start leaves it, 0.1 to 1.0.
    #[must_use]
    pub fn ramp(&self, now: Instant) -> f64 {
        ramp(self.endpoint.returned_at(now), &self.slow_start, now)
    }

    /// The part of its weight that slow start and its latency leave it, above 0.0, at most 1.0.
    #[must_use]
    pub fn share(&self, now: Instant) -> f64 {
        self.ramp(now) * self.endpoint.standing.latency_factor()
    }

    /// Whether no verdict has been reached on it, for or against.
    fn is_unjudged(&self, now: Instant) -> bool {
        self.endpoint.health() == Health::Unknown && self.endpoint.ejected_until(now).is_none()
    }
}
