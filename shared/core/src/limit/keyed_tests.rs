use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

fn quota() -> Quota {
    Quota::new(10, Duration::from_secs(1), 5)
}

#[test]
fn each_key_has_its_own_bucket() {
    let table = Keyed::new(1000, 1);
    let now = Instant::from_millis(1);
    for client in 0u32..50 {
        let key = table.key(0, &client.to_be_bytes());
        let granted = (0..20)
            .filter(|_| table.take(key, quota(), now).is_ok())
            .count();
        assert_eq!(granted, 5, "client {client}");
    }
}

#[test]
fn memory_is_bounded_and_a_flood_does_not_free_who_is_limited() {
    let table = Keyed::new(64, 2);
    assert_eq!(table.capacity(), 64);
    let now = Instant::from_millis(1);
    let greedy = table.key(0, b"greedy");
    while table.take(greedy, quota(), now).is_ok() {}
    for client in 0u32..100_000 {
        let _ = table.take(table.key(0, &client.to_be_bytes()), quota(), now);
    }
    assert!(
        table.take(greedy, quota(), now).is_err(),
        "washed out by the flood"
    );
}

#[test]
fn domains_and_seeds_separate_keys() {
    let (one, two) = (Keyed::new(8, 1), Keyed::new(8, 2));
    assert_ne!(one.key(1, b"a"), one.key(2, b"a"));
    assert_ne!(one.key(1, b"a"), two.key(1, b"a"));
}

proptest! {
    #[test]
    fn with_room_enough_it_agrees_with_a_map(steps in proptest::collection::vec((0u64..8, 0u64..200), 1..300)) {
        let table = Keyed::new(4096, 3);
        let (mut model, mut now) = (HashMap::new(), 1);
        for (client, pause) in steps {
            now += pause;
            let now = Instant::from_millis(now);
            let state = model.entry(client).or_insert(0);
            let expected = quota().decide(*state, now);
            if let Ok((next, _)) = expected {
                *state = next;
            }
            let key = table.key(0, &client.to_be_bytes());
            prop_assert_eq!(table.take(key, quota(), now), expected.map(|(_, allowed)| allowed));
        }
    }
}

#[test]
#[ignore = "a measurement, for release builds"]
fn time_per_request() {
    let table = Keyed::new(100_000, 3);
    #[allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]
    let clock = std::time::Instant::now();
    for i in 0..10_000_000u64 {
        let key = table.key(0, &(i % 50_000).to_be_bytes());
        let _ = std::hint::black_box(table.take(key, quota(), Instant::from_nanos(i * 1000)));
    }
    println!("{:.1} ns", clock.elapsed().as_secs_f64() * 100.0);
}
