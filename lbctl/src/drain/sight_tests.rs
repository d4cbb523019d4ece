use super::super::fixtures::{answer, member, record, stamp, status};
use super::*;

fn roster(names: &[&str]) -> Roster {
    Roster {
        members: names.iter().map(|name| member(name)).collect(),
    }
}

fn shown(record: &Record, stage: Stage) -> Seen {
    Ok(vec![status(record, stage)])
}

fn gone() -> Seen {
    Err("connection refused".to_owned())
}

#[test]
fn who_shows_the_order_has_it() {
    let ours = record();
    let other = Record {
        updated: stamp(0),
        created: stamp(0),
        ..ours.clone()
    };
    let earlier = Record {
        updated: lb_core::drain::Stamp {
            wall_ms: 1,
            ..stamp(0)
        },
        ..ours.clone()
    };
    let views = vec![
        shown(&other, Stage::Ramping),
        shown(&earlier, Stage::Ramping),
        Ok(Vec::new()),
        gone(),
    ];
    let sights = Sights::of(&roster(&["g1", "g2", "g3", "g4"]), views, &answer(ours));
    assert_eq!((sights.applied(), sights.all()), (1, 4));
    assert_eq!(sights.names(false), ["g2", "g3", "g4"]);
    assert!(!sights.is_enough(Wait::Majority) && sights.is_on_its_way());
    assert!(sights.missing().contains("g4 (connection refused)"));
}

#[test]
fn who_said_so_before_it_died_has_it() {
    let ours = answer(record());
    let views = vec![gone(), shown(&ours.record, Stage::Ramping), gone()];
    let sights = Sights::of(&roster(&["g1", "g2", "g3"]), views, &ours);
    assert_eq!(sights.applied(), 2);
    assert!(sights.is_enough(Wait::Majority) && !sights.is_enough(Wait::All));
    assert!(!sights.is_on_its_way(), "the one that lacks it is down");
}

#[test]
fn replicas_that_only_the_answer_names_count() {
    let ours = Answer {
        missing: vec!["g9".to_owned()],
        ..answer(record())
    };
    let views = vec![shown(&ours.record, Stage::Ramping)];
    let sights = Sights::of(&roster(&["g1"]), views, &ours);
    assert_eq!((sights.applied(), sights.all()), (1, 2));
    assert!(sights.missing().contains("g9 (nobody here knows"));
    let sights = Sights::of(&Roster::default(), Vec::new(), &ours);
    assert_eq!((sights.applied(), sights.all()), (1, 2));
    assert_eq!(sights.missing(), "g9 (not asked)");
}

#[test]
fn done_is_what_was_ordered() {
    let of = |action, keep_percent| Record {
        action,
        keep_percent,
        ..record()
    };
    for (record, stage) in [
        (of(Action::Drain, 0), Stage::Drained),
        (of(Action::Drain, 70), Stage::Dialed),
        (of(Action::Dial, 0), Stage::Drained),
        (of(Action::Offline, 0), Stage::Offline),
        (of(Action::Undrain, 100), Stage::Active),
    ] {
        assert_eq!(goal(&record), stage);
        let views = vec![shown(&record, stage), shown(&record, Stage::Ramping)];
        let ours = answer(record);
        let sights = Sights::of(&roster(&["g1", "g2"]), views, &ours);
        assert_eq!(sights.done(&ours.record), 1, "{stage:?}");
    }
}

#[test]
fn what_is_over_need_not_be_listed() {
    let ours = answer(Record {
        action: Action::Undrain,
        ..record()
    });
    let sights = Sights::of(&roster(&["g1"]), vec![Ok(Vec::new())], &ours);
    assert_eq!((sights.applied(), sights.done(&ours.record)), (1, 1));
}

#[test]
fn a_later_order_of_another_ends_the_wait() {
    let ours = answer(record());
    let later = Record {
        actor: "bob".to_owned(),
        updated: stamp(5),
        ..record()
    };
    let views = vec![shown(&later, Stage::Ramping)];
    let sights = Sights::of(&roster(&["g1"]), views, &ours);
    let halt = sights.halt(&ours.record).unwrap();
    assert_eq!((halt.exit, sights.applied()), (Exit::Failed, 1));
    assert!(halt.message.contains("bob"), "{halt}");
}

#[test]
fn an_order_that_is_not_obeyed_is_told() {
    let ours = answer(record());
    let halt = |stage| {
        let views = vec![shown(&ours.record, stage)];
        let sights = Sights::of(&roster(&["g1"]), views, &ours);
        sights.halt(&ours.record).map(|failure| failure.exit)
    };
    assert_eq!(halt(Stage::Suspended), Some(Exit::Refused));
    assert_eq!(halt(Stage::ExpiredUnhealthy), Some(Exit::Partial));
    assert_eq!(halt(Stage::Undraining), Some(Exit::Partial));
    assert_eq!(halt(Stage::Drained), None);
}
