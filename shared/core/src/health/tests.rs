use super::check::MIN_PAUSE;
use super::*;
use crate::config::model::HealthCheck;
use crate::config::scalar::DurationText;
use crate::time::Instant;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::time::Duration;

const PASS: ProbeResult = ProbeResult::Pass {
    latency: Duration::from_millis(1),
};
const FAIL: ProbeResult = ProbeResult::fail(ProbeFailure::Refused);

fn config(fall: u32, rise: u32) -> HealthCheck {
    HealthCheck {
        fall,
        rise,
        ..HealthCheck::default()
    }
}

/// A check with the given counts that has seen `results`, one a second.
fn after(fall: u32, rise: u32, results: &[ProbeResult]) -> CheckState {
    let mut state = CheckState::new(&config(fall, rise));
    for (i, result) in results.iter().enumerate() {
        state.on_probe(*result, at(i));
    }
    state
}

fn at(second: usize) -> Instant {
    Instant::from_millis(second as u64 * 1000)
}

#[test]
fn first_success_makes_an_unknown_endpoint_healthy() {
    let mut state = CheckState::new(&config(3, 5));
    assert_eq!(state.verdict(), Verdict::Unknown);
    let change = state.on_probe(PASS, at(1)).unwrap();
    assert_eq!(
        (change.from, change.to),
        (Verdict::Unknown, Verdict::Healthy)
    );
    assert_eq!((change.at, change.reason), (at(1), None));
    assert_eq!(state.since(), Some(at(1)));
}

#[test]
fn unknown_endpoint_falls_after_fall_failures() {
    assert_eq!(after(3, 2, &[FAIL, FAIL]).verdict(), Verdict::Unknown);
    assert_eq!(
        after(3, 2, &[FAIL, FAIL, FAIL]).verdict(),
        Verdict::Unhealthy
    );
    assert_eq!(after(3, 2, &[FAIL, FAIL, PASS]).verdict(), Verdict::Healthy);
}

#[test]
fn single_failures_between_successes_never_take_an_endpoint_out() {
    let results: Vec<_> = (0..100)
        .map(|i| if i % 3 == 0 { PASS } else { FAIL })
        .collect();
    assert_eq!(after(3, 2, &results).verdict(), Verdict::Healthy);
}

#[test]
fn the_reason_of_a_fall_is_its_last_failure() {
    let mut state = after(2, 2, &[PASS, FAIL]);
    let change = state
        .on_probe(ProbeResult::fail(ProbeFailure::BadStatus(500)), at(9))
        .unwrap();
    assert_eq!(change.reason, Some(ProbeFailure::BadStatus(500)));
}

#[test]
fn running_out_of_file_descriptors_takes_nobody_out() {
    let local = ProbeResult::fail(ProbeFailure::Local);
    let state = after(1, 1, &[PASS, local, local, local]);
    assert_eq!(state.verdict(), Verdict::Healthy);
    assert!(
        state.is_decided(),
        "our own want must not even contest the verdict"
    );
    assert_eq!(
        state.last().map(|last| last.result),
        Some(local),
        "but the status shows it"
    );
}

#[test]
fn contested_verdicts_are_probed_faster() {
    let mut rng = SmallRng::seed_from_u64(1);
    let check = config(3, 2);
    let (slow, fast) = (check.interval.get(), check.fast_interval.get());
    let near =
        |pause: Duration, aim: Duration| pause >= aim.mul_f64(0.899) && pause <= aim.mul_f64(1.101);
    for (results, aim) in [
        (&[][..], fast),
        (&[PASS][..], slow),
        (&[PASS, FAIL][..], fast),
        (&[PASS, FAIL, FAIL, FAIL][..], slow),
        (&[FAIL, FAIL, FAIL, PASS][..], fast),
    ] {
        let pause = after(3, 2, results).next_probe_in(&mut rng);
        assert!(
            near(pause, aim),
            "{results:?}: {pause:?} is not near {aim:?}"
        );
    }
}

#[test]
fn probes_never_spin() {
    let mut rng = SmallRng::seed_from_u64(2);
    let check = HealthCheck {
        interval: DurationText::millis(0),
        fast_interval: DurationText::millis(0),
        ..HealthCheck::default()
    };
    assert!(CheckState::new(&check).next_probe_in(&mut rng) >= MIN_PAUSE);
}

#[test]
fn reload_keeps_the_verdict() {
    let mut state = after(3, 2, &[PASS, FAIL, FAIL]);
    state.reconfigure(&config(1, 1));
    assert_eq!(
        state.verdict(),
        Verdict::Healthy,
        "a smaller count convicts nobody by itself"
    );
    assert!(
        state.on_probe(FAIL, at(5)).is_some(),
        "the next failure does"
    );
}

#[test]
fn turning_checks_off_brings_an_endpoint_back() {
    let mut state = after(1, 1, &[FAIL]);
    state.reconfigure(&HealthCheck {
        enabled: false,
        ..config(1, 1)
    });
    assert_eq!(state.verdict(), Verdict::Healthy);
}

fn results() -> impl Strategy<Value = Vec<ProbeResult>> {
    let one = prop_oneof![
        4 => Just(PASS),
        4 => Just(FAIL),
        1 => Just(ProbeResult::fail(ProbeFailure::Local)),
    ];
    prop::collection::vec(one, 0..200)
}

proptest! {
    /// A settled verdict changes exactly when the last `fall` or `rise` results that are evidence all speak against it.
    #[test]
    fn a_verdict_flips_only_after_enough_results_in_a_row(
        fall in 1u32..6, rise in 1u32..6, results in results(),
    ) {
        let mut state = CheckState::new(&config(fall, rise));
        let mut run = (true, 0u32);
        for (i, result) in results.into_iter().enumerate() {
            let before = state.verdict();
            let change = state.on_probe(result, at(i));
            if !result.is_evidence() {
                prop_assert!(change.is_none());
                continue;
            }
            let passed = result.failure().is_none();
            run = if run.0 == passed { (passed, run.1 + 1) } else { (passed, 1) };
            let expected = match before {
                Verdict::Unknown => (passed || run.1 >= fall).then_some(passed),
                Verdict::Healthy => (!passed && run.1 >= fall).then_some(false),
                Verdict::Unhealthy => (passed && run.1 >= rise).then_some(true),
            };
            prop_assert_eq!(change.map(|c| c.to.is_healthy()), expected);
            prop_assert!(state.streak() < fall.max(rise), "the streak is bounded");
        }
    }

    /// Changing the configuration at any time keeps the verdict and the invariants.
    #[test]
    fn reconfiguring_at_any_time_is_safe(
        before in results(), after in results(), fall in 0u32..6, rise in 0u32..6,
    ) {
        let mut state = CheckState::new(&config(4, 4));
        for result in before {
            state.on_probe(result, Instant::ZERO);
        }
        let verdict = state.verdict();
        state.reconfigure(&config(fall, rise));
        prop_assert_eq!(state.verdict(), verdict);
        for result in after {
            state.on_probe(result, Instant::ZERO);
        }
    }
}
