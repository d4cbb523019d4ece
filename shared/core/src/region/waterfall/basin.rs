//! One region's part of the plan.

use super::gauge::Gauge;
use super::rate::{Average, Late, Pair};
use super::{BRIMFUL, Displaced, MARGIN, Rules, SPILLING};
use crate::time::Instant;
use std::time::Duration;

/// Utilisation and capacity are smoothed over this.
const SMOOTH: Duration = Duration::from_secs(5);
/// … but what a region tells as its capacity is believed so soon after it has stopped to refuse requests.
const REOPEN: Duration = Duration::from_secs(1);
/// Rates are averaged over this: long enough for a region that gets two requests a second.
const RATES: Duration = Duration::from_secs(5);
/// A surge of requests is over when this average of them says so.
const EBB: Duration = Duration::from_secs(1);
/// The fast average of what is received: slower than reports tell of a rise, or the load that a loss moves here would
/// look as if it came in place of the receiver's own.
const RECEIVED: Duration = Duration::from_secs(3);
/// Reports tell of what was this long ago: the window of their rates, and the way.
const LAG: Duration = Duration::from_millis(800);
/// How much of the whole this replica carries is averaged over this.
const SCALE: Duration = Duration::from_secs(30);
/// Spill grows by at most this share per second …
const SPILL_OUT: f64 = 0.10;
/// … and shrinks by this.
const SPILL_BACK: f64 = 0.02;
/// Room grows by at most this share of the displaced load per second …
const ROOM_BACK: f64 = 0.10;
/// … or by this, while the region is not even so full that it would spill: the plan was too careful.
const ROOM_PLAIN: f64 = 1.0;
/// What closes a region to others, and opens it again, is smoothed over this. Reports tell of a second already.
const BRIM: Duration = Duration::from_millis(500);
/// A region of unknown capacity that no longer refuses anything is taken to have room again after this.
const FORGET: Duration = Duration::from_millis(500);
/// Below this rate of our own requests, per second, their mix says nothing.
const FEW: f64 = 0.5;

/// What a region has, needs and gives. Belongs to its identity and survives a reload.
#[derive(Debug, Clone)]
pub struct Basin {
    usable: bool,
    was_usable: bool,
    homed: Pair,
    bound: Average,
    /// Received and sent requests, as late as the reports are: else, while load moves, the receiver's own share would be
    /// taken for less than it is.
    received: Late,
    sent: Late,
    rps: Pair,
    /// The reported requests less those that were received, of the slow averages and of the fast ones.
    own: Average,
    own_now: Option<f64>,
    capacity: Average,
    /// The capacity that was told last, in requests per second; 0 when none was.
    told: f64,
    utilization: Average,
    /// Utilisation and refusals of just now: a burst that was refused is no lack of room.
    fullness: Average,
    /// Since when nothing is known of how full it is.
    unknown: Duration,
    /// All replicas' requests and ours, of which the ratio is needed.
    scale: (Average, Average),
    /// The spill that is needed, before it is damped.
    need: f64,
    spill: f64,
    /// Shares of the requests that lost their home, and of the spilled ones, that may come here.
    room: f64,
    spare: f64,
    seen: Instant,
    aimed: Instant,
}

// === impl Basin ===

impl Basin {
    /// A region of which nothing is known.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            usable: false,
            was_usable: false,
            homed: Pair::new(RATES, EBB),
            bound: Average::new(RATES),
            received: Late::new(LAG, RATES, RECEIVED),
            sent: Late::new(LAG, RATES, RECEIVED),
            rps: Pair::new(RATES, BRIM),
            own: Average::new(SMOOTH),
            own_now: None,
            capacity: Average::new(SMOOTH),
            told: 0.0,
            utilization: Average::new(SMOOTH),
            fullness: Average::new(BRIM),
            unknown: Duration::ZERO,
            scale: (Average::new(SCALE), Average::new(SCALE)),
            need: 0.0,
            spill: 0.0,
            room: 1.0,
            spare: 1.0,
            seen: now,
            aimed: now,
        }
    }

    /// Takes in what is known now.
    pub fn observe(&mut self, gauge: &Gauge, now: Instant) {
        let step = now.since(self.seen);
        if step.is_zero() {
            return;
        }
        self.seen = now;
        self.usable = gauge.usable;
        self.was_usable |= gauge.usable;
        let seconds = step.as_secs_f64();
        let traffic = &gauge.traffic;
        self.homed.add(traffic.homed as f64 / seconds, step);
        self.bound.add(traffic.bound as f64 / seconds, step);
        self.received.add(traffic.received as f64 / seconds, step);
        self.sent
            .add((traffic.kept + traffic.received) as f64 / seconds, step);
        self.forget(gauge, step);
        // What an unusable region reports is frozen: its share of the whole is needed as long as its users are displaced.
        if !gauge.usable {
            return;
        }
        if let Some(rps) = gauge.rps {
            self.rps.add(rps, step);
        }
        if let Some(served) = gauge.served() {
            // Both, or the ratio would be of different times. A region reports retries, too, so they count here.
            let ours = (traffic.successes + traffic.failures) as f64 / seconds;
            self.scale.0.add(served, step);
            self.scale.1.add(ours, step);
        }
        if let Some(fullness) = gauge.fullness() {
            self.fullness.add(fullness, step);
            self.utilization.add(fullness, step);
        }
        self.told = gauge.capacity_rps.unwrap_or(0.0);
        if let Some(capacity) = gauge.capacity() {
            let told = gauge.is_capacity_told();
            let constant = if told { REOPEN } else { SMOOTH };
            self.capacity.follow(capacity, step, constant);
        }
    }

    /// What a region of unknown capacity could serve while it refused requests says nothing once it takes all.
    fn forget(&mut self, gauge: &Gauge, step: Duration) {
        self.unknown = match gauge.fullness().or(gauge.capacity()) {
            Some(_) => Duration::ZERO,
            None => self.unknown.saturating_add(step),
        };
        if self.unknown >= FORGET {
            self.fullness = Average::new(BRIM);
            self.utilization = Average::new(SMOOTH);
            self.capacity = Average::new(SMOOTH);
        }
    }

    /// Share of the requests belonging here that should go elsewhere, 0 to 1.
    #[must_use]
    pub const fn spill(&self) -> f64 {
        self.spill
    }

    /// Share of the requests whose home is out that may come here, 0 to 1.
    #[must_use]
    pub const fn room(&self) -> f64 {
        self.room
    }

    /// Share of the spilled requests that may come here, 0 to 1.
    #[must_use]
    pub const fn spare(&self) -> f64 {
        self.spare
    }

    /// Share of the requests belonging here that a cookie binds, 0 to 1, averaged over 5 s.
    #[must_use]
    pub fn bound(&self) -> f64 {
        match (self.bound.get(), self.homed.slow()) {
            (Some(bound), Some(homed)) if homed > 0.0 => (bound / homed).clamp(0.0, 1.0),
            _ => 0.0,
        }
    }

    /// How full the region is, smoothed; 1 is full. None: unknown, which is not zero.
    #[must_use]
    pub const fn utilization(&self) -> Option<f64> {
        self.utilization.get()
    }

    /// The same of just now: what closes the region to others.
    #[must_use]
    pub const fn fullness(&self) -> Option<f64> {
        self.fullness.get()
    }

    /// How full its own requests would make it.
    pub(super) fn demand(&self) -> Option<f64> {
        let slow = self.utilization.get().filter(|_| self.usable)?;
        // A surge that is over needs no spill.
        let utilization = self.fullness.get().map_or(slow, |fast| fast.min(slow));
        let (homed, sent) = (self.homed.slow()?, self.sent.slow()?);
        if sent < FEW {
            return Some(utilization);
        }
        // What is received for others is not its own; what it gives away is.
        Some(utilization * homed / sent)
    }

    /// Requests per second of this replica that belong here and should go elsewhere.
    pub(super) fn displaced_here(&self) -> Displaced {
        let homed = self.homed.low().unwrap_or(0.0);
        let (lost, spilled) = if self.usable {
            (0.0, homed * self.spill)
        } else {
            (homed, 0.0)
        };
        Displaced { lost, spilled }
    }

    /// The same, of all replicas.
    pub(super) fn displaced(&self) -> Displaced {
        self.displaced_here().times(self.scale())
    }

    /// All replicas' requests to this region over ours; 1 while that is not known.
    fn scale(&self) -> f64 {
        match (self.scale.0.get(), self.scale.1.get()) {
            (Some(all), Some(ours)) if ours >= FEW => (all / ours).max(1.0),
            _ => 1.0,
        }
    }

    /// Follows what the region's own requests need, when `scale` times our received requests are received in all.
    pub(super) fn weigh(&mut self, scale: f64, step: Duration) {
        let (Some(slow), Some(fast)) = (self.rps.slow(), self.rps.fast()) else {
            return;
        };
        if !self.usable {
            return;
        }
        let received = |rate: Option<f64>| rate.unwrap_or(0.0) * scale;
        let own = slow - received(self.received.slow());
        self.own.add(own.max(0.0), step);
        let own = fast - received(self.received.fast());
        self.own_now = Some(own.max(0.0));
    }

    /// Requests per second that it can take for others; none: no limit is known.
    pub(super) fn room_for_others(&self, rules: &Rules) -> Option<f64> {
        if !self.usable {
            return Some(0.0);
        }
        let room = ((rules.full - MARGIN) * self.capacity.get()? - self.own_rps()?).max(0.0);
        let Some(fullness) = self.fullness.get() else {
            return Some(room);
        };
        // Not the damped one: it lingers for half a minute after the need is gone.
        let spilling = (1.0 - self.need / SPILLING).max(rules.ease(fullness));
        Some(room * spilling * rules.guard(fullness))
    }

    /// The same when some may be refused. Also of a region that would spill: its own go before these.
    pub(super) fn room_to_the_brim(&self) -> Option<f64> {
        if !self.usable {
            return Some(0.0);
        }
        // What it serves while it refuses is less than what it can do, where requests come unevenly.
        let capacity = self.told.max(self.capacity.get()?);
        let room = (BRIMFUL * capacity - self.own_rps()?).max(0.0);
        // The slow average: a second in which a small region refuses a third says nothing, and room returns slowly.
        let guard = self.utilization.get().map_or(1.0, Rules::guard_brim);
        Some(room * guard)
    }

    /// A surge that is over closes it no longer.
    fn own_rps(&self) -> Option<f64> {
        Some(self.own.get()?.min(self.own_now?))
    }

    /// Whether it has never been usable yet.
    pub(super) const fn is_new(&self) -> bool {
        !self.was_usable
    }

    /// The room of a region that nobody has used yet: it need not be earned. One that returns earns it, as all that was
    /// displaced meanwhile would meet it at once.
    pub(super) const fn open_room(&mut self, now: Instant) {
        self.aimed = now;
        (self.room, self.spare) = (1.0, 1.0);
    }

    /// Time since the last plan.
    pub(super) const fn planned(&self, now: Instant) -> Duration {
        now.since(self.aimed)
    }

    pub(super) fn aim_spill(&mut self, target: f64, now: Instant) {
        let seconds = now.since(self.aimed).as_secs_f64();
        let (least, most) = (
            self.spill - SPILL_BACK * seconds,
            self.spill + SPILL_OUT * seconds,
        );
        self.need = target;
        self.spill = target.clamp(least, most).clamp(0.0, 1.0);
    }

    /// Follows [`Self::aim_spill`] in each round.
    pub(super) fn aim_room(&mut self, room: f64, spare: f64, rules: &Rules, now: Instant) {
        let seconds = now.since(self.aimed).as_secs_f64();
        self.aimed = now;
        let plain = self
            .fullness
            .get()
            .is_none_or(|fullness| fullness < rules.start);
        let pace = if plain { ROOM_PLAIN } else { ROOM_BACK };
        self.room = room.min(self.room + pace * seconds);
        self.spare = spare.min(self.spare + pace * seconds);
        let shares = [self.spill, self.room, self.spare];
        debug_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
    }
}
