use super::*;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

fn rules() -> Rules {
    Rules::new(&Outlier::default())
}

fn sample(requests: u32, failures: u32) -> Sample {
    Counts { requests, failures }
}

fn drawn(requests: u32, rate: f64, rng: &mut SmallRng) -> Sample {
    let failures = (0..requests).filter(|_| rng.random::<f64>() < rate).count();
    sample(requests, failures as u32)
}

#[test]
fn one_of_three_that_fails_thirty_per_cent_is_found_in_ten_seconds() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut found = 0;
    for _ in 0..1000 {
        // 10 requests a second each.
        let pool = [
            drawn(100, 0.0, &mut rng),
            drawn(100, 0.3, &mut rng),
            drawn(100, 0.001, &mut rng),
        ];
        let verdicts = judge(&pool, &rules());
        assert!(verdicts.iter().all(|v| v.index == 1), "{verdicts:?}");
        found += verdicts.len();
    }
    assert!(found >= 990, "{found} of 1000");
}

#[test]
fn equal_failures_eject_practically_nobody() {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut convicted = 0;
    for round in 0..20_000u32 {
        let rate = [0.0, 0.001, 0.01, 0.1, 0.3, 0.6][round as usize % 6];
        let size = [2, 3, 4, 5, 8, 20][(round / 6) as usize % 6];
        let pool: Vec<_> = (0..size)
            .map(|_| {
                let requests = rng.random_range(20..400);
                drawn(requests, rate, &mut rng)
            })
            .collect();
        convicted += judge(&pool, &rules()).len();
    }
    assert!(convicted <= 10, "{convicted} convictions in 20,000 windows");
}

#[test]
fn one_of_many_is_found_by_the_success_rate() {
    let mut pool = vec![sample(1000, 1); 9];
    pool.push(sample(1000, 60));
    let verdicts = judge(&pool, &rules());
    assert_eq!(verdicts.len(), 1);
    assert!(
        matches!(
            verdicts[0],
            Verdict {
                index: 9,
                reason: Reason::SuccessRate { .. }
            }
        ),
        "{verdicts:?}"
    );
}

#[test]
fn a_difference_too_small_to_matter_convicts_nobody() {
    let mut pool = vec![sample(100_000, 10); 9];
    pool.push(sample(100_000, 300));
    assert!(
        judge(&pool, &rules()).is_empty(),
        "0.3% is no reason to leave"
    );
}

#[test]
fn who_fails_nearly_always_needs_no_peers() {
    let verdicts = judge(&[sample(50, 45)], &rules());
    assert_eq!(
        verdicts[0].reason.to_string(),
        "90.0% of 50 requests failed (threshold 85.0%)"
    );
    assert!(
        judge(&[sample(49, 49)], &rules()).is_empty(),
        "too few requests to tell"
    );
}

#[test]
fn the_worst_comes_first() {
    let pool = [sample(100, 86), sample(100, 99), sample(100, 0)];
    let order: Vec<_> = judge(&pool, &rules()).iter().map(|v| v.index).collect();
    assert_eq!(order, [1, 0]);
}

#[test]
fn switched_off_convicts_nobody() {
    let config = Outlier {
        enabled: false,
        ..Outlier::default()
    };
    assert!(judge(&[sample(100, 100), sample(100, 0)], &Rules::new(&config)).is_empty());
}

proptest! {
    #[test]
    fn any_counts_are_judged_without_panic_and_each_at_most_once(
        pool in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..30)
    ) {
        let pool: Vec<_> = pool.into_iter().map(|(r, f)| sample(r, f)).collect();
        let mut seen = std::collections::HashSet::new();
        for verdict in judge(&pool, &rules()) {
            prop_assert!(verdict.index < pool.len() && seen.insert(verdict.index));
        }
    }

    #[test]
    fn whoever_fails_no_more_than_the_others_stays(
        requests in 1u32..10_000, failures in 0u32..10_000, size in 2usize..12
    ) {
        let one = sample(requests, failures.min(requests * 8 / 10));
        prop_assert!(judge(&vec![one; size], &rules()).is_empty());
    }
}
