//! A pool as a queueing system: a number of workers, a queue without end, arrivals at random.

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

/// A request: when it came, what it met, and its number.
type Job = (u64, u32, u64);

pub(super) struct Simulation {
    pub(super) limit: Option<AdaptiveLimit>,
    pub(super) in_flight: u32,
    /// One in so many requests takes so many times as long.
    pub(super) slow: (u32, f64),
    /// Seconds after which a client leaves. The work on its request goes on.
    pub(super) patience: f64,
    /// Requests whose clients have not left, in the order in which they will.
    waiting: VecDeque<Job>,
    ended: HashSet<u64>,
    serial: u64,
    workers: u32,
    spread: Service,
    busy: u32,
    queue: VecDeque<Job>,
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

// === impl Simulation ===

impl Simulation {
    pub(super) fn new(workers: u32, spread: Service, limited: bool, seed: u64) -> Self {
        Self {
            limit: limited.then(|| AdaptiveLimit::new(Rules::default(), seed, Instant::ZERO)),
            in_flight: 0,
            slow: (1, 1.0),
            patience: f64::INFINITY,
            waiting: VecDeque::new(),
            ended: HashSet::new(),
            serial: 0,
            workers,
            spread,
            busy: 0,
            queue: VecDeque::new(),
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
                if let Some(limit) = &self.limit {
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
        if self
            .limit
            .as_ref()
            .is_some_and(|l| self.in_flight >= l.limit())
        {
            return false;
        }
        self.in_flight += 1;
        self.serial += 1;
        let job = (self.now, self.in_flight, self.serial);
        if self.patience.is_finite() {
            self.waiting.push_back(job);
        }
        if self.busy < self.workers {
            self.begin(job, service);
        } else {
            self.queue.push_back(job);
        }
        true
    }

    fn begin(&mut self, arrived: Job, service: f64) {
        self.busy += 1;
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
        self.busy -= 1;
        if let Some(next) = self.queue.pop_front() {
            self.begin(next, service);
        }
        let has_left = (self.now - job.0) as f64 * 1e-9 > self.patience;
        if has_left {
            return None;
        }
        self.ended.insert(job.2);
        Some(self.end(job, End::Answered))
    }

    /// Clients whose patience is over.
    fn leave(&mut self) {
        while let Some(job) = self.waiting.front().copied() {
            if (self.now - job.0) as f64 * 1e-9 <= self.patience {
                return;
            }
            self.waiting.pop_front();
            if !self.ended.remove(&job.2) {
                self.end(job, End::Left);
            }
        }
    }

    fn end(&mut self, (arrived, met, _): Job, end: End) -> f64 {
        let latency = self.now - arrived;
        if let Some(limit) = &self.limit {
            let sample = Sample {
                latency: Duration::from_nanos(latency),
                met,
                in_flight: self.in_flight,
                end,
            };
            limit.on_sample(&sample, Instant::from_nanos(self.now));
        }
        self.in_flight -= 1;
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
