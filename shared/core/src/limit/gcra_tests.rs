use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn a_burst_then_the_rate() {
    let quota = Quota::new(10, Duration::from_secs(1), 5);
    let bucket = Bucket::default();
    let start = at(1000);
    let left: Vec<_> = (0..5)
        .map(|_| bucket.take(quota, start).unwrap().remaining)
        .collect();
    assert_eq!(left, [4, 3, 2, 1, 0]);
    let limited = bucket.take(quota, start).unwrap_err();
    assert_eq!(limited.retry_after, Duration::from_millis(100));
    assert_eq!(limited.retry_after_secs(), 1);
    assert!(bucket.take(quota, at(1099)).is_err());
    assert!(bucket.take(quota, at(1100)).is_ok());
    assert!(bucket.take(quota, at(1100)).is_err());
}

#[test]
fn fields_read_as_the_draft_says() {
    let quota = Quota::new(100, Duration::from_secs(60), 100);
    let allowed = Bucket::default().take(quota, at(0)).unwrap();
    assert_eq!(quota.policy_field("api").to_string(), "\"api\";q=100;w=60");
    assert_eq!(allowed.field("api").to_string(), "\"api\";r=99;t=1");
}

#[test]
fn replicas_divide_the_rate() {
    let quota = Quota::new(100, Duration::from_secs(1), 30).divided(3);
    assert_eq!(
        quota,
        Quota {
            interval: 30_000_000,
            burst: 10
        }
    );
    assert_eq!(
        Quota::new(1, Duration::from_secs(1), 1).divided(0).burst(),
        1
    );
}

#[test]
fn threads_share_one_burst() {
    let (quota, bucket) = (
        Quota::new(1, Duration::from_secs(3600), 500),
        Bucket::default(),
    );
    let granted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mine = (0..1000)
                    .filter(|_| bucket.take(quota, at(5)).is_ok())
                    .count();
                granted.fetch_add(mine as u64, Relaxed);
            });
        }
    });
    assert_eq!(granted.load(Relaxed), 500);
}

proptest! {
    #[test]
    fn no_interval_gets_more_than_burst_and_rate(
        rate in 1u32..1000, burst in 1u32..50, pauses in proptest::collection::vec(0u64..2_000_000_000, 1..300)
    ) {
        let quota = Quota::new(rate, Duration::from_secs(1), burst);
        let (bucket, mut now, mut granted) = (Bucket::default(), 0u64, Vec::new());
        for pause in pauses {
            now += pause / 100;
            if bucket.take(quota, Instant::from_nanos(now)).is_ok() {
                granted.push(now);
            }
        }
        for (first, from) in granted.iter().enumerate() {
            for (last, to) in granted.iter().enumerate().skip(first) {
                let allowed = f64::from(burst) + (to - from) as f64 * 1e-9 * f64::from(rate);
                prop_assert!((last - first + 1) as f64 <= allowed + 1.01);
            }
        }
    }

    #[test]
    fn whoever_waits_as_told_gets_in(rate in 1u32..1000, burst in 1u32..20, tries in 1usize..60) {
        let quota = Quota::new(rate, Duration::from_secs(1), burst);
        let (bucket, mut now) = (Bucket::default(), at(7));
        for _ in 0..tries {
            if let Err(limited) = bucket.take(quota, now) {
                now += limited.retry_after;
                prop_assert!(bucket.take(quota, now).is_ok());
            }
        }
    }

    #[test]
    fn any_numbers_are_decided_without_panic(
        requests in any::<u32>(), period in any::<u64>(), burst in any::<u32>(), state in any::<u64>(), now in any::<u64>()
    ) {
        let quota = Quota::new(requests, Duration::from_nanos(period), burst).divided(burst);
        let _ = quota.decide(state, Instant::from_nanos(now));
    }
}
