use super::*;
use crate::status::Tier;
use proptest::prelude::*;

fn who(name: &str, boot_id: u64) -> ReplicaIdentity {
    ReplicaIdentity {
        tier: Tier::Regional,
        region: Some("eu".to_owned()),
        replica: name.to_owned(),
        boot_id,
        ..ReplicaIdentity::default()
    }
}

fn roster(addresses: &[u8]) -> Roster<u8> {
    let mut roster = Roster::new(who("a", 1));
    roster.set(addresses);
    roster
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1000 * seconds)
}

#[test]
fn nobody_is_counted_twice_and_strangers_not_at_all() {
    let mut peers = roster(&[1, 2, 3, 4, 5]);
    assert_eq!(peers.live(), 5, "not asked yet: better too strict");
    peers.on_answer(&1, &who("a", 1), at(1));
    peers.on_answer(&2, &who("b", 1), at(1));
    peers.on_answer(&3, &who("b", 1), at(1));
    assert_eq!(peers.live(), 3, "itself, and one with two addresses");
    let elsewhere = ReplicaIdentity {
        region: Some("us".to_owned()),
        ..who("c", 1)
    };
    let stranger = peers.on_answer(&4, &elsewhere, at(1));
    assert_eq!(stranger, Some(PeerState::Foreign));
    peers.on_silence(&5);
    assert_eq!(peers.live(), 1);
    peers.on_answer(&5, &who("b", 2), at(2));
    assert_eq!(peers.live(), 2, "one name, two processes");
    assert_eq!(roster(&[]).live(), 0);
}

#[test]
fn a_dead_peer_is_gone_after_three_questions_and_a_leaving_one_at_once() {
    let mut peers = roster(&[1, 2]);
    peers.on_answer(&1, &who("b", 1), at(1));
    peers.on_answer(&2, &who("c", 1), at(1));
    let told: Vec<_> = (0..4).map(|_| peers.on_silence(&1)).collect();
    assert_eq!(told, [None, None, Some(PeerState::Gone), None]);
    assert_eq!(peers.live(), 1);
    let leaves = ReplicaIdentity {
        leaving: true,
        ..who("c", 1)
    };
    peers.on_answer(&2, &leaves, at(2));
    assert_eq!(peers.live(), 0);
    peers.on_answer(&1, &who("b", 2), at(9));
    assert_eq!(peers.live(), 1, "its next start counts at once");
    assert_eq!(peers.status()[0].patience, 3, "and is like a new one");
}

#[test]
fn what_is_known_stays_when_the_list_changes() {
    let mut peers = roster(&[1, 2]);
    peers.on_answer(&1, &who("b", 1), at(1));
    peers.set(&[1, 3]);
    assert_eq!(peers.on_silence(&2), None, "it is no longer asked");
    let states: Vec<_> = peers.status().into_iter().map(|peer| peer.state).collect();
    assert_eq!(states, [PeerState::Live, PeerState::Asked]);
}

/// Seconds without the peer, while its way breaks for `broken` s and holds for `whole` s in turn. One question a second.
fn undivided(broken: u64, whole: u64, rounds: u64) -> u64 {
    let mut peers = roster(&[1]);
    let (mut now, mut lost) = (0, 0);
    peers.on_answer(&1, &who("b", 1), at(0));
    for _ in 0..rounds {
        for second in 0..broken + whole {
            now += 1;
            match second < broken {
                true => peers.on_silence(&1),
                false => peers.on_answer(&1, &who("b", 1), at(now)),
            };
            lost += u64::from(peers.live() == 0);
        }
    }
    lost
}

#[test]
fn a_bad_way_undivides_the_limit_for_a_while_only() {
    assert_eq!(undivided(2, 1, 500), 0, "two in a row are nothing");
    assert_eq!(undivided(3, 1, 500), 1, "then six are needed");
    assert_eq!(undivided(23, 1, 500), 21 + 18 + 12);
    let steady = undivided(3, 700, 10);
    assert_eq!(steady, 10, "who was steady is trusted like a new one");
}

proptest! {
    #[test]
    fn no_flapping_undivides_for_longer_than_is_told(broken in 1u64..24, whole in 1u64..20) {
        let lost = undivided(broken, whole, 100);
        prop_assert!(lost <= 21 + 18 + 12, "{lost}");
    }

    #[test]
    fn any_story_counts_between_none_and_all(
        story in proptest::collection::vec((0u8..4, 0u8..4, 0u64..3), 0..200)
    ) {
        let mut peers = roster(&[0, 1, 2, 3]);
        for (second, (address, name, boot)) in story.into_iter().enumerate() {
            if name == 0 {
                peers.on_silence(&address);
            } else {
                let name = ["a", "b", "c"][usize::from(name) - 1];
                peers.on_answer(&address, &who(name, boot), at(second as u64));
            }
            prop_assert!(peers.live() <= 4);
            let patience = peers.status().iter().all(|peer| (3..=24).contains(&peer.patience));
            prop_assert!(patience);
        }
    }
}

#[test]
fn at_most_half_stand_aside() {
    let mut peers = Roster::new(who("a", 1));
    assert!(peers.may_stand_aside(), "nobody else is known");
    peers.set(&[1, 2, 3, 4]);
    assert!(peers.may_stand_aside(), "nor has answered");
    let is = |name, overloaded| ReplicaIdentity {
        overloaded,
        ..who(name, 1)
    };
    peers.on_answer(&1, &is("b", false), at(1));
    assert!(peers.may_stand_aside(), "one of two");
    peers.on_answer(&1, &is("b", true), at(2));
    assert!(!peers.may_stand_aside(), "both");
    peers.on_answer(&2, &is("c", false), at(2));
    assert!(!peers.may_stand_aside(), "two of three");
    peers.on_answer(&3, &is("d", false), at(2));
    assert!(peers.may_stand_aside(), "two of four");
    peers.on_answer(&4, &is("d", false), at(2));
    peers.on_answer(&2, &is("c", true), at(3));
    assert!(
        !peers.may_stand_aside(),
        "three of four, one of them at two addresses"
    );
}

#[test]
fn only_a_live_peer_says_that_it_knows() {
    let mut peers = Roster::new(who("a", 1));
    peers.set(&[1, 2]);
    assert!(!peers.is_any_informed(), "nobody was asked");
    let informed = |name| ReplicaIdentity {
        informed: true,
        ..who(name, 1)
    };
    peers.on_answer(&1, &informed("a"), at(1));
    assert!(!peers.is_any_informed(), "this is the replica itself");
    peers.on_answer(&2, &informed("b"), at(1));
    assert!(peers.is_any_informed());
    peers.on_answer(&2, &who("b", 1), at(2));
    assert!(!peers.is_any_informed(), "its last word counts");
    peers.on_answer(&2, &informed("b"), at(3));
    let leaves = ReplicaIdentity {
        leaving: true,
        ..informed("b")
    };
    peers.on_answer(&2, &leaves, at(4));
    assert!(!peers.is_any_informed());
    peers.on_answer(&2, &informed("b"), at(5));
    for _ in 0..3 {
        peers.on_silence(&2);
    }
    assert!(!peers.is_any_informed(), "it is gone");
}
