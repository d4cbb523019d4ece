//! One request on its way: what is known of it, and what happened so far.

use super::mirror::Copy;
use super::sticky::Pinned;
use crate::clock;
use crate::plan::{Action, Plan, Rule};
use crate::upstream::{Endpoint, Entry, Place, Pool, RegionMemory};
use bytes::Bytes;
use http::HeaderValue;
use lb_core::balance::EndpointId;
use lb_core::config::model::Location;
use lb_core::http::tier::Priority;
use lb_core::reason::Reason;
use lb_core::region::Ask;
use lb_core::retry::{Facts, Failure, Kind, Stop, Verdict};
use lb_core::time::Instant;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Request bodies up to this size are kept, so that a retry can send them again.
const REPLAY_LIMIT: usize = 64 << 10;

/// The state of one request.
pub(crate) struct Request {
    pub(super) plan: Arc<Plan>,
    pub(super) rule: Arc<Rule>,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// The time when something last took time.
    pub(super) now: Instant,
    /// The other end of its connection.
    pub(super) peer: SocketAddr,
    /// The address behind all trusted proxies.
    pub(super) client: IpAddr,
    /// The peer's forwarding headers are believed.
    pub(super) trusted: bool,
    pub(super) id: HeaderValue,
    pub(super) priority: Priority,
    /// Tries that tiers before this one made.
    pub(super) prior_attempt: u32,
    pub(super) location: Option<Location>,
    pub(super) hash_key: Option<u64>,
    /// What it brings to the choice of a region.
    pub(super) ask: Ask,
    pub(super) is_upgrade: bool,
    /// What its cookie says, in a pool that has one.
    pub(super) pinned: Option<Pinned>,
    /// The copy for another pool.
    pub(super) copy: Option<Copy>,
    /// The region report that goes with the response, when one is due.
    pub(super) report: Option<HeaderValue>,
    /// The response tells a trusted peer that this process leaves.
    pub(super) tells_leaving: bool,
    pub(super) idempotent: bool,
    pub(super) body: Upload,
    /// The place in the pool, until the response's head.
    pub(super) entry: Option<Entry>,
    pub(super) tries: Tries,
    pub(super) times: Times,
}

/// The request's body on its way to the endpoint.
#[derive(Default)]
pub(super) struct Upload {
    kept: Vec<Bytes>,
    size: u64,
    lost: bool,
    /// The client has sent all of it.
    pub(super) complete: bool,
}

/// The tries made so far.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) made: u32,
    /// What the last retry was made for.
    pub(super) retried: Option<Kind>,
    /// Endpoints that were tried.
    pub(super) endpoints: Vec<EndpointId>,
    /// Regions that are done with, by position.
    pub(super) spent_regions: Vec<usize>,
    /// The region of the last try takes its outcome down.
    pub(super) memory: Option<Arc<RegionMemory>>,
    /// The region that it belongs to is out, and no other has room.
    pub(super) found_no_room: bool,
    /// The region that is being tried is not the one that it belongs to.
    pub(super) is_guest: bool,
    /// The region that refused it for overload.
    pub(super) refused_by: Option<usize>,
    /// The region that is being tried, and how often it was.
    pub(super) region: Option<(usize, u32)>,
    pub(super) pool: Option<Arc<Pool>>,
    pub(super) last: Option<Arc<Endpoint>>,
    /// Counts the try as the endpoint's load, until the endpoint has done its part.
    pub(super) in_flight: Option<Place>,
    /// The last choice found every endpoint full.
    pub(super) full: bool,
    /// An endpoint may have got some of the request.
    pub(super) reached: bool,
    /// What the response that goes to the client says beside its status.
    pub(super) told: Option<Failure>,
    pub(super) reused: bool,
    /// How long the connection had been idle, when it was used before.
    pub(super) idle: Duration,
}

/// Where the time went.
#[derive(Default, Clone, Copy)]
pub(super) struct Times {
    /// When the last try was sent.
    pub(super) sent: Instant,
    /// When the request's body was complete, if it had one.
    pub(super) uploaded: Instant,
    /// Opening the last connection.
    pub(super) connect: Duration,
    /// From sending the last try to its response's head.
    pub(super) first_byte: Duration,
    /// Waiting for endpoints, over all tries.
    pub(super) upstream: Duration,
}

/// What is known of a request before it is routed.
pub(super) struct Admitted {
    pub(super) client: IpAddr,
    pub(super) trusted: bool,
    pub(super) id: HeaderValue,
    pub(super) priority: Priority,
    pub(super) prior_attempt: u32,
    pub(super) time_left: Option<Duration>,
    pub(super) location: Option<Location>,
}

// === impl Tries ===

impl Tries {
    /// Whether regions are left out because they are full.
    pub(super) const fn is_short_of_room(&self) -> bool {
        self.found_no_room || self.refused_by.is_some()
    }
}

// === impl Request ===

impl Request {
    pub(super) fn new(
        plan: Arc<Plan>,
        rule: Arc<Rule>,
        admitted: Admitted,
        head: &pingora_http::RequestHeader,
        peer: SocketAddr,
        started: Instant,
    ) -> Self {
        let limit = rule.timeouts.request;
        let limit = admitted.time_left.map_or(limit, |left| left.min(limit));
        Self {
            deadline: started + limit,
            plan,
            rule,
            started,
            now: started,
            peer,
            client: admitted.client,
            trusted: admitted.trusted,
            id: admitted.id,
            priority: admitted.priority,
            prior_attempt: admitted.prior_attempt,
            location: admitted.location,
            hash_key: None,
            ask: Ask::default(),
            is_upgrade: false,
            pinned: None,
            copy: None,
            report: None,
            tells_leaving: false,
            idempotent: head.method.is_idempotent(),
            body: Upload::default(),
            entry: None,
            tries: Tries::default(),
            times: Times::default(),
        }
    }

    /// Decides on another try. On a retry the pause is told and the budget charged.
    pub(super) fn after_failure(&mut self, failure: Failure) -> Result<Duration, Reason> {
        self.tries.reached |= !failure.is_unsent();
        let Some(pool) = self.tries.pool.clone() else {
            return Err(failure.reason());
        };
        let facts = Facts {
            idempotent: self.idempotent,
            replayable: self.body.is_replayable(),
            tries: self.tries.made,
            deadline: self.deadline,
        };
        // One other region is asked: when that has no room either, a third would hardly have any.
        if failure == Failure::Overloaded && (self.is_regional() || self.tries.refused_by.is_some())
        {
            return Err(Reason::Overloaded);
        }
        let extra = u32::from(!self.is_regional());
        let now = self.tick();
        let verdict = clock::with_rng(|rng| {
            self.rule
                .retry
                .decide(failure, &facts, extra, &self.rule.budget, now, rng)
        });
        match verdict {
            Verdict::Retry(pause) => {
                pool.metrics.retry(failure);
                self.rule.metrics.retry();
                self.tries.retried = Kind::of(failure);
                self.leave_region(failure);
                Ok(pause)
            }
            Verdict::Stop(stop) => {
                if matches!(stop, Stop::Budget | Stop::Futile) {
                    pool.metrics.budget_exhausted.inc();
                }
                Err(failure.reason())
            }
        }
    }

    /// Gives the current region up when its tries are spent or it said that it is overloaded.
    fn leave_region(&mut self, failure: Failure) {
        if let Some((index, made)) = self.tries.region
            && (made >= self.rule.retry.tries() || failure == Failure::Overloaded)
        {
            if failure == Failure::Overloaded {
                self.tries.refused_by = Some(index);
            }
            self.tries.spent_regions.push(index);
            self.tries.region = None;
        }
    }

    pub(super) fn is_regional(&self) -> bool {
        !matches!(self.rule.action, Action::Regions(_))
    }

    /// The time that is left for the whole request, as of [`Request::now`].
    pub(super) fn time_left(&self) -> Duration {
        self.now.until(self.deadline)
    }

    /// Reads the clock. In between, `now` is what it was when something last took time: reading it at
    /// each question would cost a tenth of a microsecond per request, and change no answer.
    pub(super) fn tick(&mut self) -> Instant {
        self.now = clock::now();
        self.now
    }

    /// The client has sent the whole body. A request with a body is timed from here on: until now the
    /// client set the pace.
    pub(super) fn body_ended(&mut self) {
        self.body.complete = true;
        if self.body.size > 0 {
            self.deadline = self.deadline.max(self.tick() + self.rule.timeouts.request);
            self.times.uploaded = self.now;
        }
    }

    /// The response's head has arrived.
    pub(super) fn head_arrived(&mut self) {
        let now = self.tick();
        self.times.first_byte = now.since(self.times.sent);
    }

    /// How long the response's head is waited for, once the request is sent.
    pub(super) fn head_timeout(&self) -> Duration {
        self.rule
            .timeouts
            .first_byte
            .min(self.time_left())
            .max(Duration::from_millis(1))
    }

    /// The number of this try over all tiers, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.prior_attempt.max(1) - 1 + self.tries.made
    }
}

// === impl Upload ===

impl Upload {
    /// Takes a piece that came from the client; `false` when the body exceeds `limit`.
    pub(super) fn take(&mut self, piece: &Bytes, limit: Option<u64>) -> bool {
        self.size += piece.len() as u64;
        if self.size > REPLAY_LIMIT as u64 {
            self.lost = true;
            self.kept = Vec::new();
        } else {
            self.kept.push(piece.clone());
        }
        limit.is_none_or(|limit| self.size <= limit)
    }

    /// What was taken so far, to be sent again.
    pub(super) fn kept(&self) -> &[Bytes] {
        &self.kept
    }

    /// The body, when all of it came and was kept.
    pub(super) fn whole(&self) -> Option<&[Bytes]> {
        (self.complete && !self.lost).then_some(&*self.kept)
    }

    /// Bytes taken.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn is_replayable(&self) -> bool {
        !self.lost
    }
}
