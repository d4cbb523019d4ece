use super::*;
use crate::config::model::{AddressFamily, KubernetesServices, ServiceShare};
use crate::name::ZoneName;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

fn config(services: &[(&str, u32)]) -> KubernetesServices {
    let share = |(name, weight): &(&str, u32)| ServiceShare {
        name: (*name).to_owned(),
        weight: *weight,
    };
    KubernetesServices {
        services: services.iter().map(share).collect(),
        namespace: None,
        port: None,
        family: AddressFamily::default(),
        zone_hints: false,
        max_servers: 10_000,
        kubeconfig: None,
    }
}

fn web() -> KubernetesServices {
    config(&[("web", 1)])
}

fn port(name: &str, number: u16) -> Port {
    Port {
        name: name.to_owned(),
        number: Some(number),
        is_tcp: true,
    }
}

fn slice(name: &str, mentions: Vec<Mention>) -> Slice {
    Slice {
        name: name.to_owned(),
        service: "web".to_owned(),
        addresses: AddressType::Ipv4,
        ports: vec![port("http", 8080)],
        mentions,
        service_weight: None,
        server_weight: None,
    }
}

/// A ready pod.
fn pod(number: u8) -> Mention {
    Mention {
        address: Some(IpAddr::from([10, 0, 0, number])),
        uid: Some(format!("uid-{number}")),
        target: Some(format!("web-{number}")),
        ready: Some(true),
        serving: Some(true),
        terminating: Some(false),
        ..Mention::default()
    }
}

fn leaving(number: u8) -> Mention {
    Mention {
        ready: Some(false),
        terminating: Some(true),
        ..pod(number)
    }
}

fn unready(number: u8) -> Mention {
    Mention {
        ready: Some(false),
        serving: Some(false),
        ..pod(number)
    }
}

fn merged(slices: &[Slice], config: &KubernetesServices) -> Merged {
    let rules = Rules { config, zone: None };
    merge(slices, rules)
}

fn servers(slices: &[Slice], config: &KubernetesServices) -> Vec<String> {
    merged(slices, config).servers.iter().map(told).collect()
}

fn told(found: &Found) -> String {
    let leaves = if found.leaves { " leaves" } else { "" };
    format!("{} {} x{}{leaves}", found.name, found.address, found.weight)
}

#[test]
fn absent_conditions_mean_what_the_api_says() {
    let of = |ready, serving, terminating| {
        let mention = Mention {
            ready,
            serving,
            terminating,
            ..Mention::default()
        };
        mention.conditions().standing()
    };
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(of(None, None, None), Standing::Ready);
    assert_eq!(of(no, None, None), Standing::Unready, "serving as ready");
    assert_eq!(of(no, yes, yes), Standing::Leaving);
    assert_eq!(of(no, no, yes), Standing::Gone);
    assert_eq!(of(None, None, yes), Standing::Leaving);
    assert_eq!(
        of(yes, yes, yes),
        Standing::Leaving,
        "publishNotReadyAddresses calls it ready to its end"
    );
    assert_eq!(of(yes, no, no), Standing::Ready, "and asks for it so");
}

#[test]
fn the_terminating_leave_and_the_unready_are_out_while_others_are_there() {
    let all = slice("a", vec![pod(1), leaving(2), unready(3)]);
    assert_eq!(
        servers(&[all], &web()),
        ["web-1 10.0.0.1:8080 x1", "web-2 10.0.0.2:8080 x1 leaves"]
    );
    let gone = Mention {
        serving: Some(false),
        ..leaving(2)
    };
    let none_ready = [slice("a", vec![leaving(1), gone.clone(), unready(3)])];
    assert_eq!(
        servers(&none_ready, &web()),
        ["web-1 10.0.0.1:8080 x1 leaves"]
    );
    let last = merged(&[slice("a", vec![gone, unready(3)])], &web());
    assert_eq!(last.servers.len(), 1, "better than nobody");
    assert!(last.notes.contains(&Note::AllUnready { servers: 1 }));
}

#[test]
fn a_pod_that_moves_between_slices_is_one_server() {
    let twice = [slice("a", vec![pod(1)]), slice("b", vec![pod(1), pod(2)])];
    assert_eq!(servers(&twice, &web()).len(), 2);
    let news = [
        slice("a", vec![pod(1)]),
        slice("b", vec![leaving(1), pod(2)]),
    ];
    assert_eq!(
        servers(&news, &web()),
        ["web-1 10.0.0.1:8080 x1 leaves", "web-2 10.0.0.2:8080 x1"],
        "terminating is for ever, so that word is the newer one"
    );
}

#[test]
fn an_address_that_was_given_on_belongs_to_its_new_pod() {
    let heir = Mention {
        uid: Some("uid-9".to_owned()),
        target: Some("web-9".to_owned()),
        ..pod(1)
    };
    let both = [slice("a", vec![leaving(1)]), slice("b", vec![heir])];
    assert_eq!(servers(&both, &web()), ["web-9 10.0.0.1:8080 x1"]);
}

#[test]
fn both_families_of_a_pod_are_one_server() {
    let six = |number: u8| Mention {
        address: Some(format!("fd00::{number}").parse().unwrap()),
        ..pod(number)
    };
    let slices = [
        slice("a", vec![pod(1), pod(2)]),
        Slice {
            addresses: AddressType::Ipv6,
            ..slice("b", vec![six(1), six(3)])
        },
    ];
    let by = |family| {
        let config = KubernetesServices { family, ..web() };
        let found = merged(&slices, &config).servers;
        found
            .iter()
            .map(|found| found.address.to_string())
            .collect::<Vec<_>>()
    };
    let (four, six) = (
        ["10.0.0.1:8080", "10.0.0.2:8080"],
        ["[fd00::1]:8080", "[fd00::3]:8080"],
    );
    assert_eq!(by(AddressFamily::Ipv4), four);
    assert_eq!(by(AddressFamily::Ipv6), six);
    assert_eq!(by(AddressFamily::PreferIpv4), [four[0], four[1], six[1]]);
    assert_eq!(by(AddressFamily::PreferIpv6), [six[0], four[1], six[1]]);
}

#[test]
fn ports_are_found_by_name_by_number_or_because_there_is_one() {
    let mut slice = slice("a", vec![pod(1)]);
    let udp = Port {
        is_tcp: false,
        ..port("quic", 8443)
    };
    let of = |slice: &Slice, wanted: Option<&str>| {
        let config = KubernetesServices {
            port: wanted.map(str::to_owned),
            ..web()
        };
        let merged = merged(std::slice::from_ref(slice), &config);
        let port = merged.servers.first().map(|found| found.address.port());
        assert_eq!(port.is_none(), !merged.notes.is_empty());
        port
    };
    slice.ports = vec![port("http", 8080), udp.clone()];
    assert_eq!(of(&slice, None), Some(8080), "the only TCP port");
    slice.ports = vec![port("http", 8080), port("admin", 9000), udp];
    assert_eq!(of(&slice, None), None);
    assert_eq!(of(&slice, Some("admin")), Some(9000));
    assert_eq!(of(&slice, Some("9000")), Some(9000));
    assert_eq!(of(&slice, Some("quic")), None);
    assert_eq!(
        of(&slice, Some("80")),
        None,
        "the Service's port is not known to slices"
    );
    slice.ports.clear();
    assert_eq!(of(&slice, Some("80")), Some(80), "left to the reader");
    assert_eq!(of(&slice, Some("http")), None);
    assert_eq!(of(&slice, None), None);
}

#[test]
fn a_named_port_may_differ_from_pod_to_pod() {
    let mut other = slice("b", vec![pod(2)]);
    other.ports = vec![port("http", 9090)];
    let config = KubernetesServices {
        port: Some("http".to_owned()),
        ..web()
    };
    assert_eq!(
        servers(&[slice("a", vec![pod(1)]), other], &config),
        ["web-1 10.0.0.1:8080 x1", "web-2 10.0.0.2:9090 x1"]
    );
}

#[test]
fn what_is_left_out_is_told() {
    let mut names = slice("names", vec![pod(1)]);
    names.addresses = AddressType::Other;
    let unreadable = Mention {
        address: None,
        ..pod(2)
    };
    let mut odd = slice("odd", vec![unreadable, pod(3), pod(4)]);
    odd.service_weight = Some("many".to_owned());
    let config = KubernetesServices {
        max_servers: 1,
        ..config(&[("web", 1), ("wbe", 1)])
    };
    let merged = merged(&[names, odd], &config);
    assert_eq!(merged.servers.len(), 1);
    let notes: Vec<String> = merged.notes.iter().map(ToString::to_string).collect();
    for (note, part) in
        notes
            .iter()
            .zip(["wbe", "names", "read", "\"many\"", "1 servers are left out"])
    {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(notes.len(), 5);
}

#[test]
fn a_service_gets_its_share_however_many_servers_it_has() {
    let mut canary = slice("c", vec![pod(9)]);
    canary.service = "canary".to_owned();
    let main = slice("a", (1..=4).map(pod).collect());
    let slices = [main.clone(), canary.clone()];
    let share = |slices: &[Slice], config: &KubernetesServices| {
        let found = merged(slices, config).servers;
        let of = |is_canary: bool| -> f64 {
            let mine = found
                .iter()
                .filter(|f| (f.name.as_str() == "web-9") == is_canary);
            mine.map(|found| f64::from(found.weight)).sum()
        };
        of(true) / (of(true) + of(false))
    };
    let config = config(&[("web", 9), ("canary", 1)]);
    assert!((share(&slices, &config) - 0.1).abs() < 1e-3);
    canary.service_weight = Some("3".to_owned());
    let shifted = [main.clone(), canary.clone()];
    assert!(
        (share(&shifted, &config) - 0.25).abs() < 1e-3,
        "the label overrides"
    );
    canary.service_weight = Some("0".to_owned());
    let drained = [main.clone(), canary];
    assert_eq!(share(&drained, &config), 0.0, "drained, and still there");
    assert_eq!(merged(&drained, &config).servers.len(), 5);
    let alone = [main];
    assert!(
        merged(&alone, &config)
            .servers
            .iter()
            .all(|found| found.weight == 1)
    );
}

#[test]
fn hints_are_obeyed_only_when_asked_for_and_complete() {
    let hinted = |number: u8, zone: &str| Mention {
        hints: vec![zone.to_owned()],
        zone: Some("b".to_owned()),
        ..pod(number)
    };
    let slices = [slice("a", vec![hinted(1, "a"), hinted(2, "b"), leaving(3)])];
    let names = |slices: &[Slice], zone: &str, asked: bool| {
        let config = KubernetesServices {
            zone_hints: asked,
            ..web()
        };
        let zone = ZoneName::new(zone).unwrap();
        let rules = Rules {
            config: &config,
            zone: Some(&zone),
        };
        let found = merge(slices, rules).servers;
        found
            .iter()
            .map(|found| found.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&slices, "a", true), ["web-1", "web-3"]);
    assert_eq!(names(&slices, "a", false).len(), 3);
    assert_eq!(names(&slices, "c", true).len(), 3, "nobody is meant for it");
    let partly = [slice("a", vec![hinted(1, "a"), pod(2)])];
    assert_eq!(names(&partly, "a", true).len(), 2, "one has no hint");
}

#[test]
fn servers_are_called_after_their_pods_and_never_the_same() {
    let long = format!("{}-x7k2p", "very-long-name".repeat(6));
    let named = |number: u8, target: Option<&str>| Mention {
        target: target.map(str::to_owned),
        uid: None,
        ..pod(number)
    };
    let mut six = named(5, None);
    six.address = Some("2001:db8::1".parse().unwrap());
    let mentions = vec![
        named(1, Some(&long)),
        named(2, Some("same")),
        named(3, Some("same")),
        named(4, None),
        six,
    ];
    let found = merged(&[slice("a", mentions)], &web()).servers;
    let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names.len(), 5);
    assert!(
        names
            .iter()
            .any(|name| name.ends_with("-x7k2p") && name.len() <= 63)
    );
    for name in [
        "10.0.0.2_8080",
        "10.0.0.3_8080",
        "10.0.0.4_8080",
        "2001-db8-0-0-0-0-0-1_8080",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

prop_compose! {
    fn mentions()(
        number in 0_u8..12, uid in 0_u8..4, six in any::<bool>(),
        ready in any::<Option<bool>>(), serving in any::<Option<bool>>(), terminating in any::<Option<bool>>(),
        zone in 0_u8..3,
    ) -> Mention {
        let address = if six { format!("fd00::{number}") } else { format!("10.0.0.{number}") };
        Mention {
            address: address.parse().ok(),
            // Some pods without a uid, some uids at several addresses.
            uid: (uid > 0).then(|| format!("uid-{}", number / uid)),
            target: Some(format!("web-{number}")),
            ready, serving, terminating,
            zone: Some(format!("z{zone}")),
            hints: (zone > 0).then(|| format!("z{zone}")).into_iter().collect(),
        }
    }
}

prop_compose! {
    fn slices()(all in prop::collection::vec((
        prop::collection::vec(mentions(), 0..8), 0_u8..3, prop::option::of("[0-9]{1,2}"), 8080_u16..8082
    ), 0..6)) -> Vec<Slice> {
        let one = |(at, (mentions, service, weight, number)): (usize, (Vec<Mention>, u8, Option<String>, u16))| Slice {
            service: format!("s{service}"),
            service_weight: weight.clone(),
            server_weight: weight.filter(|_| number == 8080),
            ports: vec![port("http", number)],
            ..slice(&format!("slice-{at}"), mentions)
        };
        all.into_iter().enumerate().map(one).collect()
    }
}

proptest! {
    #[test]
    fn order_does_not_matter(slices in slices(), seed in any::<u64>()) {
        use rand::seq::SliceRandom;
        use rand::{SeedableRng, rngs::SmallRng};
        let config = config(&[("s0", 3), ("s1", 1)]);
        let mut other = slices.clone();
        let rng = &mut SmallRng::seed_from_u64(seed);
        other.shuffle(rng);
        other.iter_mut().for_each(|slice| slice.mentions.shuffle(rng));
        prop_assert_eq!(merged(&slices, &config), merged(&other, &config));
    }

    #[test]
    fn a_list_is_sound(slices in slices()) {
        let config = KubernetesServices { max_servers: 9, ..config(&[("s0", 3), ("s1", 1)]) };
        let found = merged(&slices, &config).servers;
        let names: BTreeMap<_, _> = found.iter().map(|found| (&found.name, found)).collect();
        prop_assert_eq!(names.len(), found.len(), "names");
        let addresses: BTreeMap<SocketAddr, _> = found.iter().map(|found| (found.address, found)).collect();
        prop_assert_eq!(addresses.len(), found.len(), "addresses");
        prop_assert!(found.len() <= 9);
        // Whoever is in the list was mentioned there, and the same slices twice change nothing.
        let doubled: Vec<Slice> = slices.iter().chain(&slices).cloned().collect();
        prop_assert_eq!(merged(&doubled, &config).servers, found);
    }

    #[test]
    fn while_nobody_terminates_somebody_is_left(slices in slices()) {
        let config = config(&[("s0", 1), ("s1", 1)]);
        let all = || slices.iter().filter(|slice| slice.service != "s2").flat_map(|slice| &slice.mentions);
        let stays = all().count() > 0 && all().all(|mention| mention.terminating != Some(true));
        let found = merged(&slices, &config).servers;
        prop_assert_eq!(stays && found.is_empty(), false);
        let has_ready = all().any(|mention| mention.ready != Some(false));
        prop_assert_eq!(stays && has_ready && found.iter().all(|found| found.leaves), false);
    }
}

#[path = "shelf_tests.rs"]
mod shelf_tests;
