use super::*;
use crate::region::tally::Drained;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const STEP: u64 = 100;

/// A region under test: steps of 100 ms with a standing picture of what the sources say.
struct Trial {
    evidence: Evidence,
    millis: u64,
    signals: Signals,
    rng: SmallRng,
    log: Vec<Transition>,
}

impl Trial {
    /// A region with two replicas that pass their probes and a good report.
    fn new() -> Self {
        Self {
            evidence: Evidence::new(Rules::default(), Instant::ZERO),
            millis: 0,
            signals: Signals {
                report: Some(ReportView {
                    healthy: 1.0,
                    shed: 0.0,
                }),
                probes: probes(2),
                traffic: Drained::default(),
                leaving: false,
            },
            rng: SmallRng::seed_from_u64(1),
            log: Vec::new(),
        }
    }

    /// The same after its first steps.
    fn serving() -> Self {
        let mut trial = Self::new();
        trial.run(1_000);
        assert_eq!(trial.evidence.state(), RegionState::Healthy);
        trial.log.clear();
        trial
    }

    fn run(&mut self, millis: u64) -> &mut Self {
        for _ in 0..millis / STEP {
            self.millis += STEP;
            let second = self.millis.is_multiple_of(1000);
            self.signals.probes.passes = if second {
                self.signals.probes.healthy
            } else {
                0
            };
            let now = self.now();
            let moved = self.evidence.observe(&self.signals, now, &mut self.rng);
            self.log.extend(moved);
        }
        self
    }

    fn report(&mut self, healthy: f64) -> &mut Self {
        self.signals.report = Some(ReportView { healthy, shed: 0.0 });
        self
    }

    fn traffic(&mut self, successes: u64, failures: u64) -> &mut Self {
        self.signals.traffic = Drained {
            successes,
            failures,
            row_complete: failures >= 5,
            ..Drained::default()
        };
        self
    }

    /// Five errors in a row, and nothing after them.
    fn convict(&mut self) -> &mut Self {
        self.traffic(0, 5).run(STEP).traffic(0, 0)
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.millis)
    }

    fn state(&self) -> RegionState {
        self.evidence.state()
    }

    fn seconds_until(&mut self, state: RegionState, at_most: u64) -> u64 {
        for second in 0..at_most {
            if self.state() == state {
                return second;
            }
            self.run(1_000);
        }
        panic!(
            "not {state:?} after {at_most} s: {:?} {:?}",
            self.evidence, self.log
        );
    }
}

fn probes(healthy: u32) -> ProbeTally {
    ProbeTally {
        probing: true,
        replicas: 2,
        healthy,
        unhealthy: 2 - healthy,
        passes: 0,
    }
}

#[test]
fn nothing_is_known_before_the_first_evidence_which_settles_it_at_once() {
    let mut trial = Trial::new();
    trial.signals.probes = ProbeTally {
        unhealthy: 0,
        ..probes(0)
    };
    trial.run(500);
    assert_eq!(trial.state(), RegionState::Unknown);
    assert!(!trial.evidence.condition().is_usable());
    trial.signals.probes.healthy = 1;
    trial.run(STEP);
    assert_eq!(
        (trial.state(), trial.evidence.why()),
        (RegionState::Healthy, Why::First)
    );
    assert_eq!(trial.evidence.ramp(trial.now()), 1.0, "no ramp at a start");
}

#[test]
fn the_healthy_share_decides_the_class() {
    let mut trial = Trial::serving();
    trial.report(0.5).run(STEP);
    assert_eq!(trial.state(), RegionState::Degraded);
    assert_eq!(trial.evidence.condition(), Condition::Degraded(1.4 * 0.5));
    assert_eq!(trial.log[0].why, Why::Report(0.5));
    trial.report(0.72).run(STEP);
    assert_eq!(trial.log.len(), 1, "the name does not flicker");
    trial.report(0.2).run(STEP);
    assert_eq!(trial.state(), RegionState::Unhealthy);
    assert_eq!(trial.log[1].why, Why::Report(0.2));
}

#[test]
fn a_missing_report_is_frozen_and_not_zero_capacity() {
    let mut trial = Trial::serving();
    trial.report(0.6).run(STEP);
    trial.signals.report = None;
    trial.run(60_000);
    assert_eq!(trial.evidence.condition(), Condition::Degraded(1.4 * 0.6));
    trial.report(0.1).run(STEP);
    trial.signals.report = None;
    trial.seconds_until(RegionState::Ramping, 20);
    assert!(
        trial.evidence.condition().is_usable(),
        "probes brought it back, the old report says nothing"
    );
}

#[test]
fn only_all_replicas_together_fail_a_region() {
    let mut trial = Trial::serving();
    trial.signals.probes = probes(1);
    trial.run(5_000);
    assert_eq!(trial.state(), RegionState::Healthy);
    trial.signals.probes = probes(0);
    trial.run(STEP);
    assert_eq!(
        (trial.state(), trial.evidence.why()),
        (RegionState::Unhealthy, Why::Probes)
    );
    assert!(trial.evidence.is_unreachable());
}

#[test]
fn five_errors_in_a_row_take_it_out_for_ten_seconds() {
    let mut trial = Trial::serving();
    trial.convict();
    assert_eq!(trial.state(), RegionState::Ejected);
    let out = trial.seconds_until(RegionState::Ramping, 20);
    assert!((9..=11).contains(&out), "{out} s");
    assert!((0.1..0.14).contains(&trial.evidence.ramp(trial.now())));
    assert_eq!(trial.seconds_until(RegionState::Healthy, 60), 30);
}

#[test]
fn a_row_by_chance_among_successes_is_no_conviction() {
    let mut trial = Trial::serving();
    trial.traffic(70, 30).run(20_000);
    assert_eq!(trial.state(), RegionState::Healthy);
}

#[test]
fn a_row_at_the_end_of_a_good_step_convicts_with_the_next_errors() {
    let mut trial = Trial::serving();
    trial.traffic(40, 6).run(STEP);
    assert_eq!(trial.state(), RegionState::Healthy);
    trial.traffic(0, 0).run(STEP);
    trial.traffic(0, 2).run(STEP);
    assert_eq!(trial.state(), RegionState::Ejected);
}

#[test]
fn traffic_that_succeeds_keeps_a_region_whose_checks_all_fail() {
    let mut trial = Trial::serving();
    trial.traffic(20, 0).run(20_000);
    trial.signals.probes = probes(0);
    trial.report(0.0).run(60_000);
    assert_eq!(
        (trial.state(), trial.evidence.why()),
        (RegionState::Healthy, Why::KeptByTraffic)
    );
    assert_eq!(trial.evidence.condition(), Condition::Healthy);
    assert_eq!(trial.log.len(), 1, "{:?}", trial.log);
    trial.traffic(0, 20).run(STEP);
    assert_eq!(
        trial.state(),
        RegionState::Ejected,
        "until the traffic fails, too"
    );
}

#[test]
fn what_a_frozen_region_answered_before_does_not_defend_it() {
    let mut trial = Trial::serving();
    trial.traffic(100, 0).run(5_000).traffic(0, 0).run(1_000);
    trial.signals.probes.healthy = 0;
    trial.signals.probes.unhealthy = 2;
    trial.run(200);
    assert_eq!(trial.evidence.state(), RegionState::Unhealthy);
}

#[test]
fn without_traffic_the_same_checks_take_it_out() {
    let mut trial = Trial::serving();
    trial.signals.probes = probes(0);
    trial.report(0.0).run(STEP);
    assert_eq!(trial.state(), RegionState::Unhealthy);
}

#[test]
fn traffic_defends_no_more_than_the_share_that_was_there() {
    let mut trial = Trial::serving();
    trial.traffic(20, 0).report(0.3).run(60_000);
    trial.report(0.2).run(1_000);
    assert_eq!(trial.evidence.why(), Why::KeptByTraffic);
    let Condition::Degraded(share) = trial.evidence.condition() else {
        panic!("{:?}", trial.evidence.condition());
    };
    assert!(
        (share - 1.4 * 0.35).abs() < 0.02,
        "a slow loss is a real one: {share}"
    );
}

#[test]
fn a_region_that_sheds_is_not_defended() {
    let mut trial = Trial::serving();
    trial.traffic(20, 0).run(5_000);
    trial.signals.report = Some(ReportView {
        healthy: 0.1,
        shed: 0.3,
    });
    trial.run(STEP);
    assert_eq!(trial.state(), RegionState::Unhealthy);
}

#[test]
fn the_way_back_takes_passes_a_third_of_the_weight_and_time() {
    let mut trial = Trial::serving();
    trial.report(0.1).run(STEP);
    trial.report(0.34).run(30_000);
    assert_eq!(trial.state(), RegionState::Unhealthy, "34 % are too little");
    trial.report(0.36).run(10_000);
    trial.report(0.30).run(STEP);
    trial.report(0.36);
    let back = trial.seconds_until(RegionState::Ramping, 30);
    assert!((15..=16).contains(&back), "the time starts again: {back} s");
    assert_eq!(trial.log.last().map(|t| t.why), Some(Why::Proven));
}

#[test]
fn three_flips_hold_it_down_and_each_further_one_twice_as_long() {
    let mut trial = Trial::serving();
    let mut outs = Vec::new();
    for _ in 0..9 {
        trial.convict();
        outs.push(trial.seconds_until(RegionState::Ramping, 700));
        trial.run(3_000);
    }
    assert!(outs[..2].iter().all(|s| (9..=11).contains(s)), "{outs:?}");
    let near = |at: usize, seconds: u64| outs[at].abs_diff(seconds) <= 1;
    assert!(near(2, 30) && near(3, 60) && near(4, 120), "{outs:?}");
    assert!(
        near(7, 600) && near(8, 600),
        "ten minutes at most: {outs:?}"
    );
    trial.run(400_000);
    trial.convict();
    let out = trial.seconds_until(RegionState::Ramping, 60);
    assert!(
        (9..=11).contains(&out),
        "five minutes in service end the series: {out} s"
    );
}

#[test]
fn a_clock_that_jumps_ahead_flips_nothing() {
    let mut trial = Trial::serving();
    trial.millis += 3_600_000;
    trial.run(1_000);
    assert!(trial.log.is_empty(), "{:?}", trial.log);
}

proptest! {
    /// Whatever the sources say: at most one flip in so long, and the state agrees with what is given out.
    #[test]
    fn any_history_keeps_the_invariants(
        steps in proptest::collection::vec((0u8..4, 0u64..30, 0u64..30, 0u64..40), 1..300),
        seed in any::<u64>(),
    ) {
        let mut trial = Trial::new();
        trial.rng = SmallRng::seed_from_u64(seed);
        let mut flips = 0u64;
        for (kind, successes, failures, share) in steps {
            trial.signals.report = (kind != 3)
                .then_some(ReportView { healthy: share as f64 / 39.0, shed: 0.0 });
            trial.signals.probes = probes(u32::from(kind).min(2));
            trial.traffic(successes, failures).run(1_000);
            let now = trial.now();
            let usable = trial.evidence.condition().is_usable();
            prop_assert_eq!(usable, !trial.evidence.is_out() && trial.state() != RegionState::Unknown);
            prop_assert!((0.1..=1.0).contains(&trial.evidence.ramp(now)));
            flips = trial.log.iter().filter(|t| matches!(t.to, RegionState::Ejected | RegionState::Unhealthy)
                && !matches!(t.from, RegionState::Ejected | RegionState::Unhealthy)).count() as u64;
        }
        // Out for 9 s at the least, and held down from the third time on.
        prop_assert!(flips <= 3 + trial.millis / 30_000, "{} flips in {} ms", flips, trial.millis);
    }
}

impl Trial {
    fn leaves(&mut self, leaving: bool) -> &mut Self {
        self.signals.leaving = leaving;
        self
    }
}

#[test]
fn a_region_that_leaves_in_order_is_no_failure() {
    let mut trial = Trial::serving();
    trial.leaves(true).run(STEP);
    assert!(trial.evidence.is_leaving());
    // Its replicas end one after the other: errors and failed probes.
    trial.convict().run(2_000);
    trial.signals.probes = probes(0);
    trial.report(0.0).run(60_000);
    assert_eq!(trial.state(), RegionState::Healthy, "{:?}", trial.log);
    // One is back: its report is here before its first probe.
    trial.report(1.0).leaves(false).run(3_000);
    assert!(!trial.evidence.is_leaving());
    trial.signals.probes = probes(1);
    trial.run(1_000);
    assert_eq!(trial.state(), RegionState::Healthy);
    assert_eq!(trial.evidence.ramp(trial.now()), 1.0, "without a ramp");
    assert!(trial.log.is_empty(), "{:?}", trial.log);
    assert_eq!(trial.evidence.flips(trial.now()), 0);
}

#[test]
fn a_region_that_left_for_good_goes_out_and_does_not_flap() {
    let mut trial = Trial::serving();
    trial.leaves(true).run(STEP);
    trial.signals.probes = probes(0);
    trial.run(10_000);
    // The last reports are too old.
    trial.signals.report = None;
    trial.leaves(false).run(STEP);
    assert_eq!(
        (trial.state(), trial.evidence.why()),
        (RegionState::Unhealthy, Why::Left)
    );
    assert_eq!(trial.evidence.flips(trial.now()), 0);
    assert!(!trial.evidence.is_unreachable(), "not cut off from here");
}

#[test]
fn a_report_pardons_failed_probes_for_a_while_only() {
    let mut trial = Trial::serving();
    trial.leaves(true).run(STEP);
    trial.signals.probes = probes(0);
    trial.leaves(false).run(9_000);
    assert_eq!(trial.state(), RegionState::Healthy);
    trial.run(2_000);
    assert_eq!(trial.state(), RegionState::Unhealthy);
    // And once it has been seen alive, failed probes are what they always are.
    let mut trial = Trial::serving();
    trial.leaves(true).run(STEP).leaves(false).run(STEP);
    trial.signals.probes = probes(0);
    trial.run(STEP);
    assert_eq!(
        (trial.state(), trial.evidence.why()),
        (RegionState::Unhealthy, Why::Probes)
    );
}

#[test]
fn a_region_that_leaves_while_nothing_is_known_settles() {
    let mut trial = Trial::new();
    trial.leaves(true).run(STEP);
    assert_eq!(trial.state(), RegionState::Healthy);
    assert!(trial.evidence.is_leaving());
}
