use super::*;
use crate::config::scalar::DurationText;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::atomic::AtomicUsize;

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(7)
}

fn config(errors: u32) -> Outlier {
    Outlier {
        consecutive_errors: errors,
        ..Outlier::default()
    }
}

fn secs(s: u64) -> Instant {
    Instant::from_millis(s * 1000)
}

#[test]
fn one_success_clears_the_row() {
    let mut ejector = Ejector::new(&config(3));
    for i in 0..100 {
        let ejected = ejector.on_outcome(i % 3 != 2, secs(i), &mut rng());
        assert_eq!(ejected, None, "two errors in a row are not three");
    }
}

#[test]
fn the_completing_error_ejects_for_about_the_base_time() {
    let mut ejector = Ejector::new(&config(2));
    assert_eq!(ejector.on_outcome(true, secs(1), &mut rng()), None);
    let eject = ejector.on_outcome(true, secs(1), &mut rng()).unwrap();
    assert_eq!(eject.nth, 1);
    let length = eject.until.since(secs(1)).as_secs_f64();
    assert!((9.0..=11.0).contains(&length), "{length} s");
    assert!(ejector.is_ejected(secs(9)) && !ejector.is_ejected(secs(13)));
}

#[test]
fn late_errors_do_not_lengthen_an_ejection() {
    let mut ejector = Ejector::new(&config(1));
    let until = ejector.convict(secs(0), &mut rng()).unwrap().until;
    for _ in 0..10 {
        assert_eq!(ejector.on_outcome(true, secs(5), &mut rng()), None);
    }
    assert_eq!(ejector.until(), Some(until));
    assert_eq!(ejector.series(secs(5)), 1);
}

#[test]
fn ejections_grow_with_repetition_up_to_the_maximum() {
    let mut ejector = Ejector::new(&config(1));
    let (mut now, mut lengths) = (secs(0), Vec::new());
    for _ in 0..40 {
        let eject = ejector.convict(now, &mut rng()).unwrap();
        lengths.push(eject.until.since(now));
        now = eject.until;
    }
    assert!(lengths[1] > lengths[0] && lengths[2] > lengths[1]);
    assert!(lengths.iter().all(|l| *l <= Duration::from_secs(300)));
    assert!(lengths[39] >= Duration::from_secs(270));
    assert_eq!(
        ejector.series(now),
        30,
        "the series stops where its length does"
    );
}

#[test]
fn a_quiet_base_interval_forgives_one_ejection() {
    let mut ejector = Ejector::new(&config(1));
    let mut now = secs(0);
    for _ in 0..4 {
        now = ejector.convict(now, &mut rng()).unwrap().until;
    }
    assert_eq!(ejector.series(now), 4);
    assert_eq!(ejector.series(now + Duration::from_secs(25)), 2);
    let eject = ejector.convict(now + Duration::from_secs(25), &mut rng());
    assert_eq!(eject.map(|e| e.nth), Some(3));
}

#[test]
fn time_spent_ejected_forgives_nothing() {
    let mut ejector = Ejector::new(&config(1));
    let mut now = secs(0);
    for _ in 0..3 {
        now = ejector.convict(now, &mut rng()).unwrap().until;
    }
    assert_eq!(
        ejector.series(now),
        3,
        "30 s of ejection are not 30 s of good conduct"
    );
}

#[test]
fn endpoints_that_left_together_return_apart() {
    let mut rng = rng();
    let mut ends: Vec<_> = (0..50)
        .map(|_| {
            let mut ejector = Ejector::new(&config(1));
            ejector.count = 30;
            ejector.until = Some(Instant::ZERO);
            ejector.convict(Instant::ZERO, &mut rng).unwrap().until
        })
        .collect();
    ends.sort();
    ends.dedup();
    assert!(
        ends.len() > 45,
        "{} distinct ends at the maximum",
        ends.len()
    );
}

#[test]
fn switched_off_ejects_nobody_and_frees_who_is_out() {
    let off = Outlier {
        enabled: false,
        ..config(1)
    };
    let mut ejector = Ejector::new(&off);
    assert_eq!(ejector.on_outcome(true, secs(1), &mut rng()), None);
    let mut ejector = Ejector::new(&config(1));
    ejector.convict(secs(0), &mut rng()).unwrap();
    ejector.reconfigure(&off);
    assert!(!ejector.is_ejected(secs(1)));
}

#[test]
fn reload_keeps_a_running_ejection() {
    let mut ejector = Ejector::new(&config(1));
    let until = ejector.convict(secs(0), &mut rng()).unwrap().until;
    ejector.reconfigure(&config(9));
    assert_eq!(ejector.until(), Some(until));
}

#[test]
fn zero_lengths_neither_divide_by_zero_nor_panic() {
    let mut ejector = Ejector::new(&Outlier {
        base_ejection: DurationText::millis(0),
        max_ejection: DurationText::millis(0),
        consecutive_errors: 0,
        ..Outlier::default()
    });
    for i in 0..5 {
        ejector.on_outcome(true, secs(i), &mut rng());
    }
    assert!(ejector.series(secs(100)) <= 1);
}

#[test]
fn racing_errors_convict_at_least_once_and_never_too_often() {
    let counter = ConsecutiveErrors::new(5);
    let rows = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    if counter.record(true) {
                        rows.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let rows = rows.into_inner();
    assert!(
        (1..=40_000 / 5).contains(&rows),
        "{rows} rows of 5 in 40,000 errors"
    );
    assert!(counter.errors() < 5, "the count can't run away");
}

proptest! {
    /// The lock-free counter and the pure one come to the same decisions.
    #[test]
    fn both_counters_agree(threshold in 1u32..8, outcomes in prop::collection::vec(any::<bool>(), 0..300)) {
        let counter = ConsecutiveErrors::new(threshold);
        let mut pure = Ejector::new(&config(threshold));
        let mut split = Ejector::new(&config(threshold));
        let (mut rng_pure, mut rng_split) = (rng(), rng());
        for (i, failed) in outcomes.into_iter().enumerate() {
            let now = secs(i as u64);
            let whole = pure.on_outcome(failed, now, &mut rng_pure);
            let parts = counter.record(failed).then(|| split.convict(now, &mut rng_split)).flatten();
            prop_assert_eq!(whole, parts);
        }
    }

    /// No history, configuration or draw makes an ejection shorter than 0.9 × base or longer than the maximum.
    #[test]
    fn lengths_stay_in_bounds(
        base in 1u64..100_000, max in 1u64..1_000_000, gaps in prop::collection::vec(0u64..200_000, 1..50), seed: u64,
    ) {
        let mut ejector = Ejector::new(&Outlier {
            base_ejection: DurationText::millis(base),
            max_ejection: DurationText::millis(max),
            ..config(1)
        });
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut now = Instant::ZERO;
        for gap in gaps {
            now += Duration::from_millis(gap);
            if let Some(eject) = ejector.convict(now, &mut rng) {
                let length = eject.until.since(now);
                prop_assert!(length >= Duration::from_millis(base).mul_f64(0.899));
                prop_assert!(length <= Duration::from_millis(max.max(base)));
                prop_assert!(eject.nth >= 1);
            }
        }
    }
}
