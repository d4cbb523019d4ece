use super::*;
use crate::name::RegionName;
use proptest::prelude::*;

type Spoil = fn(&mut Record);

pub(super) fn record(region: &str, action: Action, at: u64) -> Record {
    let stamp = Stamp {
        wall_ms: at,
        counter: 0,
        replica: "a".to_owned(),
    };
    Record {
        scope: Scope::Region(RegionName::new(region).unwrap()),
        action,
        keep_percent: 0,
        from_percent: 100,
        ramp_s: 10,
        session_policy: SessionPolicy::Migrate,
        session_grace_s: 0,
        reason: "maintenance".to_owned(),
        actor: "ada".to_owned(),
        ticket: None,
        created: stamp.clone(),
        updated: stamp,
        expires_ms: Some(at + 7_200_000),
        overrides: Vec::new(),
        version: 1,
    }
}

proptest! {
    /// Whoever hears what, in which order and how often: the result is the same.
    #[test]
    fn merging_depends_on_no_order(
        writes in proptest::collection::vec((0u8..4, 0u64..20, 0u8..3), 1..30),
        seed in any::<u64>(),
    ) {
        use rand::{RngExt, SeedableRng, rngs::SmallRng};
        let mut rng = SmallRng::seed_from_u64(seed);
        let records: Vec<Record> = writes.iter().enumerate().map(|(i, (region, at, percent))| {
            let mut record = record(&format!("r{region}"), Action::Dial, *at);
            record.keep_percent = *percent;
            record.updated.counter = i as u32;
            record
        }).collect();
        let mut books: Vec<Book> = (0..3).map(|_| Book::default()).collect();
        for book in &mut books {
            let mut left = records.clone();
            while !left.is_empty() {
                let at = rng.random_range(0..left.len());
                book.take(left[at].clone()).unwrap();
                if rng.random_bool(0.7) {
                    left.swap_remove(at);
                }
            }
        }
        prop_assert_eq!(&books[0], &books[1]);
        prop_assert_eq!(&books[0], &books[2]);
        for held in books[0].iter() {
            let latest = records.iter().filter(|r| r.scope == held.scope).map(|r| &r.updated).max();
            prop_assert_eq!(Some(&held.updated), latest);
        }
    }
}

#[test]
fn what_ended_stays_as_a_tombstone_for_a_day() {
    let mut book = Book::default();
    let old = record("eu", Action::Drain, 1_000);
    book.take(old.clone()).unwrap();
    book.take(record("eu", Action::Undrain, 2_000)).unwrap();
    assert!(
        !book.take(old).unwrap(),
        "the earlier order doesn't come back"
    );
    assert!(!book.forget(2_000 + FORGET_MS - 1));
    assert!(book.forget(2_000 + FORGET_MS));
    assert_eq!(book.iter().count(), 0);
}

#[test]
fn records_that_can_not_be_right_are_refused_by_field() {
    let mut book = Book::default();
    let cases: [(Spoil, &str); 4] = [
        (|r| r.keep_percent = 101, "keep_percent is 101"),
        (|r| r.reason = "  ".to_owned(), "reason has 0 bytes"),
        (|r| r.actor = String::new(), "actor"),
        (|r| r.ticket = Some("x".repeat(501)), "ticket has 501"),
    ];
    for (spoil, part) in cases {
        let mut bad = record("eu", Action::Drain, 1);
        spoil(&mut bad);
        let text = book.take(bad).unwrap_err().to_string();
        assert!(text.contains(part) && text.contains("region/eu"), "{text}");
    }
    let mut undrain = record("eu", Action::Undrain, 1);
    undrain.reason = String::new();
    assert!(book.take(undrain).unwrap(), "an undrain needs no reason");
}

#[test]
fn a_ramp_goes_from_where_it_was_to_where_it_should_be() {
    let mut order = record("eu", Action::Drain, 0);
    assert_eq!(order.share_after(0), 1.0);
    assert_eq!(order.share_after(5_000), 0.5);
    assert_eq!(order.share_after(20_000), 0.0);
    (order.from_percent, order.keep_percent) = (20, 60);
    assert!((order.share_after(5_000) - 0.4).abs() < 1e-9);
    order.ramp_s = 0;
    assert_eq!(order.share_after(0), 0.6);
}

#[test]
fn a_record_survives_json() {
    for action in [
        Action::Drain,
        Action::Dial,
        Action::Offline,
        Action::Undrain,
    ] {
        let mut order = record("eu", action, 5);
        order.overrides = Rule::ALL.to_vec();
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), order);
    }
}
