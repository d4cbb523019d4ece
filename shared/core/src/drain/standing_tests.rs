use super::*;
use crate::drain::Rule;
use crate::drain::book_tests::record;
use proptest::prelude::*;

const NOW: u64 = 1_000_000;

fn fact(name: &str) -> Facts {
    Facts {
        name: RegionName::new(name).unwrap(),
        in_service: true,
        is_usable: true,
        utilization: Some(0.4),
        failures: 0.0,
        in_flight: 0,
    }
}

fn facts(names: &[&str]) -> Vec<Facts> {
    names.iter().map(|name| fact(name)).collect()
}

fn book(records: impl IntoIterator<Item = Record>) -> Book {
    let mut book = Book::default();
    for record in records {
        book.take(record).unwrap();
    }
    book
}

fn stages(standings: &[Standing]) -> Vec<Stage> {
    standings.iter().map(|s| s.stage).collect()
}

#[test]
fn a_drain_ramps_then_waits_for_what_is_in_flight() {
    let book = book([record("eu", Action::Drain, NOW)]);
    let mut facts = facts(&["eu", "us"]);
    facts[0].in_flight = 3;
    let mut board = Board::default();
    let mut see = |facts: &[Facts], at: u64| board.judge(&book, facts, NOW + at).swap_remove(0);
    let first = see(&facts, 0);
    assert_eq!(
        (first.stage, first.share, first.left_ms),
        (Stage::Ramping, 1.0, 10_000)
    );
    let half = see(&facts, 5_000);
    assert!((half.share - 0.5).abs() < 1e-9);
    assert_eq!(see(&facts, 10_000).stage, Stage::Draining);
    facts[0].in_flight = 0;
    assert_eq!(see(&facts, 11_000).stage, Stage::Drained);
    facts[0].in_flight = 1;
    let late = see(&facts, 10_000 + IN_FLIGHT_MS);
    assert_eq!(late.stage, Stage::Drained, "a request that never ends");
}

#[test]
fn a_ramp_waits_while_a_receiver_suffers() {
    let book = book([record("eu", Action::Drain, NOW)]);
    for spoil in [
        (|f: &mut Facts| f.utilization = Some(0.95)) as fn(&mut Facts),
        |f| f.failures = 0.03,
    ] {
        let mut facts = facts(&["eu", "us"]);
        let mut board = Board::default();
        board.judge(&book, &facts, NOW);
        let before = board.judge(&book, &facts, NOW + 4_000)[0].share;
        spoil(&mut facts[1]);
        let held = board.judge(&book, &facts, NOW + 9_000).swap_remove(0);
        assert_eq!(held.share, before, "no step, and no step back");
        assert_eq!(held.held_by.map(|r| r.to_string()).as_deref(), Some("us"));
        facts[1] = fact("us");
        let goes_on = board.judge(&book, &facts, NOW + 10_000).swap_remove(0);
        assert!(
            (goes_on.share - (before - 0.1)).abs() < 1e-9,
            "{}",
            goes_on.share
        );
    }
}

#[test]
fn the_later_of_two_drains_that_take_the_last_region_is_suspended() {
    let eu = record("eu", Action::Drain, NOW - 2);
    let us = record("us", Action::Offline, NOW - 1);
    let facts = facts(&["eu", "us"]);
    let both = [eu.clone(), us.clone()];
    let standings = Board::default().judge(&book(both.clone()), &facts, NOW + 60_000);
    assert_eq!(stages(&standings), [Stage::Drained, Stage::Suspended]);
    assert_eq!(standings[1].share, 1.0);
    let swapped = both.into_iter().rev();
    let again = Board::default().judge(&book(swapped), &facts, NOW + 60_000);
    assert_eq!(
        stages(&again),
        stages(&standings),
        "whoever heard of what first"
    );
    let mut forced = us.clone();
    forced.overrides = vec![Rule::LastRegion];
    let standings = Board::default().judge(&book([eu.clone(), forced]), &facts, NOW + 60_000);
    assert_eq!(stages(&standings), [Stage::Drained, Stage::Offline]);
    let mut over = eu;
    over.updated.wall_ms += 1;
    over.action = Action::Undrain;
    let standings = Board::default().judge(&book([over, us]), &facts, NOW + 60_000);
    assert_eq!(
        standings[1].stage,
        Stage::Offline,
        "obeyed once there is room"
    );
}

#[test]
fn an_expired_drain_returns_no_traffic_to_a_sick_region() {
    let order = record("eu", Action::Drain, NOW);
    let end = order.expires_ms.unwrap();
    let book = book([order]);
    let mut facts = facts(&["eu", "us"]);
    let mut board = Board::default();
    board.judge(&book, &facts, end - 1_000);
    facts[0].is_usable = false;
    for at in [0, 100_000] {
        let sick = board.judge(&book, &facts, end + at).swap_remove(0);
        assert_eq!((sick.stage, sick.share), (Stage::ExpiredUnhealthy, 0.0));
    }
    facts[0].is_usable = true;
    let well = board.judge(&book, &facts, end + 200_000).swap_remove(0);
    assert_eq!((well.stage, well.share), (Stage::Undraining, 0.0));
    let half = board
        .judge(&book, &facts, end + 200_000 + RETURN_MS / 2)
        .swap_remove(0);
    assert!((half.share - 0.5).abs() < 1e-9);
    facts[0].is_usable = false;
    let back = board
        .judge(&book, &facts, end + 200_000 + RETURN_MS)
        .swap_remove(0);
    assert_eq!(back, Standing::default(), "evidence decides from now on");
    let restarted = Board::default()
        .judge(&book, &facts, end + 300_000)
        .swap_remove(0);
    assert_eq!(restarted.stage, Stage::ExpiredUnhealthy);
}

#[test]
fn an_undrain_is_a_slow_start_from_where_the_drain_was() {
    let mut over = record("eu", Action::Undrain, NOW);
    over.from_percent = 40;
    let book = book([over]);
    let facts = facts(&["eu", "us"]);
    let mut board = Board::default();
    let first = board.judge(&book, &facts, NOW).swap_remove(0);
    assert_eq!((first.stage, first.share), (Stage::Undraining, 0.4));
    let half = board.judge(&book, &facts, NOW + 5_000).swap_remove(0);
    assert!((half.share - 0.7).abs() < 1e-9);
    let back = board.judge(&book, &facts, NOW + 10_000).swap_remove(0);
    assert_eq!(back, Standing::default());
}

#[test]
fn a_ramp_of_a_clock_that_is_ahead_begins_when_it_is_seen() {
    let mut order = record("eu", Action::Drain, NOW + 3_600_000);
    order.session_policy = SessionPolicy::Honor;
    order.session_grace_s = 60;
    let book = book([order]);
    let mut facts = facts(&["eu", "us"]);
    facts[0].in_flight = 1;
    let mut board = Board::default();
    let mut see = |at: u64| board.judge(&book, &facts, NOW + at).swap_remove(0);
    assert_eq!(see(0).share, 1.0);
    let half = see(5_000);
    assert!((half.share - 0.5).abs() < 1e-9, "{}", half.share);
    let out = see(10_000);
    assert_eq!((out.stage, out.honors), (Stage::Draining, true));
    assert!(!see(60_000).honors);
    assert_eq!(see(10_000 + IN_FLIGHT_MS).stage, Stage::Drained);
    // When that time comes nothing begins again.
    assert_eq!(see(3_600_500).share, 0.0);
}

#[test]
fn of_two_offlines_at_once_the_later_is_used_when_no_other_is_usable() {
    let both = [
        record("eu", Action::Offline, NOW),
        record("us", Action::Offline, NOW + 1),
    ];
    let mut facts = facts(&["eu", "us", "ap"]);
    let mut board = Board::default();
    let known = book(both);
    let mut see = |facts: &[Facts]| stages(&board.judge(&known, facts, NOW + 60_000));
    assert_eq!(see(&facts), [Stage::Offline, Stage::Offline, Stage::Active]);
    facts[2].is_usable = false;
    assert_eq!(see(&facts), [Stage::Offline, Stage::Drained, Stage::Active]);
    facts[2].is_usable = true;
    assert_eq!(see(&facts), [Stage::Offline, Stage::Offline, Stage::Active]);
}

#[test]
fn a_dial_keeps_its_share_and_honored_users_stay_for_their_grace() {
    let mut order = record("eu", Action::Dial, NOW);
    order.keep_percent = 30;
    order.ramp_s = 0;
    order.session_policy = SessionPolicy::Honor;
    order.session_grace_s = 60;
    let book = book([order]);
    let facts = facts(&["eu", "us"]);
    let mut board = Board::default();
    let now = board.judge(&book, &facts, NOW + 1).swap_remove(0);
    assert_eq!((now.stage, now.honors), (Stage::Dialed, true));
    assert!((now.share - 0.3).abs() < 1e-9);
    assert!(!board.judge(&book, &facts, NOW + 60_000)[0].honors);
}

proptest! {
    /// Whatever is ordered, a region stays in service unless somebody broke the rule by name; shares are shares; and replicas that
    /// look at other moments agree.
    #[test]
    fn a_region_always_stays(
        orders in proptest::collection::vec((0usize..4, 0usize..4, 0u8..101, 0u64..50_000, 0u32..30), 0..12),
        moments in proptest::collection::vec(0u64..20_000, 1..20),
    ) {
        let names = ["a", "b", "c", "d"];
        let actions = [Action::Drain, Action::Dial, Action::Offline, Action::Undrain];
        let mut known = Book::default();
        for (region, action, percent, at, ramp) in orders {
            let mut order = record(names[region], actions[action], NOW + at);
            order.keep_percent = percent;
            order.ramp_s = ramp;
            known.take(order).unwrap();
        }
        let facts = facts(&names);
        let (mut seen_often, mut now) = (Board::default(), NOW);
        for step in moments {
            now += step;
            let standings = seen_often.judge(&known, &facts, now);
            prop_assert!(standings.iter().any(|s| !s.is_out()), "{:?}", stages(&standings));
            prop_assert!(standings.iter().all(|s| (0.0..=1.0).contains(&s.share)));
            let other = Board::default().judge(&known, &facts, now);
            prop_assert_eq!(stages(&standings), stages(&other));
        }
    }
}
