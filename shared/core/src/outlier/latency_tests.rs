use super::*;
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn run(tracker: &mut Tracker, own: u64, from: u64, seconds: u64) -> f64 {
    let mut factor = tracker.factor();
    for s in from..from + seconds {
        factor = tracker.update(
            ms(own),
            ms(10),
            &Rules::default(),
            Instant::from_millis(s * 1000),
        );
    }
    factor
}

#[test]
fn weight_goes_gradually_and_comes_back_gradually() {
    let mut tracker = Tracker::default();
    assert_eq!(
        run(&mut tracker, 100, 0, 10),
        1.0,
        "ten seconds of patience"
    );
    let first = run(&mut tracker, 100, 10, 1);
    assert!((first - 0.8).abs() < 1e-9, "{first}");
    assert_eq!(
        run(&mut tracker, 100, 11, 20),
        0.1,
        "never less than a tenth"
    );
    let back = run(&mut tracker, 10, 31, 3);
    assert!((back - 0.4).abs() < 1e-9, "{back}");
    assert_eq!(run(&mut tracker, 10, 34, 10), 1.0);
}

#[test]
fn a_break_starts_the_patience_anew() {
    let mut tracker = Tracker::default();
    run(&mut tracker, 100, 0, 9);
    run(&mut tracker, 20, 9, 1);
    assert_eq!(run(&mut tracker, 100, 10, 10), 1.0);
}

#[test]
fn small_differences_do_not_count() {
    let mut tracker = Tracker::default();
    for s in 0..60 {
        let now = Instant::from_millis(s * 1000);
        let factor = tracker.update(
            Duration::from_micros(4000),
            Duration::from_micros(200),
            &Rules::default(),
            now,
        );
        assert_eq!(factor, 1.0);
    }
}

#[test]
fn with_two_endpoints_the_other_one_is_the_measure() {
    let mut scratch = Vec::new();
    assert_eq!(
        peers_median(&[ms(10), ms(50)], 1, &mut scratch),
        Some(ms(10))
    );
    assert_eq!(
        peers_median(&[ms(1), ms(9), ms(50), ms(5)], 2, &mut scratch),
        Some(ms(5))
    );
    assert_eq!(peers_median(&[ms(10)], 0, &mut scratch), None);
    assert_eq!(peers_median(&[], 0, &mut scratch), None);
}

#[test]
fn at_most_one_of_two_is_slow() {
    let rules = Rules::default();
    assert!(!(rules.is_slow(ms(100), ms(10)) && rules.is_slow(ms(10), ms(100))));
}

proptest! {
    #[test]
    fn the_factor_stays_in_its_range_and_moves_slowly(
        steps in proptest::collection::vec((0u64..3000, 0u64..2000, 0u64..2000), 1..100)
    ) {
        let (mut tracker, mut now, mut last) = (Tracker::default(), 0, 1.0f64);
        for (pause, own, peers) in steps {
            now += pause;
            let factor = tracker.update(ms(own), ms(peers), &Rules::default(), Instant::from_millis(now));
            prop_assert!((0.1..=1.0).contains(&factor));
            prop_assert!(factor - last <= 0.3 + 1e-9 && factor >= last * 0.5, "{last} to {factor}");
            last = factor;
        }
    }
}
