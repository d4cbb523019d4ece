use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn what_is_older_than_ten_seconds_is_forgotten() {
    let window = Window::default();
    window.record(true, at(500));
    window.record(false, at(9_900));
    assert_eq!(
        window.counts(at(9_999)),
        Counts {
            requests: 2,
            failures: 1
        }
    );
    assert_eq!(
        window.counts(at(10_000)),
        Counts {
            requests: 1,
            failures: 0
        }
    );
    assert_eq!(window.counts(at(30_000)), Counts::default());
}

#[test]
fn an_ejection_clears() {
    let window = Window::default();
    window.record(true, at(1));
    window.clear();
    assert_eq!(window.counts(at(2)), Counts::default());
}

#[test]
fn threads_count_together() {
    let window = Window::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|i| window.record(i % 10 == 0, at(1500))));
        }
    });
    let counts = window.counts(at(1600));
    // The threads that race for the slot's start may lose a few.
    assert!(
        counts.requests >= 39_990 && counts.failures >= 3_990,
        "{counts:?}"
    );
}

proptest! {
    #[test]
    fn counts_agree_with_a_list(
        begin in 0u64..200_000_000,
        steps in proptest::collection::vec((0u64..3000, any::<bool>()), 0..200),
    ) {
        let window = Window::default();
        let (mut now, mut all) = (begin, Vec::new());
        for (pause, failed) in steps {
            now += pause;
            window.record(failed, at(now));
            all.push((now, failed));
            let recent = all.iter().filter(|(t, _)| t / 1000 + 10 > now / 1000);
            let failures = recent.clone().filter(|(_, failed)| *failed).count() as u32;
            let expected = Counts { requests: recent.count() as u32, failures };
            prop_assert_eq!(window.counts(at(now)), expected);
        }
    }
}

#[test]
#[ignore = "a measurement, for release builds"]
fn time_per_outcome() {
    let window = Window::default();
    #[allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]
    let clock = std::time::Instant::now();
    (0..10_000_000u64).for_each(|i| window.record(i % 7 == 0, Instant::from_nanos(i * 1000)));
    println!("{:.1} ns", clock.elapsed().as_secs_f64() * 100.0);
}
