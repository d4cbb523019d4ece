//! Counting, latency and penalty of one endpoint.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Latency in milliseconds, `seconds` after [`NOW`].
fn latency_ms(load: &Load, seconds: f64) -> f64 {
    load.latency(NOW + Duration::from_secs_f64(seconds))
        .as_secs_f64()
        * 1e3
}

fn assert_near(value: f64, expected: f64) {
    assert!(
        (value / expected - 1.0).abs() < 0.01,
        "{value}, expected about {expected}"
    );
}

#[test]
fn in_flight_is_exact_after_many_threads() {
    let pool = PoolLoad::new();
    let loads = [(); 4].map(|()| Arc::new(Load::in_pool(NOW, Arc::clone(&pool))));
    let kept: Vec<InFlight> = loads.iter().map(Load::begin).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let loads = &loads;
            scope.spawn(move || {
                let mut held = Vec::new();
                for step in 0..10_000 {
                    held.push(loads[(step + thread) % 4].begin());
                    if step % 7 == 0 {
                        held.clear();
                    }
                }
            });
        }
    });
    assert_eq!(loads.each_ref().map(|load| load.in_flight()), [1; 4]);
    assert_eq!(pool.in_flight(), 4);
    drop(kept);
    assert_eq!(loads.each_ref().map(|load| load.in_flight()), [0; 4]);
    assert_eq!(pool.in_flight(), 0);
}

#[test]
fn in_flight_is_exact_after_a_panic() {
    let load = Arc::new(Load::in_pool(NOW, PoolLoad::new()));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _guard = load.begin();
        assert_eq!(load.in_flight(), 0, "fails on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(load.in_flight(), 0);
    assert_eq!(load.pool().unwrap().in_flight(), 0);
}

#[test]
fn latency_starts_as_a_guess_that_the_first_answer_replaces() {
    let load = Load::new(NOW);
    assert_near(latency_ms(&load, 0.0), 30.0);
    assert_near(latency_ms(&load, 10.0), 30.0 / std::f64::consts::E);
    load.observe(ms(2), NOW);
    assert_near(latency_ms(&load, 0.0), 2.0);
}

/// An endpoint that is known to be slow: two answers of 500 ms in a row, the second one at [`NOW`].
fn slow() -> Load {
    let load = Load::new(Instant::ZERO);
    load.observe(ms(500), Instant::from_millis(400));
    load.observe(ms(500), NOW);
    load
}

#[test]
fn latency_rises_at_once_and_falls_slowly() {
    let load = slow();
    assert_near(latency_ms(&load, 0.0), 500.0);
    load.observe(ms(900), NOW + ms(1_000));
    assert_near(latency_ms(&load, 1.0), 900.0);
    let load = slow();
    load.observe(ms(10), NOW);
    assert_near(latency_ms(&load, 0.0), 500.0);
    load.observe(ms(10), NOW + ms(10_000));
    assert_near(latency_ms(&load, 10.0), 10.0 + 490.0 / std::f64::consts::E);
}

#[test]
fn a_peak_that_nothing_confirms_counts_for_2_s() {
    let load = Load::new(NOW);
    load.observe(ms(10), NOW);
    load.observe(ms(500), NOW + ms(500));
    assert_near(latency_ms(&load, 0.5), 500.0);
    load.observe(ms(10), NOW + ms(510));
    assert_near(latency_ms(&load, 2.4), 500.0);
    load.observe(ms(10), NOW + ms(2_600));
    assert_near(latency_ms(&load, 2.6), 10.0);
}

#[test]
fn a_peak_that_a_later_request_confirms_is_believed() {
    let load = Load::new(NOW);
    load.observe(ms(10), NOW);
    load.observe(ms(500), NOW + ms(500));
    // This one began 100 ms after the peak was seen.
    load.observe(ms(400), NOW + ms(1_000));
    assert_near(latency_ms(&load, 1.0), 400.0);
    assert_near(latency_ms(&load, 11.0), 400.0 / std::f64::consts::E);
}

#[test]
fn requests_of_one_pause_do_not_confirm_each_other() {
    let load = Load::new(NOW);
    load.observe(ms(10), NOW);
    for (latency, at) in [(300, 500), (500, 500), (250, 501), (900, 1_300)] {
        load.observe(ms(latency), NOW + ms(at));
    }
    assert_near(latency_ms(&load, 1.3), 900.0);
    load.observe(ms(10), NOW + ms(2_600));
    assert_near(latency_ms(&load, 2.6), 10.0);
}

#[test]
fn peaks_that_are_far_apart_do_not_confirm_each_other() {
    let load = Load::new(NOW);
    (0..20).for_each(|round| {
        let at = round * 12_000;
        load.observe(ms(500), NOW + ms(at + 500));
        load.observe(ms(10), NOW + ms(at + 3_000));
        assert_near(latency_ms(&load, at as f64 / 1e3 + 3.0), 10.0);
    });
}

#[test]
fn a_first_answer_far_above_the_guess_is_a_peak_too() {
    let load = Load::new(NOW);
    load.observe(ms(500), NOW + ms(500));
    assert_near(latency_ms(&load, 0.5), 500.0);
    load.observe(ms(10), NOW + ms(3_000));
    assert_near(latency_ms(&load, 3.0), 10.0);
}

#[test]
fn latency_falls_alike_at_any_request_rate() {
    let after_5_s = |step: u64| {
        let load = slow();
        (1..=5_000 / step).for_each(|count| load.observe(ms(10), NOW + ms(count * step)));
        latency_ms(&load, 5.0)
    };
    assert_near(after_5_s(1), 10.0 + 490.0 * (-0.5_f64).exp());
    assert_near(after_5_s(1), after_5_s(100));
}

#[test]
fn latency_decays_while_idle_but_stays_positive() {
    let load = slow();
    assert_near(latency_ms(&load, 23.026), 50.0);
    assert_eq!(
        load.latency(NOW + Duration::from_secs(86_400)),
        Duration::from_nanos(1)
    );
    assert!(load.cost(NOW + Duration::from_secs(86_400)) > 0.0);
}

#[test]
fn latency_ignores_a_clock_read_earlier_by_another_thread() {
    let load = Load::new(NOW + ms(100));
    load.observe(ms(20), NOW + ms(100));
    load.observe(ms(10), NOW);
    assert_near(latency_ms(&load, 0.0), 20.0);
    assert_near(latency_ms(&load, 0.1), 20.0);
}

#[test]
fn an_endpoint_that_checks_find_well_again_is_not_left_waiting() {
    let now = Instant::from_millis(1_000);
    let load = Load::new(now);
    (0..9).for_each(|_| load.penalize(now));
    assert!(load.penalty(now) > 1_000.0);
    load.forgive();
    assert!((load.penalty(now) - 1.0).abs() < 1e-6);
}

#[test]
fn a_failure_multiplies_the_cost_and_is_forgotten() {
    let load = Load::new(NOW);
    load.observe(ms(10), NOW);
    load.penalize(NOW);
    assert_near(load.cost(NOW), 4.0 * 10e6);
    assert_near(load.penalty(NOW + ms(5_000)), 2.0);
    assert_near(load.penalty(NOW + ms(10_000)), 1.0);
    (0..100).for_each(|_| load.penalize(NOW));
    assert_near(load.penalty(NOW), 1024.0);
    assert_near(latency_ms(&load, 0.0), 10.0);
}

#[test]
fn ten_successes_undo_a_failure() {
    let load = Load::new(NOW);
    load.penalize(NOW);
    (0..9).for_each(|_| load.observe(ms(10), NOW));
    assert!(load.penalty(NOW) > 1.0);
    load.observe(ms(10), NOW);
    assert_near(load.penalty(NOW), 1.0);
    (0..9).for_each(|_| load.observe(ms(10), NOW));
    load.penalize(NOW);
    assert_near(load.penalty(NOW), 4.0);
}

#[test]
fn failures_do_not_let_the_latency_fade() {
    let load = Load::new(NOW);
    load.observe(ms(10), NOW);
    load.penalize(NOW + ms(60_000));
    assert_near(latency_ms(&load, 60.0), 10.0);
}

#[test]
fn cost_counts_the_request_to_come() {
    let load = Arc::new(Load::new(NOW));
    load.observe(ms(10), NOW);
    assert_near(load.cost(NOW), 10e6);
    let _guards = [load.begin(), load.begin()];
    assert_near(load.cost(NOW), 30e6);
}
