//! What the data path sees of a pool: who is routable, with which share, and whether health counts at all.

use crate::build::PoolSpec;
use crate::upstream::spread::{Part, Spread};
use crate::upstream::standing::ramp;
use crate::upstream::{Endpoint, Health, zones};
use lb_core::balance::{EndpointId, Policy, Weight};
use lb_core::config::model::SlowStart;
use lb_core::name::{ServerName, ZoneName};
use lb_core::time::Instant;
use rand::Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// An endpoint in a pool, with what the configuration gives it there.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The weight that the configuration gives it; `None` is drained.
    pub given: Option<Weight>,
    /// Its weight; `None` is drained, by the configuration or by order. Who is drained by order and stands in has none either.
    pub weight: Option<Weight>,
    /// The zone that it stands in.
    pub zone: Option<ZoneName>,
    /// It is on its way out, as Kubernetes says: new requests only when nobody else is left.
    pub leaves: bool,
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
    /// New requests go to servers that operators drained: no other can take them.
    pub resorts: bool,
    /// Routable share of the weight, 0.0 to 1.0.
    pub healthy_share: f64,
    pub(in crate::upstream) built: Instant,
    /// When the next view is due without any change.
    pub(in crate::upstream) rebuild_at: Option<Instant>,
    panic_state: Panic,
    /// What requests choose from first.
    spread: Spread,
    /// What retries choose from first and others last, when zones matter: all but the own zone.
    far: Option<Spread>,
    /// All that is routable, when that is not just `spread`.
    all: Option<Vec<Arc<Endpoint>>>,
    /// For pools with a cookie.
    by_name: HashMap<ServerName, Arc<Endpoint>>,
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

// === impl PoolView ===

impl PoolView {
    pub(super) fn new(
        spec: &PoolSpec,
        mut members: Vec<Member>,
        before: Option<&Self>,
        now: Instant,
    ) -> Self {
        let stand_in = stand_in(&members, now);
        for member in &mut members {
            let is_asked = !member.leaves || stand_in;
            member.weight = member.undrained().filter(|_| is_asked);
        }
        let resorts = resorts(&members, now);
        let total = weight_of(&members, |_| true);
        let good = weight_of(&members, |member| member.is_routable(now));
        let healthy_share = good as f64 / total.max(1) as f64;
        let before = before.map(|view| view.panic_state);
        let panic_state = Panic::decide(spec, before, healthy_share, now);
        // Who leaves and is well does better than whoever stays and is not.
        let panic = panic_state.is_on() && total > 0 && !(stand_in && good > 0) && !resorts;
        // What nobody has judged yet is better than nothing: a process that starts beside the
        // endpoints it probes would else refuse everything until its second round of probes.
        let hopeful = |member: &Member| good == 0 && member.is_unjudged(now);
        let weight = |member: &Member| {
            let takes = panic || member.is_routable(now) || hopeful(member);
            let resort = member.given.filter(|_| resorts && member.stands_in(now));
            member.weight.filter(|_| takes).or(resort)
        };
        let part = |member| {
            Some(Part {
                member,
                weight: weight(member)?,
                share: if panic {
                    1.0
                } else {
                    Member::share(member, now)
                },
            })
        };
        let parts: Vec<Part<'_>> = members.iter().filter_map(part).collect();
        let ramps = parts.iter().any(|part| part.member.ramp(now) < 1.0);
        let leave = |member: &Member| member.endpoint.leaves_until(now);
        let rebuild_at = [
            panic_state.until(),
            ramps.then(|| now + step(spec)),
            members.iter().filter_map(leave).min(),
        ];
        let rebuild_at = rebuild_at.into_iter().flatten().min();
        let split = zones::split(spec, &parts).filter(|_| !panic);
        let endpoint = |part: &Part<'_>| part.member.endpoint.clone();
        let (spread, far, all) = match split {
            None => (Spread::new(spec.policy, &parts), None, None),
            Some(split) => (
                Spread::new(spec.policy, &split.near),
                Some(Spread::new(spec.policy, &split.far)),
                Some(parts.iter().map(endpoint).collect()),
            ),
        };
        let name = |part: &Part<'_>| (part.member.endpoint.key.server.clone(), endpoint(part));
        let by_name = match spec.affinity {
            Some(_) => parts.iter().map(name).collect(),
            None => HashMap::new(),
        };
        drop(parts);
        Self {
            members,
            panic,
            resorts,
            healthy_share,
            built: now,
            rebuild_at,
            panic_state,
            spread,
            far,
            all,
            by_name,
        }
    }

    /// The routable endpoint of a name; one of them when the name has several addresses.
    #[must_use]
    pub fn named(&self, server: &str) -> Option<&Arc<Endpoint>> {
        self.by_name.get(server)
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

    pub(super) fn pick(
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
        self.weight.is_some() && self.is_well(now)
    }

    /// The same without the operator.
    fn is_well(&self, now: Instant) -> bool {
        self.endpoint.health() == Health::Healthy
            && self.endpoint.ejected_until(now).is_none()
            && self.endpoint.leaves_until(now).is_none()
    }

    /// Whether an operator drained it and it could serve nevertheless.
    pub(in crate::upstream) fn stands_in(&self, now: Instant) -> bool {
        self.endpoint.is_drained() && !self.endpoint.is_off() && self.is_well(now)
    }

    /// Its weight, unless an operator drained it.
    fn undrained(&self) -> Option<Weight> {
        self.given.filter(|_| !self.endpoint.is_drained())
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

/// Whether those that leave get new requests: when nobody stays who can take them, and they can or nobody stays at all.
fn stand_in(members: &[Member], now: Instant) -> bool {
    let mut stays = false;
    let mut able = false;
    for member in members.iter().filter(|member| member.undrained().is_some()) {
        match (member.leaves, member.is_well(now)) {
            (false, true) => return false,
            (false, false) => stays = true,
            (true, well) => able |= well,
        }
    }
    able || !stays
}

/// Whether those that operators drained get new requests: when nobody else can take them or may turn out to, and one of them can.
fn resorts(members: &[Member], now: Instant) -> bool {
    let mut given = members.iter().filter(|member| member.given.is_some());
    let could = |m: &Member| !m.endpoint.is_drained() && (m.is_well(now) || m.is_unjudged(now));
    given.clone().any(|member| member.stands_in(now)) && !given.any(could)
}

fn weight_of(members: &[Member], filter: impl Fn(&Member) -> bool) -> u64 {
    let counted = members.iter().filter(|member| filter(member));
    counted
        .filter_map(|member| member.weight)
        .map(|weight| u64::from(weight.get()))
        .sum()
}

const fn step(spec: &PoolSpec) -> Duration {
    match spec.policy {
        Policy::RingHash | Policy::Maglev | Policy::Rendezvous => STEP_HASHED,
        _ => STEP,
    }
}
