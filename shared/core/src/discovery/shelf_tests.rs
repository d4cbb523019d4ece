//! What goes, and when.

use super::*;
use crate::time::Instant;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A slice of its own for each pod.
fn own(number: u8) -> Slice {
    slice(&format!("s{number}"), vec![pod(number)])
}

fn shelf(slices: Vec<Slice>, config: &KubernetesServices) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.take_all(slices, config, at(0)).unwrap();
    shelf
}

/// The servers' last bytes, and why they stay.
fn list(
    shelf: &mut Shelf,
    config: &KubernetesServices,
    millis: u64,
) -> (Vec<String>, Option<Stays>) {
    let rules = Rules { config, zone: None };
    let (list, stays) = shelf.list(rules, at(millis));
    let name = |found: &Found| found.name.to_string();
    (list.servers.iter().map(name).collect(), stays)
}

#[test]
fn slices_that_go_one_by_one_are_nothing_until_it_is_known_whether_any_stays() {
    let config = web();
    let all = ["web-1", "web-2", "web-3"].map(str::to_owned);
    let mut two = shelf((1..=3).map(own).collect(), &config);
    for (number, millis) in [(1, 100), (2, 900)] {
        two.forget(&format!("s{number}"), &config, at(millis));
        assert_eq!(list(&mut two, &config, millis), (all.to_vec(), None));
    }
    let decides = two.decides_at().unwrap();
    assert_eq!(decides, at(3900), "the last one counts");
    assert_eq!(list(&mut two, &config, 3899), (all.to_vec(), None));
    assert_eq!(
        list(&mut two, &config, 3900),
        (vec!["web-3".to_owned()], None)
    );
    assert_eq!(two.decides_at(), None);

    let mut none = shelf((1..=3).map(own).collect(), &config);
    (1..=3_u64).for_each(|n| none.forget(&format!("s{n}"), &config, at(n * 1000)));
    assert_eq!(list(&mut none, &config, 5999).0, all);
    let stays = Some(Stays::NoSlices);
    assert_eq!(list(&mut none, &config, 6000), (all.to_vec(), stays));
    assert_eq!(
        list(&mut none, &config, 60_000),
        (all.to_vec(), stays),
        "for ever"
    );
    // An empty slice is an answer, and so is a new one.
    none.take(slice("t", vec![]), &config, at(70_000)).unwrap();
    assert_eq!(list(&mut none, &config, 70_000).0, all, "not before long");
    assert_eq!(list(&mut none, &config, 73_000), (vec![], None));
}

#[test]
fn slices_that_go_all_the_time_are_not_held_for_ever() {
    let config = web();
    let mut shelf = shelf((1..=200).map(own).collect(), &config);
    for number in 1..=100_u8 {
        shelf.forget(&format!("s{number}"), &config, at(u64::from(number) * 1000));
        let left = list(&mut shelf, &config, u64::from(number) * 1000).0.len();
        let gone = usize::from(number);
        assert!(left <= 200 - gone + 11, "{left} after {gone}");
    }
}

#[test]
fn a_list_that_lacks_slices_is_a_deletion_too() {
    let config = web();
    let mut shelf = shelf((1..=2).map(own).collect(), &config);
    shelf.take_all(vec![own(2)], &config, at(10)).unwrap();
    assert_eq!(list(&mut shelf, &config, 10).0.len(), 2);
    shelf.take_all(vec![], &config, at(20)).unwrap();
    let stays = Some(Stays::NoSlices);
    let (servers, why) = list(&mut shelf, &config, 3020);
    assert_eq!((servers.len(), why), (2, stays));
}

#[test]
fn the_newer_word_of_a_server_counts_while_its_old_slice_is_held() {
    let config = web();
    let mut shelf = shelf(vec![slice("a", vec![pod(1), pod(2)])], &config);
    shelf.forget("a", &config, at(0));
    let moved = slice("b", vec![unready(1), pod(3)]);
    shelf.take(moved, &config, at(10)).unwrap();
    let (servers, _) = list(&mut shelf, &config, 10);
    assert_eq!(servers, ["web-2", "web-3"]);
    assert_eq!(list(&mut shelf, &config, 3010).0, ["web-3"]);
}

#[test]
fn servers_at_one_address_are_told_apart_by_their_ports() {
    let config = web();
    let other = Slice {
        ports: vec![port("http", 9090)],
        ..slice(
            "b",
            vec![Mention {
                uid: None,
                target: None,
                ..pod(1)
            }],
        )
    };
    let mut shelf = shelf(vec![own(1), other], &config);
    shelf.forget("s1", &config, at(0));
    assert_eq!(list(&mut shelf, &config, 0).0.len(), 2);
}

#[test]
fn a_pair_of_families_goes_together_or_not_at_all() {
    let six = |number: u8| Mention {
        address: Some(format!("fd00::{number}").parse().unwrap()),
        ..pod(number)
    };
    let second = Slice {
        addresses: AddressType::Ipv6,
        ..slice("b", vec![six(1), six(2)])
    };
    for family in [AddressFamily::Ipv4, AddressFamily::PreferIpv4] {
        let config = KubernetesServices { family, ..web() };
        let mut shelf = shelf(
            vec![slice("a", vec![pod(1), pod(2)]), second.clone()],
            &config,
        );
        let rules = Rules {
            config: &config,
            zone: None,
        };
        let before = shelf.list(rules, at(0)).0;
        shelf.forget("a", &config, at(100));
        assert_eq!(shelf.list(rules, at(100)).0, before);
        shelf.forget("b", &config, at(2000));
        assert_eq!(shelf.list(rules, at(9000)), (before, Some(Stays::NoSlices)));
    }
}

#[test]
fn a_port_that_is_renamed_slice_by_slice_changes_nothing_until_it_is_right_again() {
    let config = KubernetesServices {
        port: Some("http".to_owned()),
        ..web()
    };
    let renamed = |number: u8| Slice {
        ports: vec![port("https", 8443)],
        ..own(number)
    };
    let both = ["web-1", "web-2"].map(str::to_owned);
    let mut shelf = shelf((1..=2).map(own).collect(), &config);
    shelf.take(renamed(1), &config, at(0)).unwrap();
    assert_eq!(list(&mut shelf, &config, 0), (both.to_vec(), None));
    shelf.take(renamed(2), &config, at(1000)).unwrap();
    let stays = Some(Stays::Useless);
    assert_eq!(list(&mut shelf, &config, 4000), (both.to_vec(), stays));
    // What is still not usable changes nothing of it, and what is does.
    shelf.take(renamed(3), &config, at(5000)).unwrap();
    assert_eq!(list(&mut shelf, &config, 9000), (both.to_vec(), stays));
    shelf.take(own(1), &config, at(10_000)).unwrap();
    assert_eq!(list(&mut shelf, &config, 10_000).0, both);
    assert_eq!(list(&mut shelf, &config, 13_000).0, ["web-1"]);
    // A Service that can't be used isn't replaced by another.
    let config = KubernetesServices {
        port: Some("http".to_owned()),
        ..super::config(&[("web", 9), ("canary", 1)])
    };
    let canary = Slice {
        service: "canary".to_owned(),
        ..slice("c", vec![pod(9)])
    };
    let mut shelf = self::shelf(vec![own(1), canary], &config);
    shelf.take(renamed(1), &config, at(0)).unwrap();
    assert_eq!(list(&mut shelf, &config, 9000).0, ["web-1", "web-9"]);
}

#[test]
fn a_first_list_that_cannot_be_used_is_useless_and_an_empty_one_is_not() {
    let config = KubernetesServices {
        port: Some("https".to_owned()),
        ..web()
    };
    let rules = Rules {
        config: &config,
        zone: None,
    };
    let of = |slices: Vec<Slice>| shelf(slices, &config).list(rules, at(0));
    let (list, stays) = of(vec![own(1)]);
    assert_eq!((list.is_useless(), stays), (true, Some(Stays::Useless)));
    for slices in [
        vec![],
        vec![slice("a", vec![])],
        vec![slice("a", vec![leaving(1), unready(2)])],
    ] {
        let (list, stays) = of(slices);
        assert_eq!((list.is_useless(), stays), (false, None), "nobody is ready");
    }
    let unreadable = Mention {
        address: None,
        ..pod(1)
    };
    let config = web();
    let rules = Rules {
        config: &config,
        zone: None,
    };
    let (list, _) = shelf(vec![slice("a", vec![unreadable])], &config).list(rules, at(0));
    assert!(list.is_useless());
}

#[test]
fn more_than_is_kept_is_refused_and_changes_nothing() {
    let config = KubernetesServices {
        max_servers: 1,
        ..web()
    };
    let pods = |count: u8| slice("a", (1..=count).map(pod).collect());
    let mut shelf = shelf(vec![pods(4)], &config);
    let before = list(&mut shelf, &config, 0);
    let refused = Err(TooMany { most: 4 });
    assert_eq!(shelf.take(pods(5), &config, at(1)), refused);
    assert_eq!(shelf.take(own(9), &config, at(1)), refused);
    assert_eq!(shelf.take_all(vec![pods(5)], &config, at(1)), refused);
    assert_eq!(list(&mut shelf, &config, 1), before);
    assert_eq!(shelf.take(pods(3), &config, at(2)), Ok(()));
    assert_eq!(shelf.take(own(9), &config, at(2)), Ok(()));
}

proptest! {
    /// Whatever comes and goes: in the end, servers are those of a list of the slices that are left, if there are any to be used.
    #[test]
    fn in_the_end_what_is_there_counts(
        steps in prop::collection::vec((0_u8..4, slices(), 0_u64..5000), 1..12)
    ) {
        let config = config(&[("s0", 3), ("s1", 1)]);
        let rules = Rules { config: &config, zone: None };
        let mut shelf = Shelf::default();
        let (mut now, mut left) = (0, BTreeMap::new());
        for (what, slices, millis) in steps {
            now += millis;
            match (what, slices.first().cloned()) {
                (0, _) => {
                    left = slices.iter().map(|s| (s.name.clone(), s.clone())).collect();
                    shelf.take_all(slices, &config, at(now)).unwrap();
                }
                (1, Some(first)) => {
                    left.remove(&first.name);
                    shelf.forget(&first.name, &config, at(now));
                }
                (_, Some(first)) => {
                    left.insert(first.name.clone(), first.clone());
                    shelf.take(first, &config, at(now)).unwrap();
                }
                _ => {}
            }
            shelf.list(rules, at(now));
        }
        let (list, stays) = shelf.list(rules, at(now + 60_000));
        prop_assert_eq!(shelf.decides_at(), None);
        if stays.is_none() {
            prop_assert_eq!(list, merge(left.values(), rules));
        } else {
            prop_assert!(left.is_empty() || stays == Some(Stays::Useless));
        }
    }
}
