//! The world: clock, events, and everything in it.

mod control;
mod faults;
mod flow;

use crate::fault::Fault;
use crate::global::Global;
use crate::ledger::{Ledger, check_global, check_pool, check_retries};
use crate::queue::{Event, Queue};
use crate::regional::Pool;
use crate::request::Request;
use crate::server::Server;
use crate::setup::Setup;
use lb_core::time::Instant;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// How often control threads run.
const CONTROL: Duration = Duration::from_millis(100);
/// How often reports travel.
const REPORTS: Duration = Duration::from_millis(200);
/// How often everything is probed.
const PROBES: Duration = Duration::from_secs(1);

/// A regional replica.
#[derive(Debug)]
pub struct Replica {
    /// The servers as it sees them.
    pub pool: Pool,
    /// Nothing listens.
    pub crashed: bool,
    /// Accepts, and never answers.
    pub frozen: bool,
    /// Requests that it works on.
    pub in_flight: u64,
    /// Requests and refusals of the last reports' intervals, the newest first.
    window: [(u64, u64); 5],
}

/// A region as it is.
#[derive(Debug)]
pub struct Place {
    /// Its servers.
    pub servers: Vec<Server>,
    /// Its replicas.
    pub replicas: Vec<Replica>,
    /// All probes in it fail, whatever works.
    pub checks_fail: bool,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// What it began with.
    pub setup: Setup,
    /// The regions.
    pub places: Vec<Place>,
    /// The global replicas.
    pub globals: Vec<Global>,
    /// What happened.
    pub ledger: Ledger,
    now: Instant,
    rng: SmallRng,
    queue: Queue,
    requests: Vec<Option<Request>>,
    free: Vec<usize>,
    serial: u64,
    faults: Vec<Fault>,
    /// Which global replica can't reach which region.
    cut: Vec<Vec<bool>>,
    load: f64,
    storm: u8,
    /// Servers that the n-th fault hit.
    hit: Vec<Vec<usize>>,
}

// === impl World ===

impl World {
    /// A world at its beginning, with what will go wrong in it.
    #[must_use]
    pub fn new(setup: Setup, faults: Vec<Fault>) -> Self {
        let replica = |_| Replica {
            pool: Pool::new(setup.servers, setup.policy, setup.on),
            crashed: false,
            frozen: false,
            in_flight: 0,
            window: [(0, 0); 5],
        };
        let place = |_| Place {
            servers: vec![Server::new(setup.slots); setup.servers],
            replicas: (0..setup.replicas).map(replica).collect(),
            checks_fail: false,
        };
        let mut queue = Queue::default();
        for event in [
            Event::Probes,
            Event::Reports,
            Event::Control,
            Event::Arrival,
        ] {
            queue.push(Instant::from_millis(1), event);
        }
        for (at, fault) in faults.iter().enumerate() {
            queue.push(Instant::ZERO + fault.from, Event::Begin(at));
            queue.push(Instant::ZERO + fault.until, Event::End(at));
        }
        Self {
            places: (0..setup.regions).map(place).collect(),
            globals: (0..setup.globals).map(|_| Global::new(&setup)).collect(),
            ledger: Ledger::default(),
            now: Instant::ZERO,
            rng: SmallRng::seed_from_u64(setup.seed),
            queue,
            requests: Vec::new(),
            free: Vec::new(),
            serial: 0,
            cut: vec![vec![false; setup.regions]; setup.globals],
            load: 1.0,
            storm: 0,
            hit: vec![Vec::new(); faults.len()],
            faults,
            setup,
        }
    }

    /// Plays it to the end, checking the invariants after each control step.
    ///
    /// # Panics
    /// When an invariant breaks.
    #[must_use]
    pub fn run(mut self) -> Self {
        let end = Instant::ZERO + self.setup.length;
        while let Some((at, event)) = self.queue.pop() {
            assert!(at >= self.now, "time runs backwards");
            self.now = at;
            let over = at >= end;
            if over && self.free.len() == self.requests.len() {
                break;
            }
            self.handle(event, over);
        }
        assert_eq!(self.held(), (0, 0), "requests in flight at the end");
        self
    }

    /// Second by second: requests that ended well and badly, tries by region; and the regions' state at the end.
    #[must_use]
    pub fn story(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for (at, second) in self.ledger.seconds.iter().enumerate() {
            let (good, bad, refused) = (second.good, second.bad, second.refused);
            let tries = &second.tries;
            lines.push(format!(
                "{at:4} s: {good} good, {bad} bad, {refused} refused, tries {tries:?}"
            ));
        }
        for (at, global) in self.globals.iter().enumerate() {
            for region in &global.regions {
                let (state, why) = (region.evidence.state(), region.evidence.why());
                lines.push(format!(
                    "global {at}: {state:?} by {why:?}, {} flips",
                    region.flips
                ));
            }
            lines.push(format!("  {:?}", global.verdicts));
            for candidate in &global.candidates {
                lines.push(format!(
                    "  {:?} {:?}",
                    candidate.condition, candidate.factors
                ));
            }
        }
        lines.join("\n")
    }

    fn handle(&mut self, event: Event, over: bool) {
        match event {
            Event::Arrival | Event::Again { .. } if over => {}
            Event::Arrival => self.arrive(),
            Event::Again { client, nth } => self.begin(client, nth),
            Event::Done { request, serial } => self.done(request, serial),
            Event::Retry { request, serial } => self.retry(request, serial),
            Event::Probes => {
                self.probe();
                self.queue.push(self.now + PROBES, event);
            }
            Event::Reports => {
                self.report();
                self.queue.push(self.now + REPORTS, event);
            }
            Event::Control => {
                self.control();
                self.check();
                self.queue.push(self.now + CONTROL, event);
            }
            Event::Begin(at) => self.apply(at, true),
            Event::End(at) => self.apply(at, false),
        }
    }

    fn arrive(&mut self) {
        let client = self.rng.random_range(0..self.setup.clients);
        self.begin(client, 0);
        let mean = 1.0 / (self.setup.rps * self.load);
        let pause = -mean * (1.0 - self.rng.random::<f64>()).ln();
        self.queue
            .push(self.now + Duration::from_secs_f64(pause), Event::Arrival);
    }

    /// The invariants.
    fn check(&mut self) {
        let on = self.setup.on;
        for replica in self.places.iter().flat_map(|place| &place.replicas) {
            check_pool(&replica.pool, self.now, on.ejection_cap, on.budget);
        }
        for global in &self.globals {
            if on.budget {
                check_retries(&global.retries, self.now);
            }
            for region in &global.regions {
                check_pool(&region.pool, self.now, on.ejection_cap, false);
            }
            let removed = check_global(global, self.now, on.removal);
            self.ledger.most_removed = self.ledger.most_removed.max(removed);
        }
        let held = |held: fn(&Request) -> bool| {
            self.requests.iter().flatten().filter(|r| held(r)).count() as u64
        };
        let expected = (
            held(|request| request.at_replica.is_some()),
            held(|request| request.at_server.is_some()),
        );
        assert_eq!(self.held(), expected, "counts in flight are exact");
    }

    /// Requests that global and regional pools count in flight.
    fn held(&self) -> (u64, u64) {
        let regions = self.globals.iter().flat_map(|global| &global.regions);
        let replicas = self.places.iter().flat_map(|place| &place.replicas);
        (
            regions.map(|region| region.pool.in_flight()).sum(),
            replicas.map(|replica| replica.pool.in_flight()).sum(),
        )
    }
}
