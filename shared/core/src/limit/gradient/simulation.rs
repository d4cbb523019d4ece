//! A pool as a queueing system: a number of workers, a queue without end, arrivals at random.

use super::{AdaptiveLimit, Rules};
use crate::time::Instant;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
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

pub(super) struct Simulation {
    pub(super) limit: Option<AdaptiveLimit>,
    pub(super) in_flight: u32,
    workers: u32,
    spread: Service,
    busy: u32,
    queue: VecDeque<u64>,
    running: BinaryHeap<Reverse<(u64, u64)>>,
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
            let counted = next >= from;
            if next == tick {
                tick += nanos(1.0);
                if let Some(limit) = &self.limit {
                    limit.tick(Instant::from_nanos(next));
                }
            } else if next == done {
                let latency = self.finish(stretch.service);
                if counted {
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
        if self.busy < self.workers {
            self.begin(self.now, service);
        } else {
            self.queue.push_back(self.now);
        }
        true
    }

    fn begin(&mut self, arrived: u64, service: f64) {
        self.busy += 1;
        let time = self.draw(service);
        self.running
            .push(Reverse((self.now + nanos(time), arrived)));
    }

    fn finish(&mut self, service: f64) -> f64 {
        let Some(Reverse((_, arrived))) = self.running.pop() else {
            return 0.0;
        };
        self.busy -= 1;
        let latency = self.now - arrived;
        if let Some(limit) = &self.limit {
            limit.on_sample(
                Duration::from_nanos(latency),
                self.in_flight,
                false,
                Instant::from_nanos(self.now),
            );
        }
        self.in_flight -= 1;
        if let Some(arrived) = self.queue.pop_front() {
            self.begin(arrived, service);
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
