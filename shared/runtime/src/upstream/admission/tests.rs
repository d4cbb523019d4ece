use super::*;
use crate::metrics::Metrics;
use std::pin::pin;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

/// A pool that lets `limit` critical requests in, and as many wait for a minute.
fn admission(limit: u32) -> Arc<Admission> {
    let metrics = Metrics::new("regional", None).unwrap();
    let protection = Protection {
        adaptive: Some(Rules {
            min: limit,
            max: limit,
        }),
        max_pending: 8,
        max_wait: LONG,
        ..Protection::default()
    };
    let metrics = AdmissionMetrics::new(&metrics.families, "web");
    Admission::new(&protection, metrics, 1, crate::clock::now())
}

fn deadline() -> Instant {
    crate::clock::now() + LONG
}

#[tokio::test]
async fn a_place_goes_to_who_waits_and_not_to_who_comes() {
    let pool = admission(1);
    let entry = pool.enter(Priority::Critical).unwrap();
    let mut waiting = pin!(pool.wait(Priority::Critical, Need::Limit, deadline(), || true));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    assert_eq!(pool.pending(), 1);
    drop(entry);
    assert_eq!((pool.pending(), pool.in_flight()), (0, 1), "handed over");
    assert!(pool.enter(Priority::Critical).is_none());
    drop(waiting.await.unwrap());
    assert_eq!(pool.in_flight(), 0);
}

#[tokio::test]
async fn who_leaves_gives_back_what_was_just_handed_over() {
    let pool = admission(1);
    let entry = pool.enter(Priority::Critical).unwrap();
    {
        let mut waiting = pin!(pool.wait(Priority::Critical, Need::Limit, deadline(), || true));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(entry);
        assert_eq!(
            pool.in_flight(),
            1,
            "it has the place and has not looked yet"
        );
    }
    assert_eq!((pool.pending(), pool.in_flight()), (0, 0));
}

#[tokio::test]
async fn those_who_wait_for_an_endpoint_do_not_wake_each_other() {
    let pool = admission(8);
    let wait = || pool.wait(Priority::Critical, Need::Endpoint, deadline(), || false);
    let (mut one, mut two) = (pin!(wait()), pin!(wait()));
    assert!(futures_util::poll!(one.as_mut()).is_pending());
    assert!(futures_util::poll!(two.as_mut()).is_pending());
    pool.enter(Priority::Critical).unwrap().forfeit();
    assert_eq!(pool.pending(), 2, "no endpoint has come free");
    drop(pool.enter(Priority::Critical));
    assert_eq!(pool.pending(), 1, "one may have");
}

#[tokio::test]
async fn nobody_waits_when_none_may() {
    let pool = admission(1);
    pool.reconfigure(&Protection::default());
    assert!(
        pool.enter(Priority::Sheddable).is_some(),
        "and nothing limits"
    );
    let wait = pool.wait(Priority::Critical, Need::Limit, deadline(), || false);
    assert_eq!(wait.await.unwrap_err(), Cause::Limit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_between_threads() {
    let pool = admission(2);
    let tasks: Vec<_> = (0..8)
        .map(|number: u32| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for turn in 0..300 {
                    let entered = match pool.enter(Priority::Critical) {
                        Some(entry) => Some(entry),
                        None => {
                            let wait =
                                pool.wait(Priority::Critical, Need::Limit, deadline(), || true);
                            // Some leave while they wait.
                            let patience = if (turn + number).is_multiple_of(7) {
                                Duration::from_micros(50)
                            } else {
                                LONG
                            };
                            timeout(patience, wait).await.ok().and_then(Result::ok)
                        }
                    };
                    assert!(pool.in_flight() <= 2);
                    tokio::task::yield_now().await;
                    drop(entered);
                }
            })
        })
        .collect();
    for task in tasks {
        timeout(LONG, task)
            .await
            .expect("nobody is forgotten")
            .unwrap();
    }
    assert_eq!((pool.pending(), pool.in_flight()), (0, 0));
}
