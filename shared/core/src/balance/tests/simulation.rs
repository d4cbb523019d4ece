//! Open-loop traffic on a virtual clock: what p2c does with endpoints that misbehave.

use std::collections::BTreeMap;

use super::*;

/// What an endpoint does with each request.
#[derive(Clone, Copy)]
struct Behaviour {
    latency: Duration,
    failures_per_mille: u64,
}

/// Endpoints under a steady rate of requests.
struct Simulation {
    balancer: Balancer,
    behaviours: Vec<Behaviour>,
    /// The time between two requests.
    gap: Duration,
    /// Until then, the first endpoint answers nothing; what came meanwhile is answered then.
    stalled_until: Instant,
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
    /// Ten endpoints under 1,000 requests/s.
    fn new(first: Behaviour) -> Self {
        Self::with([vec![first], vec![HEALTHY; 9]].concat(), 1_000, 1)
    }

    /// Endpoints under this many requests/s.
    fn with(behaviours: Vec<Behaviour>, rate: u32, seed: u64) -> Self {
        Self {
            balancer: balancer(Policy::P2c, &vec![1; behaviours.len()]),
            behaviours,
            gap: Duration::from_secs(1) / rate,
            stalled_until: NOW,
            penalize: true,
            now: NOW,
            rng: seeded(seed),
            running: BTreeMap::new(),
            number: 0,
        }
    }

    /// Requests to the first endpoint in the next `seconds`, as a share of all.
    fn share_of_first(&mut self, seconds: u64) -> f64 {
        let end = self.now + Duration::from_secs(seconds);
        let (mut requests, mut first) = (0.0, 0.0);
        while self.now < end {
            first += f64::from(u8::from(self.request() == 0));
            requests += 1.0;
        }
        first / requests
    }

    /// Stalls the first endpoint when it gets its next request, and goes on until that is answered.
    fn stall_first(&mut self, stall: Duration) {
        while self.now >= self.stalled_until {
            self.stalled_until = self.now + self.gap + stall;
            if self.request() != 0 {
                self.stalled_until = NOW;
            }
        }
        while self.now < self.stalled_until {
            self.request();
        }
    }

    fn request(&mut self) -> usize {
        self.now += self.gap;
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
        let mut latency = behaviour.latency * (50 + self.rng.next_u32() % 101) / 100;
        if at == 0 {
            latency = latency.max(self.now.until(self.stalled_until));
        }
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

#[test]
fn one_stall_at_a_low_rate_is_not_held_against_an_endpoint_for_long() {
    let quick = Behaviour {
        latency: Duration::from_millis(2),
        ..HEALTHY
    };
    for (behaviour, rate) in [2, 5, 10, 20, 100, 200]
        .into_iter()
        .flat_map(|rate| [(quick, rate), (HEALTHY, rate)])
    {
        // By seconds after the stall: the mean of many runs, as 5 s at 2/s are ten requests.
        let mut shares = [0.0; 4];
        for seed in 0..100 {
            let mut simulation = Simulation::with(vec![behaviour; 3], rate, seed);
            simulation.share_of_first(30);
            simulation.stall_first(Duration::from_millis(500));
            for share in &mut shares {
                *share += simulation.share_of_first(5) / 100.0;
            }
        }
        let latency = behaviour.latency;
        for (share, from) in shares.iter().zip([0, 5, 10, 15]).skip(1) {
            assert!(
                *share > 1.0 / 6.0,
                "{latency:?} at {rate}/s, {from} s after the stall: {share} of {shares:?}"
            );
        }
    }
}

#[test]
fn a_slow_endpoint_gets_little_at_a_low_rate_too() {
    let slow = Behaviour {
        latency: Duration::from_millis(200),
        ..HEALTHY
    };
    for rate in [5, 20, 100] {
        let mut simulation = Simulation::with(vec![slow, HEALTHY, HEALTHY], rate, 1);
        simulation.share_of_first(30);
        let share = simulation.share_of_first(600);
        assert!(share < 0.05, "{share} at {rate}/s: ten times slower");
        assert!(share > 0.000_1, "{share} at {rate}/s: but is tried again");
    }
}
