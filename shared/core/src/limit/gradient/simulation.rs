//! A pool as a queueing system: servers with workers and a queue without end, arrivals at random, at one replica or several that don't
//! know of each other.

use super::{AdaptiveLimit, End, Rules, Sample};
use crate::time::Instant;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::time::Duration;

/// How service times are spread around their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Service {
    Constant,
    Exponential,
    /// One in twenty takes 20 times as long as the others.
    Bimodal,
}

/// One stretch of load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) seconds: f64,
    pub(super) offered_rps: f64,
    /// Mean service time in seconds.
    pub(super) service: f64,
}

/// What a stretch did, without its first part.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) offered: u64,
    pub(super) shed: u64,
    pub(super) done: u64,
    pub(super) seconds: f64,
    pub(super) latencies: Vec<f64>,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    arrived: u64,
    /// What it met at its replica.
    met: u32,
    number: u64,
    replica: usize,
    server: usize,
}

/// What a replica knows: its limit, and its own requests at each server.
struct Replica {
    limit: Option<AdaptiveLimit>,
    loads: Vec<u32>,
}

#[derive(Default, Clone)]
struct Server {
    busy: u32,
    queue: VecDeque<Job>,
}

pub(super) struct Simulation {
    replicas: Vec<Replica>,
    servers: Vec<Server>,
    /// One in so many requests takes so many times as long.
    pub(super) slow: (u32, f64),
    /// Seconds after which a client leaves. The work on its request goes on.
    pub(super) patience: f64,
    /// Requests whose clients have not left, in the order in which they will.
    waiting: VecDeque<Job>,
    ended: HashSet<u64>,
    serial: u64,
    /// Of each server.
    workers: u32,
    spread: Service,
    running: BinaryHeap<Reverse<(u64, Job)>>,
    now: u64,
    rng: SmallRng,
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn goodput(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    pub(super) fn mean(&self) -> f64 {
        self.latencies.iter().sum::<f64>() / self.latencies.len().max(1) as f64
    }

    pub(super) fn quantile(&self, q: f64) -> f64 {
        let mut all = self.latencies.clone();
        all.sort_by(f64::total_cmp);
        all.get(((all.len() as f64 - 1.0) * q) as usize)
            .copied()
            .unwrap_or(0.0)
    }
}

// === impl Replica ===

impl Replica {
    fn in_flight(&self) -> u32 {
        self.loads.iter().sum()
    }
}

// === impl Simulation ===

impl Simulation {
    pub(super) fn new(workers: u32, spread: Service, limited: bool, seed: u64) -> Self {
        let mut sim = Self::shared((1, 1), workers, spread, seed);
        if !limited {
            sim.replicas.iter_mut().for_each(|r| r.limit = None);
        }
        sim
    }

    /// So many replicas before so many servers, each with `workers`.
    pub(super) fn shared(
        (replicas, servers): (usize, usize),
        workers: u32,
        spread: Service,
        seed: u64,
    ) -> Self {
        let replica = |number: usize| Replica {
            limit: Some(AdaptiveLimit::new(
                Rules::default(),
                seed + 1000 * number as u64,
                Instant::ZERO,
            )),
            loads: vec![0; servers],
        };
        Self {
            replicas: (0..replicas).map(replica).collect(),
            servers: vec![Server::default(); servers],
            slow: (1, 1.0),
            patience: f64::INFINITY,
            waiting: VecDeque::new(),
            ended: HashSet::new(),
            serial: 0,
            workers,
            spread,
            running: BinaryHeap::new(),
            now: 0,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// Runs a stretch; outcomes of its first `skip` seconds are left out.
    pub(super) fn run(&mut self, stretch: Stretch, skip: f64) -> Outcome {
        let (begin, end) = (self.now, self.now + nanos(stretch.seconds));
        let from = begin + nanos(skip);
        let mut outcome = Outcome {
            seconds: stretch.seconds - skip,
            ..Outcome::default()
        };
        let mut arrival = self.now + self.gap(stretch.offered_rps);
        let mut tick = self.now + nanos(1.0);
        loop {
            let done = self.running.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            let next = arrival.min(done).min(tick);
            if next >= end {
                self.now = end;
                return outcome;
            }
            self.now = next;
            self.leave();
            let counted = next >= from;
            if next == tick {
                tick += nanos(1.0);
                for limit in self.replicas.iter().filter_map(|r| r.limit.as_ref()) {
                    limit.tick(Instant::from_nanos(next));
                }
            } else if next == done {
                if let (Some(latency), true) = (self.finish(stretch.service), counted) {
                    outcome.done += 1;
                    outcome.latencies.push(latency);
                }
            } else {
                let admitted = self.arrive(stretch.service);
                outcome.offered += u64::from(counted);
                outcome.shed += u64::from(counted && !admitted);
                arrival = next + self.gap(stretch.offered_rps);
            }
        }
    }

    fn arrive(&mut self, service: f64) -> bool {
        let at = match self.replicas.len() {
            1 => 0,
            count => self.rng.random_range(0..count),
        };
        let (a, b) = self.two();
        let replica = &mut self.replicas[at];
        let met = replica.in_flight() + 1;
        if replica.limit.as_ref().is_some_and(|l| met > l.limit()) {
            return false;
        }
        let server = if replica.loads[a] <= replica.loads[b] {
            a
        } else {
            b
        };
        replica.loads[server] += 1;
        self.serial += 1;
        let job = Job {
            arrived: self.now,
            met,
            number: self.serial,
            replica: at,
            server,
        };
        if self.patience.is_finite() {
            self.waiting.push_back(job);
        }
        if self.servers[server].busy < self.workers {
            self.begin(job, service);
        } else {
            self.servers[server].queue.push_back(job);
        }
        true
    }

    /// Two servers at random, the same one when there is no other.
    fn two(&mut self) -> (usize, usize) {
        let count = self.servers.len();
        if count < 2 {
            return (0, 0);
        }
        let first = self.rng.random_range(0..count);
        let other = self.rng.random_range(1..count);
        (first, (first + other) % count)
    }

    fn begin(&mut self, arrived: Job, service: f64) {
        self.servers[arrived.server].busy += 1;
        let mut time = self.draw(service);
        if self.rng.random_range(0..self.slow.0) == 0 {
            time *= self.slow.1;
        }
        self.running
            .push(Reverse((self.now + nanos(time), arrived)));
    }

    /// The latency of the request that is ready, unless its client has left.
    fn finish(&mut self, service: f64) -> Option<f64> {
        let Reverse((_, job)) = self.running.pop()?;
        let server = &mut self.servers[job.server];
        server.busy -= 1;
        if let Some(next) = server.queue.pop_front() {
            self.begin(next, service);
        }
        let has_left = (self.now - job.arrived) as f64 * 1e-9 > self.patience;
        if has_left {
            return None;
        }
        self.ended.insert(job.number);
        Some(self.end(job, End::Answered))
    }

    /// Clients whose patience is over.
    fn leave(&mut self) {
        while let Some(job) = self.waiting.front().copied() {
            if (self.now - job.arrived) as f64 * 1e-9 <= self.patience {
                return;
            }
            self.waiting.pop_front();
            if !self.ended.remove(&job.number) {
                self.end(job, End::Left);
            }
        }
    }

    fn end(&mut self, job: Job, end: End) -> f64 {
        let latency = self.now - job.arrived;
        let replica = &mut self.replicas[job.replica];
        let in_flight = replica.in_flight();
        replica.loads[job.server] -= 1;
        if let Some(limit) = &replica.limit {
            let sample = Sample {
                latency: Duration::from_nanos(latency),
                met: job.met,
                in_flight,
                end,
            };
            limit.on_sample(&sample, Instant::from_nanos(self.now));
        }
        latency as f64 * 1e-9
    }

    fn gap(&mut self, rps: f64) -> u64 {
        nanos(self.exponential() / rps)
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.random::<f64>()).ln()
    }

    fn draw(&mut self, mean: f64) -> f64 {
        match self.spread {
            Service::Constant => mean,
            Service::Exponential => mean * self.exponential(),
            Service::Bimodal if self.rng.random::<f64>() < 0.05 => mean * 20.0 / 1.95,
            Service::Bimodal => mean / 1.95,
        }
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
