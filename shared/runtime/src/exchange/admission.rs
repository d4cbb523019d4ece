//! Letting a routed request in to its pool: at once, after a short wait, or not at all.
//!
//! The places themselves are `upstream/admission`; this is what a request does with them. It takes its entry once, before
//! its first try, and keeps it over its tries: a retry is not a second request of the user. It gives it back when the
//! response's head has come, and that is also when the latency is told to the adaptive limit.
//!
//! A request with a body has to find a place like any other, and leaves it to others until the body is complete: until then
//! its client sets the pace, and a hundred slow uploads would fill the limit of a quiet pool. Then it counts, whether
//! there is a place or not, as what has been sent can't be taken back. Rejected: to keep the place for some milliseconds, which
//! the same hundred uploads fill one after the other while everybody else waits.
//!
//! # What is told, and what not
//! - The time from the request's last byte to the response's head. Queueing here is not part of it: the limit would find its
//!   own queue.
//! - First-byte time-outs, and servers that refuse for overload, as *dropped*: there is no latency, but too much load.
//! - Not: failed connections, resets and 5xx answers, which take no time to speak of, and would make a broken pool look fast;
//!   nor requests whose body was still on its way when the answer came, as the client set the pace.
//!
//! While a request waits, its client is watched: when it leaves, so does the request.

use super::pump::TryEnd;
use super::request::{Request, Tries};
use crate::plan::Action;
use crate::upstream::{Admission, Cause, Endpoint, Entry, Need, Pool};
use lb_core::balance::EndpointId;
use lb_core::reason::Reason;
use lb_core::retry::Failure;
use lb_core::time::Instant;
use pingora_core::protocols::http::ServerSession;
use std::sync::Arc;

/// Choices that find their endpoint full, before all are looked through.
const LOTS: usize = 8;

/// Takes a place in the pool of a routed request, where it has one.
pub(super) async fn enter(
    session: &mut ServerSession,
    request: &mut Request,
) -> Result<(), TryEnd> {
    let Action::Pool(pool) = &request.rule.action else {
        return Ok(());
    };
    if let Some(entry) = pool.admission.enter(request.priority) {
        request.keep(entry);
        return Ok(());
    }
    let (pool, until) = (pool.clone(), request.deadline);
    wait(session, request, &pool, Need::Limit, until).await
}

/// Chooses the next endpoint. When all are full, the first try waits for one.
pub(super) async fn select(
    session: &mut ServerSession,
    request: &mut Request,
) -> Result<Option<Arc<Endpoint>>, TryEnd> {
    let rule = request.rule.clone();
    let Action::Pool(pool) = &rule.action else {
        return Ok(request.select());
    };
    let is_first = request.tries.made == 0;
    let mut goes_behind = is_first && pool.admission.has_waiters();
    let mut until = None;
    loop {
        if !goes_behind {
            let chosen = request.select();
            if chosen.is_some() || !request.tries.full || !is_first {
                return Ok(chosen);
            }
        }
        goes_behind = false;
        let now = request.tick();
        let until = *until.get_or_insert_with(|| pool.admission.patience(request.deadline, now));
        // Who waits for an endpoint must not keep others out of the pool.
        if let Some(entry) = request.entry.take() {
            entry.forfeit();
        }
        wait(session, request, pool, Need::Endpoint, until).await?;
    }
}

/// An endpoint that `pick` chooses and that has room; its place is taken. Full ones are passed over for this choice only.
pub(super) fn with_room(
    pool: &Pool,
    tries: &mut Tries,
    pick: impl Fn(&[EndpointId]) -> Option<Arc<Endpoint>>,
) -> Option<Arc<Endpoint>> {
    let tried = tries.endpoints.len();
    let mut found = None;
    tries.full = false;
    while let Some(endpoint) = pick(&tries.endpoints) {
        tries.in_flight = pool.admission.begin(&endpoint);
        if tries.in_flight.is_some() {
            found = Some(endpoint);
            break;
        }
        tries.full = true;
        tries.endpoints.push(endpoint.id);
        if tries.endpoints.len() - tried >= LOTS {
            found = any_with_room(pool, tries);
            break;
        }
    }
    tries.endpoints.truncate(tried);
    tries.full &= found.is_none();
    found
}

fn any_with_room(pool: &Pool, tries: &mut Tries) -> Option<Arc<Endpoint>> {
    let view = pool.view();
    let left = |endpoint: &&Arc<Endpoint>| !tries.endpoints.contains(&endpoint.id);
    for endpoint in view.endpoints().iter().filter(left) {
        if let Some(place) = pool.admission.begin(endpoint) {
            tries.in_flight = Some(place);
            return Some(endpoint.clone());
        }
    }
    None
}

/// Waits for a place, and for the client to leave.
async fn wait(
    session: &mut ServerSession,
    request: &mut Request,
    pool: &Arc<Pool>,
    need: Need,
    until: Instant,
) -> Result<(), TryEnd> {
    let admission = &pool.admission;
    let entry = {
        let waiting = admission.wait(request.priority, need, until, || {
            need == Need::Limit || has_room(pool)
        });
        // A body that has not been read is left alone: it is sent once there is an endpoint to take it.
        let is_watched = request.body.complete;
        tokio::select! {
            biased;
            entry = waiting => entry,
            _ = session.read_body_or_idle(true), if is_watched => {
                return Err(TryEnd::ClientLeft { status: None });
            }
        }
    };
    request.tick();
    match entry {
        Ok(entry) => {
            request.keep(entry);
            Ok(())
        }
        Err(cause) => {
            request.tries.pool = Some(pool.clone());
            Err(request.shed(admission, cause))
        }
    }
}

fn has_room(pool: &Pool) -> bool {
    let most = pool.admission.max_in_flight();
    let view = pool.view();
    let mut endpoints = view.endpoints().iter();
    endpoints.any(|endpoint| endpoint.load.in_flight() < most)
}

// === impl Request ===

impl Request {
    fn shed(&self, admission: &Admission, cause: Cause) -> TryEnd {
        admission.shed(self.priority, cause);
        TryEnd::Refused(Reason::Overloaded)
    }

    /// Counts the try at its endpoint, unless the choice did.
    pub(super) fn begin_try(&mut self, endpoint: &Endpoint) {
        if let (None, Some(pool)) = (&self.tries.in_flight, &self.tries.pool) {
            self.tries.in_flight = Some(pool.admission.begin_anyway(endpoint));
        }
    }

    /// The response's head has come: the place is the next one's.
    pub(super) fn leave_admission(&mut self, status: u16) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        if status < 500 && self.body.complete {
            let begun = self.times.sent.max(self.times.uploaded);
            entry.answered(self.now.since(begun), self.now);
        }
    }

    fn keep(&mut self, entry: Entry) {
        if self.body.complete {
            self.entry = Some(entry);
        } else {
            entry.forfeit();
        }
    }

    /// The body is complete, and the work begins.
    pub(super) fn count_upload(&mut self) {
        if let (None, Action::Pool(pool)) = (&self.entry, &self.rule.action) {
            self.entry = Some(pool.admission.enter_anyway());
        }
    }

    /// The client has left; when it waited for an answer, the limit is told.
    pub(super) fn client_left(&mut self) {
        if let (Some(entry), true) = (self.entry.take(), self.body.complete) {
            let begun = self.times.sent.max(self.times.uploaded);
            entry.left(self.now.since(begun), self.now);
        }
    }

    /// Tells the limit of a failed try, when it speaks of load.
    pub(super) fn sample_failure(&self, failure: Failure) {
        if matches!(failure, Failure::FirstByteTimeout | Failure::Overloaded) {
            self.entry
                .as_ref()
                .inspect(|entry| Entry::dropped(entry, self.now));
        }
    }
}
