//! A request's way: region, replica, server, and back.

use super::World;
use crate::queue::Event;
use crate::regional::id;
use crate::request::Request;
use crate::server::{FIRST_BYTE, Outcome};
use lb_core::balance::hash::mix;
use lb_core::region::tally::Tally;
use lb_core::region::{Ask, Choice, Condition};
use lb_core::retry::{Facts, Failure, Kind};
use lb_core::time::Instant;
use rand::seq::IteratorRandom;
use std::time::Duration;

/// A connection that nothing answers is given up after this.
const CONNECT: Duration = Duration::from_secs(1);
/// An answer that costs no work.
const AT_ONCE: Duration = Duration::from_millis(1);
/// The whole request.
const DEADLINE: Duration = Duration::from_secs(15);
/// Requests in flight that a replica admits, in multiples of its share of the slots.
const ADMITTED: usize = 4;
/// A drain is known everywhere after this.
const DRAINED: Duration = Duration::from_millis(250);

// === impl World ===

impl World {
    pub(super) fn begin(&mut self, client: u64, nth: u8) {
        let global = (mix(client) % self.setup.globals as u64) as usize;
        self.ledger.requests += 1;
        self.globals[global].retries.deposit(self.now);
        let request = Request {
            client,
            nth,
            serial: 0,
            since: self.now,
            global,
            region: 0,
            replica: 0,
            server: None,
            run: 0,
            outcome: Outcome {
                at: self.now,
                failure: None,
            },
            tried_at: self.now,
            tries: 0,
            local_tries: 0,
            left: Vec::new(),
            replicas_tried: Vec::new(),
            servers_tried: Vec::new(),
            at_replica: None,
            at_server: None,
            local_retry: false,
            retried: None,
            local_retried: None,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.requests.push(None);
            self.requests.len() - 1
        });
        self.enter(slot, request);
    }

    /// The global tier's try.
    fn enter(&mut self, slot: usize, mut request: Request) {
        let now = self.now;
        request.servers_tried.clear();
        request.local_tries = 0;
        request.local_retried = None;
        request.tried_at = now;
        loop {
            let Some(region) = self.choose_region(&request) else {
                return self.end(slot, request, true);
            };
            if region != request.region {
                request.replicas_tried.clear();
            }
            request.region = region;
            let pool = &self.globals[request.global].regions[region].pool;
            let tried = &request.replicas_tried;
            let picked = pool
                .pick(request.client, tried, now, &mut self.rng)
                .or_else(|| {
                    let left = (0..pool.members.len()).filter(|at| !tried.contains(&id(*at)));
                    let at = left.choose(&mut self.rng)?;
                    Some((at, pool.members[at].load.begin()))
                });
            let Some((replica, guard)) = picked else {
                request.left.push(region);
                continue;
            };
            request.tries += 1;
            request.replica = replica;
            request.replicas_tried.push(id(replica));
            request.at_replica = Some(guard);
            break;
        }
        self.ledger.reached(request.region, now);
        let replica = &mut self.places[request.region].replicas[request.replica];
        let lost = if self.cut[request.global][request.region] {
            Some((CONNECT, Failure::Connect))
        } else if replica.crashed {
            Some((AT_ONCE, Failure::Connect))
        } else if replica.frozen {
            Some((FIRST_BYTE, Failure::FirstByteTimeout))
        } else {
            None
        };
        if let Some((after, failure)) = lost {
            request.server = None;
            return self.wait(slot, request, now + after, Some(failure));
        }
        replica.window[0].0 += 1;
        let most = ADMITTED * self.setup.slots * self.setup.servers / self.setup.replicas;
        if replica.in_flight >= most.max(4) as u64 {
            replica.window[0].1 += 1;
            request.server = None;
            return self.wait(slot, request, now + AT_ONCE, Some(Failure::Overloaded));
        }
        replica.in_flight += 1;
        replica.pool.retries.deposit(now);
        self.serve(slot, request);
    }

    /// The region for a try; none when it is refused.
    fn choose_region(&mut self, request: &Request) -> Option<usize> {
        let global = &self.globals[request.global];
        let ask = Ask {
            client: Some(mix(request.client ^ 0xc11e)),
            ..Ask::default()
        };
        let left = |at: usize| request.left.contains(&at);
        let choice = global
            .ranking
            .choose(&global.candidates, &ask, left, &mut self.rng);
        let first = request.tries == 0 && request.left.is_empty();
        match choice {
            Choice::Region(picked) => {
                if first {
                    let tally = |at: usize| global.regions.get(at).map(|region| &region.tally);
                    Tally::count_pick(tally, &picked);
                }
                let condition = global.candidates[picked.index].condition;
                let drained = condition == Condition::Drained && !picked.last_resort;
                assert!(!drained, "a request went to a drained region");
                Some(picked.index)
            }
            Choice::Full(home) => {
                if first {
                    global.regions[home].tally.count_refused();
                }
                let needless = global.has_plain_room();
                let second = self.ledger.second(self.now);
                second.refused += 1;
                second.needless += u64::from(needless);
                None
            }
            Choice::Exhausted => None,
        }
    }

    /// The regional tier's try.
    fn serve(&mut self, slot: usize, mut request: Request) {
        let (now, service) = (self.now, self.setup.service);
        let place = &mut self.places[request.region];
        let pool = &place.replicas[request.replica].pool;
        let tried = &request.servers_tried;
        let picked = pool
            .pick(request.client, tried, now, &mut self.rng)
            .or_else(|| {
                let open = |at: &usize| !pool.members[*at].drained && !tried.contains(&id(*at));
                let at = (0..pool.members.len()).filter(open).choose(&mut self.rng)?;
                Some((at, pool.members[at].load.begin()))
            });
        request.local_tries += 1;
        let Some((at, guard)) = picked else {
            request.server = None;
            return self.wait(slot, request, now + AT_ONCE, Some(Failure::Unserved));
        };
        let server = &mut place.servers[at];
        let drained = server.drained && now.since(server.drained_at) > DRAINED;
        assert!(!drained, "a request went to a drained server");
        self.ledger.server_tries += 1;
        let outcome = server.accept(now, service, &mut self.rng);
        request.run = server.run;
        request.server = Some(at);
        request.servers_tried.push(id(at));
        request.at_server = Some(guard);
        self.wait(slot, request, outcome.at, outcome.failure);
    }

    fn wait(&mut self, slot: usize, mut request: Request, at: Instant, failure: Option<Failure>) {
        self.serial += 1;
        request.serial = self.serial;
        request.outcome = Outcome { at, failure };
        let serial = request.serial;
        self.requests[slot] = Some(request);
        self.queue.push(
            at,
            Event::Done {
                request: slot,
                serial,
            },
        );
    }

    pub(super) fn done(&mut self, slot: usize, serial: u64) {
        let known = self.requests[slot].as_ref();
        if known.is_none_or(|request| request.serial != serial) {
            return;
        }
        let Some(mut request) = self.requests[slot].take() else {
            return;
        };
        let Some(at) = request.server else {
            return self.answered(slot, request);
        };
        let server = &self.places[request.region].servers[at];
        if server.run != request.run {
            request.outcome.failure = Some(Failure::Reset);
        } else if server.frozen && request.outcome.failure.is_none() {
            let until = (request.tried_at + FIRST_BYTE).max(self.now);
            return self.wait(slot, request, until, Some(Failure::FirstByteTimeout));
        }
        request.at_server = None;
        let (now, failure) = (self.now, request.outcome.failure);
        let replica = &mut self.places[request.region].replicas[request.replica];
        let latency = now.since(request.tried_at);
        let counts = failure.map(Failure::is_gateway_error);
        replica.pool.record(at, counts, latency, now, &mut self.rng);
        let again = failure.and_then(|failure| {
            let facts = facts(&request, request.local_tries);
            let retries = &mut replica.pool.retries;
            retries.decide(failure, &facts, 0, now, &mut self.rng)
        });
        if let (Some(pause), Some(failure)) = (again, failure) {
            request.local_retried = Kind::of(failure);
            return self.pause(slot, request, pause, true);
        }
        let saved = failure.is_none();
        replica
            .pool
            .retries
            .settle(request.local_retried, saved, now);
        // What a regional replica passes on is an answer of its own.
        request.outcome.failure = failure.map(|failure| match failure {
            Failure::FirstByteTimeout => Failure::Status(504),
            Failure::Status(status) => Failure::Status(status),
            Failure::Connect => Failure::Unserved,
            _ => Failure::Status(502),
        });
        self.answered(slot, request);
    }

    /// A try of the global tier is over.
    fn answered(&mut self, slot: usize, mut request: Request) {
        let now = self.now;
        let replica = &mut self.places[request.region].replicas[request.replica];
        if request.local_tries > 0 {
            replica.in_flight -= 1;
            if replica.crashed {
                request.outcome.failure = Some(Failure::Reset);
            } else if replica.frozen {
                request.outcome.failure = Some(Failure::FirstByteTimeout);
            }
        }
        request.at_replica = None;
        let failure = request.outcome.failure;
        let latency = now.since(request.tried_at);
        let global = &mut self.globals[request.global];
        let region = &mut global.regions[request.region];
        let counts = failure.map(Failure::is_gateway_error);
        let at = request.replica;
        region.pool.record(at, counts, latency, now, &mut self.rng);
        match counts {
            None => region.tally.succeeded(latency),
            Some(true) => region.tally.failed(),
            Some(false) => {}
        }
        let Some(failure) = failure else {
            global.retries.settle(request.retried, true, now);
            return self.end(slot, request, false);
        };
        let facts = facts(&request, request.tries);
        let again = global
            .retries
            .decide(failure, &facts, 1, now, &mut self.rng);
        let Some(pause) = again else {
            global.retries.settle(request.retried, false, now);
            return self.end(slot, request, true);
        };
        request.retried = Kind::of(failure);
        // A region that answered has tried what it could; one that did not may have a sister replica that does.
        let answered = matches!(
            failure,
            Failure::Status(_) | Failure::Overloaded | Failure::Unserved
        );
        if answered || request.replicas_tried.len() >= region.pool.members.len().min(2) {
            request.left.push(request.region);
        }
        self.pause(slot, request, pause, false);
    }

    fn pause(&mut self, slot: usize, mut request: Request, pause: Duration, local: bool) {
        self.serial += 1;
        request.serial = self.serial;
        request.local_retry = local;
        let serial = request.serial;
        self.requests[slot] = Some(request);
        self.queue.push(
            self.now + pause,
            Event::Retry {
                request: slot,
                serial,
            },
        );
    }

    pub(super) fn retry(&mut self, slot: usize, serial: u64) {
        let known = self.requests[slot].as_ref();
        if known.is_none_or(|request| request.serial != serial) {
            return;
        }
        if let Some(request) = self.requests[slot].take() {
            if request.local_retry {
                self.serve(slot, request);
            } else {
                self.enter(slot, request);
            }
        }
    }

    fn end(&mut self, slot: usize, request: Request, failed: bool) {
        let now = self.now;
        self.free.push(slot);
        self.ledger
            .note(now.as_nanos() ^ request.client << 1 ^ u64::from(failed));
        let second = self.ledger.second(now);
        if failed {
            second.bad += 1;
        } else {
            second.good += 1;
            let millis = now.since(request.since).as_secs_f64() * 1e3;
            if let Some(latencies) = self.ledger.latencies.last_mut() {
                latencies.push(millis);
            }
        }
        if failed && request.nth < self.storm {
            let again = Event::Again {
                client: request.client,
                nth: request.nth + 1,
            };
            self.queue.push(now + Duration::from_millis(100), again);
        }
    }
}

fn facts(request: &Request, tries: u32) -> Facts {
    Facts {
        idempotent: true,
        replayable: true,
        tries,
        deadline: request.since + DEADLINE,
    }
}
