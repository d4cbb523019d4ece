//! Open-loop traffic on a virtual clock: what p2c does with endpoints that misbehave.

use std::collections::BTreeMap;

use super::*;

/// What an endpoint does with each request.
#[derive(Clone, Copy)]
struct Behaviour {
    latency: Duration,
    failures_per_mille: u64,
}

/// Ten endpoints under 1,000 requests/s.
struct Simulation {
    balancer: Balancer,
    behaviours: Vec<Behaviour>,
    /// Whether failures are told as such, or observed as if they were answers.
    penalize: bool,
    now: Instant,
    rng: Xoshiro256PlusPlus,
    running: BTreeMap<(Instant, u64), (InFlight, Duration, bool)>,
    number: u64,
}

const HEALTHY: Behaviour = Behaviour {
    latency: Duration::from_millis(20),
    failures_per_mille: 0,
};
const BLACK_HOLE: Behaviour = Behaviour {
    latency: Duration::from_micros(100),
    failures_per_mille: 1_000,
};

impl Simulation {
    fn new(first: Behaviour) -> Self {
        Self {
            balancer: balancer(Policy::P2c, &[1; 10]),
            behaviours: [vec![first], vec![HEALTHY; 9]].concat(),
            penalize: true,
            now: NOW,
            rng: seeded(1),
            running: BTreeMap::new(),
            number: 0,
        }
    }

    /// Requests to the first endpoint in the next `seconds`, as a share of all.
    fn share_of_first(&mut self, seconds: u64) -> f64 {
        let requests = seconds * 1_000;
        let first = (0..requests).filter(|_| self.request() == 0).count();
        first as f64 / requests as f64
    }

    fn request(&mut self) -> usize {
        self.now += Duration::from_millis(1);
        while self
            .running
            .first_key_value()
            .is_some_and(|((end, _), _)| *end <= self.now)
        {
            let ((end, _), (guard, latency, fails)) = self.running.pop_first().unwrap();
            if fails && self.penalize {
                guard.load().penalize(end);
            } else {
                guard.load().observe(latency, end);
            }
        }
        let at = self
            .balancer
            .pick(None, &[], self.now, &mut self.rng)
            .unwrap();
        let behaviour = self.behaviours[at];
        // 50 % to 150 % of the endpoint's latency.
        let latency = behaviour.latency * (50 + self.rng.next_u32() % 101) / 100;
        let fails = self.rng.next_u64() % 1_000 < behaviour.failures_per_mille;
        let guard = self.balancer.candidates()[at].load.begin();
        self.number += 1;
        self.running
            .insert((self.now + latency, self.number), (guard, latency, fails));
        at
    }
}

#[test]
fn a_black_hole_attracts_nothing() {
    let mut simulation = Simulation::new(BLACK_HOLE);
    let share = simulation.share_of_first(60);
    assert!(
        share < 0.000_6,
        "{share}: about one request in 10 s, and some to find out"
    );
    simulation.behaviours[0] = HEALTHY;
    simulation.share_of_first(30);
    let share = simulation.share_of_first(30);
    assert!(share > 0.08, "{share}: back 30 s after its recovery");
}

#[test]
fn without_the_penalty_a_black_hole_takes_all_it_can() {
    let mut simulation = Simulation::new(BLACK_HOLE);
    simulation.penalize = false;
    let share = simulation.share_of_first(60);
    assert!(share > 0.15, "{share}: every pair that it is drawn in");
}

#[test]
fn a_black_hole_that_worked_before_attracts_nothing() {
    let mut simulation = Simulation::new(HEALTHY);
    let share = simulation.share_of_first(30);
    assert!((0.09..0.11).contains(&share), "{share}");
    simulation.behaviours[0] = BLACK_HOLE;
    let share = simulation.share_of_first(60);
    assert!(share < 0.000_6, "{share}");
}

#[test]
fn when_all_fail_none_is_singled_out() {
    let mut simulation = Simulation::new(BLACK_HOLE);
    simulation.behaviours.fill(BLACK_HOLE);
    let share = simulation.share_of_first(60);
    assert!((0.09..0.11).contains(&share), "{share}");
}

#[test]
fn rare_failures_cost_little_traffic() {
    let mut simulation = Simulation::new(Behaviour {
        failures_per_mille: 10,
        ..HEALTHY
    });
    let share = simulation.share_of_first(60);
    assert!(share > 0.07, "{share}: 1 % failures");
}

#[test]
fn a_slow_endpoint_gets_little() {
    let slow = Behaviour {
        latency: Duration::from_millis(200),
        ..HEALTHY
    };
    let mut simulation = Simulation::new(slow);
    simulation.share_of_first(5);
    let share = simulation.share_of_first(60);
    assert!(share < 0.01, "{share}: ten times slower");
    assert!(share > 0.000_1, "{share}: but is tried again");
    simulation.behaviours[0] = HEALTHY;
    simulation.share_of_first(30);
    let share = simulation.share_of_first(30);
    assert!(share > 0.08, "{share}: back 30 s after its recovery");
}
