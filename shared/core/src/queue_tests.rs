use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn pending(max: u32) -> Pending<u32> {
    let mut queue = Pending::new(max, Duration::from_millis(100));
    queue.note_latency(Some(Duration::from_millis(2)));
    queue
}

#[test]
fn first_in_first_out_while_it_runs_empty() {
    let mut queue = pending(10);
    for i in 0..3 {
        queue.push(i, at(0), at(5000), Priority::Default).unwrap();
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop(at(50))).collect();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn the_newest_goes_first_in_an_overload() {
    let mut queue = pending(10);
    queue.push(0, at(0), at(5000), Priority::Default).unwrap();
    queue.push(1, at(90), at(5000), Priority::Default).unwrap();
    queue.push(2, at(95), at(5000), Priority::Default).unwrap();
    for now in [45, 90] {
        queue.note_free(at(now));
    }
    assert!(queue.is_overloaded(at(101)));
    assert_eq!(queue.expire(at(101)).collect::<Vec<_>>(), [0]);
    assert_eq!(queue.pop(at(101)), Some(2));
    assert_eq!(queue.pop(at(101)), Some(1));
    assert!(!queue.is_overloaded(at(102)), "it was empty");
}

#[test]
fn the_important_go_first_and_have_more_places() {
    let mut queue = pending(10);
    let mut count = 0;
    while queue
        .push(count, at(0), at(50), Priority::Sheddable)
        .is_ok()
    {
        count += 1;
    }
    assert_eq!(count, 7);
    assert_eq!(queue.next_priority(at(1)), Some(Priority::Sheddable));
    queue.push(99, at(1), at(50), Priority::Critical).unwrap();
    assert_eq!(queue.next_priority(at(1)), Some(Priority::Critical));
    assert_eq!(queue.pop(at(2)), Some(99));
}

#[test]
fn deadlines_and_departures() {
    let mut queue = pending(10);
    assert_eq!(
        queue.push(0, at(5), at(5), Priority::Default),
        Err(Refused::Deadline)
    );
    let ticket = queue.push(1, at(5), at(20), Priority::Default).unwrap();
    queue.push(2, at(5), at(500), Priority::Default).unwrap();
    assert_eq!(queue.leaves(ticket, at(6)), Some(at(20)));
    assert_eq!(queue.leaves(ticket, at(20)), None);
    assert_eq!(
        queue.pop(at(20)),
        Some(2),
        "whose time is over is not served"
    );
    assert_eq!(queue.cancel(ticket), Some(1));
    assert_eq!(queue.cancel(ticket), None);
    assert!(
        pending(0)
            .push(1, at(0), at(9), Priority::Critical)
            .is_err()
    );
}

proptest! {
    #[test]
    fn everyone_leaves_exactly_once_and_in_time(
        steps in proptest::collection::vec((0u8..6, 0u64..60, 1u64..300), 1..300)
    ) {
        let mut queue = pending(16);
        let (mut now, mut waiting, mut next) = (0, std::collections::HashMap::new(), 0u32);
        for (action, pause, time) in steps {
            now += pause;
            match action {
                0 | 1 => {
                    if let Ok(ticket) = queue.push(next, at(now), at(now + time), Priority::Default) {
                        // In an overload a tenth of the usual wait.
                        waiting.insert(next, (now + time.min(10), now + time, ticket));
                    }
                    next += 1;
                }
                2 => if let Some(item) = queue.pop(at(now)) {
                    let (_, deadline, ..) = waiting.remove(&item).expect("was waiting");
                    prop_assert!(deadline > now, "served too late");
                },
                3 => {
                    for item in queue.expire(at(now)) {
                        let (least, ..) = waiting.remove(&item).expect("was waiting");
                        prop_assert!(least <= now, "refused too early");
                    }
                    for (_, deadline, ticket) in waiting.values() {
                        prop_assert!(*deadline > now, "still waits");
                        let leaves = queue.leaves(*ticket, at(now));
                        prop_assert!(leaves.is_some_and(|leaves| leaves > at(now)));
                    }
                }
                4 => queue.note_free(at(now)),
                _ => if let Some(item) = waiting.keys().min().copied() {
                    let (.., ticket) = waiting.remove(&item).expect("is there");
                    prop_assert_eq!(queue.cancel(ticket), Some(item));
                },
            }
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert!(queue.len() <= 16);
        }
    }
}

#[test]
fn in_an_overload_one_waits_as_long_as_some_places_take() {
    let mut queue = pending(100);
    let usual = queue.patience(Priority::Default, at(0));
    assert_eq!(usual, Duration::from_millis(100));
    let serve_each = |queue: &mut Pending<u32>, from: u64, gap: u64| {
        for i in 0..60 {
            let now = at(from + i * gap);
            queue.push(0, now, at(100_000), Priority::Default).unwrap();
            queue.push(1, now, at(100_000), Priority::Default).unwrap();
            drop(queue.expire(now));
            queue.note_free(now);
            queue.pop(now);
        }
        at(from + 60 * gap)
    };
    let now = serve_each(&mut queue, 0, 20);
    assert!(queue.is_overloaded(now));
    let slow = queue.patience(Priority::Default, now).as_millis();
    assert!((75..=85).contains(&slow), "four turns of 20 ms: {slow}");
    let critical = queue.patience(Priority::Critical, now);
    assert_eq!(critical, Duration::from_millis(100));
    let mut queue = pending(100);
    let now = serve_each(&mut queue, 0, 2);
    let fast = queue.patience(Priority::Default, now);
    assert_eq!(fast, Duration::from_millis(10), "a tenth");
}

/// Waits are short in an overload, so the queue runs empty between two arrivals and would be taken for calm each time.
#[test]
fn an_overload_lasts_while_many_wait_in_vain() {
    let mut queue = pending(100);
    let wait = |queue: &mut Pending<u32>, now: u64| {
        queue
            .push(0, at(now), at(100_000), Priority::Default)
            .unwrap();
    };
    for now in (0..200).step_by(10) {
        wait(&mut queue, now);
        queue.note_free(at(now));
    }
    let gone = queue.expire(at(200)).count();
    assert!(gone >= 10, "half of them waited in vain");
    while queue.pop(at(200)).is_some() {}
    assert!(queue.is_empty());
    assert!(queue.is_overloaded(at(201)), "a moment of rest is no end");
    assert!(!queue.is_overloaded(at(1300)), "nobody came for a second");
    for now in (201..500).step_by(5) {
        wait(&mut queue, now);
        assert!(queue.pop(at(now)).is_some());
    }
    assert!(!queue.is_overloaded(at(500)), "all were served");
}

#[test]
fn a_pause_of_the_pool_does_not_count() {
    let mut queue = pending(10);
    let first = queue.push(0, at(0), at(5000), Priority::Default).unwrap();
    queue.push(1, at(50), at(120), Priority::Default).unwrap();
    assert_eq!(queue.leaves(first, at(100)), Some(at(200)), "ask again");
    queue.push(2, at(160), at(5000), Priority::Default).unwrap();
    assert_eq!(queue.expire(at(200)).collect::<Vec<_>>(), [1], "a deadline");
    queue.push(3, at(299), at(5000), Priority::Default).unwrap();
    queue.note_free(at(300));
    assert_eq!(queue.leaves(first, at(300)), Some(at(400)), "anew");
    assert!(!queue.is_overloaded(at(399)));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop(at(310))).collect();
    assert_eq!(order, [0, 2, 3], "all are served, in their order");
}

#[test]
fn an_outage_is_no_pause() {
    let mut queue = pending(10);
    queue.push(0, at(0), at(5000), Priority::Default).unwrap();
    let late = queue.push(1, at(420), at(5000), Priority::Default).unwrap();
    assert_eq!(queue.expire(at(500)).count(), 0);
    assert_eq!(queue.expire(at(501)).collect::<Vec<_>>(), [0]);
    assert_eq!(queue.leaves(late, at(520)), None);
    let next = queue.push(2, at(510), at(5000), Priority::Default).unwrap();
    assert_eq!(queue.leaves(next, at(511)), Some(at(520)), "a short wait");
}

#[test]
fn a_slow_pool_does_not_pause() {
    let mut queue = pending(10);
    let wait = |queue: &mut Pending<u32>, now| {
        let pushed = queue.push(0, at(now), at(100_000), Priority::Default);
        pushed.unwrap()
    };
    for turn in 0..20 {
        let now = turn * 200;
        wait(&mut queue, now);
        wait(&mut queue, now);
        drop(queue.expire(at(now)));
        queue.note_free(at(now));
        queue.pop(at(now));
    }
    let ticket = wait(&mut queue, 3900);
    assert_eq!(queue.leaves(ticket, at(4000)), None);
}

/// Servers whose work takes equally long come into step: everything ends at once, and nothing in between.
#[test]
fn a_pool_that_works_in_step_does_not_pause() {
    let mut queue = pending(10);
    queue.note_latency(Some(Duration::from_millis(60)));
    let ticket = queue.push(0, at(0), at(5000), Priority::Default).unwrap();
    queue.note_free(at(1));
    assert_eq!(queue.leaves(ticket, at(100)), None);
    queue.note_latency(Some(Duration::from_millis(40)));
    assert!(queue.leaves(ticket, at(100)).is_some());
    queue.note_latency(None);
    assert_eq!(queue.leaves(ticket, at(100)), None, "nobody knows");
}

/// By its own clock, a place that is freed again and again lets nobody wait longer.
#[test]
fn in_an_overload_no_wait_is_renewed() {
    let mut queue = pending(10);
    let ticket = queue.push(0, at(0), at(5000), Priority::Default).unwrap();
    for now in (20..=80).step_by(20) {
        queue.note_free(at(now));
    }
    assert_eq!(queue.leaves(ticket, at(90)), Some(at(100)));
    assert_eq!(queue.leaves(ticket, at(100)), None);
}
