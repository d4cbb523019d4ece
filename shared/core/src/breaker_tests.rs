use super::*;
use proptest::prelude::*;

#[test]
fn the_limit_is_exact_and_permits_come_back() {
    let breaker = Breaker::new(2);
    let first = breaker.acquire().unwrap();
    let second = breaker.acquire().unwrap();
    assert_eq!(breaker.acquire().unwrap_err(), Full { used: 2, limit: 2 });
    drop(first);
    let third = breaker.acquire().unwrap();
    drop((second, third));
    assert_eq!(breaker.used(), 0);
}

#[test]
fn a_permit_comes_back_from_a_panic() {
    let breaker = Breaker::new(1);
    let inner = Arc::clone(&breaker);
    let panicked = std::panic::catch_unwind(move || {
        let _permit = inner.acquire().unwrap();
        panic!("on purpose");
    });
    assert!(panicked.is_err());
    assert_eq!(breaker.used(), 0);
}

#[test]
fn a_lower_limit_lets_nobody_in_before_it_is_met() {
    let breaker = Breaker::new(3);
    let mut all: Vec<_> = (0..3).map(|_| breaker.acquire().unwrap()).collect();
    breaker.set_limit(1);
    all.pop();
    assert!(breaker.acquire().is_err());
    all.clear();
    assert!(breaker.acquire().is_ok());
    assert!(
        breaker.acquire_within(0).is_err(),
        "the other limit counts too"
    );
}

#[test]
fn threads_never_exceed_the_limit() {
    let breaker = Breaker::new(3);
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    if let Ok(permit) = breaker.acquire() {
                        let now = inside.fetch_add(1, Relaxed) + 1;
                        assert!(now <= 3, "{now} are in");
                        inside.fetch_sub(1, Relaxed);
                        drop(permit);
                    }
                }
            });
        }
    });
    assert_eq!(breaker.used(), 0);
}

proptest! {
    #[test]
    fn any_order_of_calls_keeps_the_count(steps in proptest::collection::vec(0u8..12, 0..200)) {
        let breaker = Breaker::new(4);
        let mut held = Vec::new();
        for step in steps {
            match step {
                0..=5 => {
                    let fits = (held.len() as u32) < breaker.limit();
                    let permit = breaker.acquire();
                    prop_assert_eq!(permit.is_ok(), fits);
                    held.extend(permit);
                }
                6..=9 => drop(held.pop()),
                limit => breaker.set_limit(u32::from(limit) - 8),
            }
            prop_assert_eq!(breaker.used() as usize, held.len());
        }
    }
}
