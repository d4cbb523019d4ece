use super::*;
use crate::build::{MemberSpec, Site};
use crate::clock;
use crate::metrics::Metrics;
use crate::plan::{Identity, Tier};
use crate::upstream::Health;
use lb_core::balance::Policy;
use lb_core::drain::{Action, Book, Draft, Order, Planned, Scope, Stamping};
use lb_core::name::{PoolName, ReplicaName, ServerName};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

fn site() -> Site {
    let replica = ReplicaName::new("r1").unwrap();
    let identity = Identity::new(Tier::Regional, &replica, None, 1).unwrap();
    let metrics = Metrics::new("regional", None).unwrap();
    Site::new(identity, Arc::new(metrics), PathBuf::new())
}

/// A pool of three servers without checks.
fn pool(site: &Site) -> Arc<Pool> {
    let member = |number: u16| MemberSpec {
        name: ServerName::new(&format!("s{number}")).unwrap(),
        address: format!("127.0.0.1:{number}"),
        weight: 1,
        zone: None,
        admin: None,
    };
    let members = (1..=3).map(member).collect();
    site.pool(PoolSpec::plain("web", members)).unwrap()
}

async fn is_woken(site: &Site) -> bool {
    timeout(Duration::from_secs(60), site.changes.next())
        .await
        .is_ok()
}

#[tokio::test(start_paused = true)]
async fn an_ejection_wakes_the_control_thread() {
    let site = site();
    let pool = pool(&site);
    assert!(!is_woken(&site).await, "nothing has changed");
    let first = pool.view().endpoints()[0].clone();
    pool.convict(&first, clock::now());
    assert!(is_woken(&site).await);
    pool.refresh(clock::now());
    assert_eq!(pool.view().routable(), 2);
    pool.check_ejections(clock::now());
    assert!(!is_woken(&site).await, "a look does not wake the looker");
}

#[test]
fn an_ejection_by_an_older_generation_is_seen() {
    let site = site();
    let (old, new) = (pool(&site), pool(&site));
    let first = old.view().endpoints()[0].clone();
    old.convict(&first, clock::now());
    new.refresh(clock::now());
    assert_eq!(new.view().routable(), 3, "it was noted with the old one");
    new.check_ejections(clock::now());
    new.refresh(clock::now());
    assert_eq!(new.view().routable(), 2);
}

const SEC: Duration = Duration::from_secs(1);

/// A pool of `count` servers of which checks have not spoken yet.
fn checked(site: &Site, policy: Policy, count: u16) -> Arc<Pool> {
    let mut spec = pool(site).spec.clone();
    spec.name = format!("checked-{count}");
    spec.policy = policy;
    spec.check.enabled = true;
    let first = spec.members[0].clone();
    spec.members = (1..=count)
        .map(|number| MemberSpec {
            name: ServerName::new(&format!("c{number}")).unwrap(),
            address: format!("127.0.0.1:{number}"),
            ..first.clone()
        })
        .collect();
    site.pool(spec).unwrap()
}

fn at(pool: &Pool, index: usize) -> Arc<Endpoint> {
    pool.view().members[index].endpoint.clone()
}

fn set(pool: &Pool, index: usize, health: Health, now: Instant) {
    at(pool, index).set_health(health, now);
    pool.mark_stale();
    pool.refresh(now);
}

fn all(pool: &Pool, health: Health, now: Instant) {
    for index in 0..pool.view().members.len() {
        set(pool, index, health, now);
    }
}

/// Requests of 10,000 that each member gets.
fn spread(pool: &Pool, now: Instant, key: impl Fn(u64) -> Option<u64>) -> Vec<usize> {
    let mut counts = vec![0; pool.view().members.len()];
    for number in 0..10_000 {
        let picked = clock::with_rng(|rng| pool.pick(key(number), &[], now, rng)).unwrap();
        let is_it = |member: &Member| member.endpoint.id == picked.id;
        counts[pool.view().members.iter().position(is_it).unwrap()] += 1;
    }
    counts
}

fn start() -> Instant {
    clock::now() + SEC
}

#[test]
fn panic_uses_the_unhealthy_and_the_ejected_but_never_the_drained() {
    let site = site();
    let mut spec = checked(&site, Policy::RoundRobin, 4).spec.clone();
    spec.members[3].weight = 0;
    let pool = site.pool(spec).unwrap();
    let now = start();
    all(&pool, Health::Healthy, now);
    pool.convict(&at(&pool, 0), now);
    set(&pool, 1, Health::Unhealthy, now);
    assert!(pool.view().panic, "one of three is left");
    let counts = spread(&pool, now, |_| None);
    assert!(counts[..3].iter().all(|count| *count > 3_000), "{counts:?}");
    assert_eq!(counts[3], 0, "drained");
}

#[test]
fn a_passing_check_does_not_end_an_ejection() {
    let site = site();
    let pool = checked(&site, Policy::P2c, 3);
    let now = start();
    all(&pool, Health::Healthy, now);
    pool.convict(&at(&pool, 0), now);
    pool.refresh(now);
    assert_eq!(pool.view().routable(), 2);
    for second in 1..8 {
        set(&pool, 0, Health::Healthy, now + SEC * second);
        pool.check_ejections(now + SEC * second);
        pool.refresh(now + SEC * second);
        assert_eq!(pool.view().routable(), 2, "after {second} s of good checks");
    }
    let later = now + SEC * 12;
    pool.check_ejections(later);
    pool.refresh(later);
    assert_eq!(pool.view().routable(), 3, "its time is over");
}

#[test]
fn who_returns_from_an_ejection_starts_with_a_small_share() {
    let site = site();
    let pool = checked(&site, Policy::RoundRobin, 3);
    let now = start();
    all(&pool, Health::Healthy, now);
    let counts = spread(&pool, now, |_| None);
    assert!(
        counts.iter().all(|c| *c > 3_300),
        "no ramp at the start: {counts:?}"
    );
    pool.convict(&at(&pool, 0), now);
    pool.refresh(now);
    let until = at(&pool, 0).ejected_until(now).unwrap();
    let mut last = 0;
    for (seconds, least, most) in [(0, 300, 600), (15, 1_900, 2_500), (31, 3_300, 3_400)] {
        let then = until + SEC * seconds;
        pool.check_ejections(then);
        pool.refresh(then);
        let got = spread(&pool, then, |_| None)[0];
        assert!((least..=most).contains(&got), "{got} after {seconds} s");
        assert!(got > last);
        last = got;
    }
}

#[test]
fn a_pool_that_returns_at_once_is_shared_evenly() {
    let site = site();
    for policy in [Policy::P2c, Policy::LeastRequest, Policy::RoundRobin] {
        let mut spec = checked(&site, policy, 5).spec.clone();
        spec.name = format!("returns-{}", policy.name());
        let pool = site.pool(spec).unwrap();
        let mut now = start();
        all(&pool, Health::Healthy, now);
        for index in 0..2 {
            pool.convict(&at(&pool, index), now);
        }
        for index in 0..5 {
            (0..20).for_each(|_| at(&pool, index).load.penalize(now));
            set(&pool, index, Health::Unhealthy, now);
        }
        now += SEC * 3;
        // One after the other is found well again; all of them are up.
        for index in 0..5 {
            now += Duration::from_millis(50);
            set(&pool, index, Health::Healthy, now);
            let first = spread(&pool, now, |_| None)[0];
            assert!(
                first <= 3_100,
                "{policy:?}: {first} of 10,000 with {index} more back"
            );
        }
        assert!(!pool.view().panic);
        assert_eq!(pool.view().routable(), 5, "the ejections are over");
    }
}

#[test]
fn the_last_routable_endpoint_is_not_ejected() {
    let site = site();
    let pool = checked(&site, Policy::P2c, 3);
    let now = start();
    all(&pool, Health::Healthy, now);
    set(&pool, 1, Health::Unhealthy, now);
    set(&pool, 2, Health::Unhealthy, now);
    pool.convict(&at(&pool, 0), now);
    assert_eq!(at(&pool, 0).ejected_until(now), None);
}

#[test]
fn who_is_out_by_checks_is_not_ejected_too() {
    let site = site();
    let pool = checked(&site, Policy::P2c, 3);
    let now = start();
    all(&pool, Health::Healthy, now);
    set(&pool, 0, Health::Unhealthy, now);
    pool.convict(&at(&pool, 0), now);
    assert_eq!(at(&pool, 0).ejected_until(now), None);
}

#[test]
fn hashed_keys_leave_only_the_endpoint_that_ramps_and_come_home_once() {
    let site = site();
    for policy in [Policy::RingHash, Policy::Maglev, Policy::Rendezvous] {
        let mut spec = checked(&site, policy, 5).spec.clone();
        spec.name = format!("keys-{}", policy.name());
        let pool = site.pool(spec).unwrap();
        let now = start();
        all(&pool, Health::Healthy, now);
        let owner = |key: u64, then: Instant| {
            let key = lb_core::balance::hash::stable_hash(&key.to_le_bytes());
            clock::with_rng(|rng| pool.pick(Some(key), &[], then, rng))
                .unwrap()
                .id
        };
        let ramping = at(&pool, 0);
        let home: Vec<_> = (0..2_000).map(|key| owner(key, now)).collect();
        set(&pool, 0, Health::Unhealthy, now);
        set(&pool, 0, Health::Healthy, now);
        let mut away: Option<Vec<u64>> = None;
        for seconds in [0, 6, 12, 18, 24, 31] {
            let then = now + SEC * seconds;
            pool.mark_stale();
            pool.refresh(then);
            let moved: Vec<u64> = (0..2_000)
                .filter(|key| owner(*key, then) != home[*key as usize])
                .collect();
            let strangers = moved
                .iter()
                .filter(|key| home[**key as usize] != ramping.id);
            assert_eq!(strangers.count(), 0, "{policy:?} moved others' keys");
            if let Some(before) = away {
                assert!(
                    moved.iter().all(|key| before.contains(key)),
                    "one left twice"
                );
                assert!(moved.len() < before.len());
            }
            away = Some(moved);
        }
        assert_eq!(away, Some(Vec::new()), "all are home");
    }
}

#[test]
fn the_own_zone_is_preferred_and_others_are_the_reserve() {
    let site = site();
    let mut spec = checked(&site, Policy::P2c, 4).spec.clone();
    let zone = |name| Some(lb_core::name::ZoneName::new(name).unwrap());
    for (index, member) in spec.members.iter_mut().enumerate() {
        member.zone = zone(if index < 2 { "a" } else { "b" });
    }
    spec.name = "zoned".to_owned();
    spec.zone = zone("a");
    let pool = site.pool(spec).unwrap();
    let now = start();
    all(&pool, Health::Healthy, now);
    let counts = spread(&pool, now, |_| None);
    assert_eq!(counts[2] + counts[3], 0, "{counts:?}");
    let near = [at(&pool, 0).id, at(&pool, 1).id];
    let beyond = clock::with_rng(|rng| pool.pick(None, &near, now, rng)).unwrap();
    assert!(!near.contains(&beyond.id), "a retry may leave the zone");
    set(&pool, 0, Health::Unhealthy, now);
    let counts = spread(&pool, now, |_| None);
    // A third of the weight, half of the requests: 0.4 stays of 0.5.
    let stays = counts[1] as f64 / 10_000.0;
    assert!((stays - 0.8).abs() < 0.05, "{counts:?}");
    assert_eq!(counts[0], 0);
}

#[test]
fn statistics_and_latency_find_who_differs() {
    let site = site();
    let pool = checked(&site, Policy::RoundRobin, 3);
    let mut now = start();
    all(&pool, Health::Healthy, now);
    for _ in 0..25 {
        for index in 0..3 {
            let endpoint = at(&pool, index);
            for number in 0..10 {
                let failed = index == 0 && number % 3 == 0;
                endpoint.note_outcome(failed, now);
                let latency = Duration::from_millis(if index == 1 { 200 } else { 10 });
                endpoint.load.observe(latency, now);
            }
        }
        pool.judge(now);
        now += SEC;
    }
    let reason = at(&pool, 0).standing.conviction().unwrap();
    assert_eq!(reason.label(), "peers", "{reason}");
    assert_eq!(at(&pool, 1).standing.conviction(), None, "slow is not down");
    assert_eq!(at(&pool, 1).standing.latency_factor(), 0.1);
    assert_eq!(at(&pool, 2).standing.latency_factor(), 1.0);
}

#[test]
fn weight_zero_everywhere_gives_nobody_even_in_panic() {
    let site = site();
    let mut spec = checked(&site, Policy::P2c, 3).spec.clone();
    spec.members.iter_mut().for_each(|member| member.weight = 0);
    let pool = site.pool(spec).unwrap();
    let now = start();
    all(&pool, Health::Healthy, now);
    assert!(clock::with_rng(|rng| pool.pick(None, &[], now, rng)).is_none());
    assert!(clock::with_rng(|rng| pool.pick_without_health(&[], rng)).is_none());
    pool.judge(now);
}

#[test]
fn failures_of_all_are_held_against_nobody() {
    let site = site();
    let pool = checked(&site, Policy::P2c, 3);
    let now = start();
    all(&pool, Health::Healthy, now);
    let blamed = |index: usize| at(&pool, index).load.penalty(now) > 1.0;
    (0..2).for_each(|index| at(&pool, index).load.penalize(now));
    pool.check_ejections(now);
    assert!(blamed(0) && blamed(1) && !blamed(2), "one does better");
    at(&pool, 2).load.penalize(now);
    pool.check_ejections(now);
    assert!(!blamed(0) && !blamed(1) && !blamed(2));
    at(&pool, 0).load.penalize(now);
    pool.check_ejections(now + SEC / 4);
    assert!(!blamed(0), "what came just before the return");
    at(&pool, 0).load.penalize(now);
    pool.check_ejections(now + SEC);
    assert!(blamed(0), "a failure of its own");
}

/// Orders on servers of a pool, each given a second after the one before.
fn ordered(pool: &Pool, orders: &[(usize, Action)]) -> ServerOrders {
    let mut book = Book::default();
    let mut clock = lb_core::drain::Clock::new("r1".to_owned());
    for (second, (index, action)) in orders.iter().enumerate() {
        let order = Order {
            reason: "x".to_owned(),
            actor: "ada".to_owned(),
            ..Order::default()
        };
        let scope = Scope::Server {
            pool: PoolName::new(&pool.spec.name).unwrap(),
            server: at(pool, *index).key.server.clone(),
        };
        let now = 1_000 * (second as u64 + 1);
        let record = order.draft(scope, *action, 1.0, now).unwrap();
        let planned = Draft::from(record).plan(&book, &mut clock, now, Stamping::Bounded);
        let Ok(Planned::New(record)) = planned else {
            panic!("{planned:?}");
        };
        book.take(record).unwrap();
    }
    ServerOrders::new(&book, 10_000)
}

fn obey(pool: &Pool, orders: &[(usize, Action)], now: Instant) {
    pool.obey(&ordered(pool, orders), now);
    pool.refresh(now);
}

#[test]
fn of_drains_that_take_all_servers_the_last_is_not_obeyed() {
    let (site, now) = (site(), start());
    let pool = checked(&site, Policy::RoundRobin, 2);
    all(&pool, Health::Healthy, now);
    obey(&pool, &[(1, Action::Drain), (0, Action::Drain)], now);
    assert!(at(&pool, 1).is_drained() && !at(&pool, 0).is_drained());
    assert_eq!(spread(&pool, now, |_| None), [10_000, 0]);
    assert!(!pool.view().resorts);
    obey(&pool, &[], now);
    assert!(!at(&pool, 1).is_drained());
}

#[test]
fn who_is_drained_and_well_is_used_before_the_unhealthy_and_who_is_off_never() {
    let (site, now) = (site(), start());
    let pool = checked(&site, Policy::Maglev, 3);
    all(&pool, Health::Healthy, now);
    let orders = [(0, Action::Drain), (1, Action::Offline)];
    obey(&pool, &orders, now);
    assert_eq!(spread(&pool, now, Some), [0, 0, 10_000]);
    set(&pool, 2, Health::Unhealthy, now);
    assert!(pool.view().resorts && !pool.view().panic);
    assert_eq!(pool.view().healthy_share, 0.0, "others see it as down");
    assert_eq!(spread(&pool, now, Some), [10_000, 0, 0]);
    // Who is ejected instead of unhealthy is out too, and who is not judged yet may be well.
    set(&pool, 2, Health::Healthy, now);
    pool.convict(&at(&pool, 2), now);
    pool.refresh(now);
    assert_eq!(spread(&pool, now, Some), [10_000, 0, 0]);
    set(&pool, 0, Health::Unhealthy, now);
    assert!(!pool.view().resorts, "nobody is left");
    let fresh = checked(&site, Policy::RoundRobin, 4);
    set(&fresh, 0, Health::Healthy, now);
    obey(&fresh, &[(0, Action::Drain)], now);
    assert!(!fresh.view().resorts, "the others were not asked yet");
}
