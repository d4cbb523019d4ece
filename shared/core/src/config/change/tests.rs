//! Tests of reload decisions.

use super::*;
use crate::config::read::Layers;
use crate::config::{load_global, load_regional};

const REGIONAL: &str = "\
name: r1
region: eu
threads: 2
listeners:
  - { name: web, address: 127.0.0.1:8080 }
  - name: tls
    address: 127.0.0.1:8443
    tls: { certificates: [{ certificate: a.pem, key: a.key }] }
routes:
  - name: all
    pool: app
    request_headers: { set: { authorization: secret-1 } }
pools:
  - name: app
    servers:
      - { name: a, address: 127.0.0.1:9001 }
      - { name: b, address: 127.0.0.1:9002 }
";

fn load(edits: &[(&str, &str)]) -> Regional {
    let mut text = REGIONAL.to_owned();
    for (old, new) in edits {
        assert_eq!(text.matches(old).count(), 1, "{old} occurs once");
        text = text.replace(old, new);
    }
    load_regional(&Layers::one("r.yaml", &text)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn change(edits: &[(&str, &str)]) -> Change {
    diff(&load(&[]), &load(edits))
}

fn deferred(edits: &[(&str, &str)]) -> Vec<String> {
    let old = load(&[]);
    let (next, deferred) = carry_over(&old, load(edits));
    assert_eq!(next.listeners.len(), old.listeners.len());
    let (again, none) = carry_over(&next, next.clone());
    assert!(
        none.is_empty() && again == next,
        "a carried configuration stays"
    );
    deferred.into_iter().map(|one| one.path).collect()
}

#[test]
fn nothing_changes_when_only_the_text_does() {
    let change = change(&[("threads: 2", "threads: 2 # two\nlimits: {}")]);
    assert!(change.is_empty(), "{change:?}");
    let written = ("8080 }", "8080, protocols: [http1] }");
    assert_eq!(
        deferred(&[written]),
        [""; 0],
        "a default that is written out"
    );
}

#[test]
fn routes_pools_and_limits_are_live() {
    let change = change(&[
        (
            "threads: 2",
            "threads: 2\nlimits: { max_body: 1MiB }\ntrusted_proxies: [10.0.0.0/8]",
        ),
        (
            "- { name: a, address: 127.0.0.1:9001 }",
            "- { name: c, address: 127.0.0.1:9003 }",
        ),
        (
            "address: 127.0.0.1:9002",
            "address: 127.0.0.1:9002, weight: 5",
        ),
        ("secret-1", "secret-2"),
        ("a.key", "b.key"),
    ]);
    assert_eq!(change.deferred, []);
    insta::assert_snapshot!(change.live.join("\n"));
}

#[test]
fn what_is_bound_or_started_stays() {
    let cases = [
        ("name: r1", "name: r2", "name"),
        ("region: eu", "region: us", "region"),
        ("threads: 2", "threads: 3", "threads"),
        (
            "threads: 2",
            "threads: 2\nthreading: work_stealing",
            "threading",
        ),
        (
            "threads: 2",
            "threads: 2\nadmin: { address: 127.0.0.1:9901 }",
            "admin.address",
        ),
        (
            "threads: 2",
            "threads: 2\naccess_log: { path: /tmp/x }",
            "access_log.path",
        ),
        (
            "address: 127.0.0.1:8080",
            "address: 127.0.0.1:8081",
            "listeners.web.address",
        ),
        (
            "8080 }",
            "8080, protocols: [http1, h2c] }",
            "listeners.web.protocols",
        ),
        (
            "a.key }]",
            "a.key }], client_ca: ca.pem",
            "listeners.tls.tls.client_ca",
        ),
        (
            "8080 }",
            "8080, tls: { certificates: [{ certificate: c, key: k }] } }",
            "listeners.web.tls",
        ),
    ];
    for (old, new, path) in cases {
        assert_eq!(deferred(&[(old, new)]), [path]);
        let change = change(&[(old, new)]);
        assert_eq!(change.live, [""; 0], "{path} is applied in no part");
    }
}

#[test]
fn listeners_come_and_go_with_a_restart() {
    let added = (
        "8080 }",
        "8080 }\n  - { name: two, address: 127.0.0.1:8082 }",
    );
    assert_eq!(deferred(&[added]), ["listeners.two"]);
    let renamed = ("name: web", "name: front");
    assert_eq!(deferred(&[renamed]), ["listeners.front", "listeners.web"]);
    let plain = (
        "    tls: { certificates: [{ certificate: a.pem, key: a.key }] }\n",
        "",
    );
    assert_eq!(deferred(&[plain]), ["listeners.tls.tls"]);
}

#[test]
fn a_deferred_part_does_not_hold_back_the_rest() {
    let new = load(&[
        ("threads: 2", "threads: 4"),
        ("9002 }", "9002, weight: 7 }"),
    ]);
    let (next, deferred) = carry_over(&load(&[]), new);
    assert_eq!((next.threads, deferred.len()), (2, 1));
    let weights: Vec<u32> = next
        .pools
        .iter()
        .flat_map(|p| &p.servers)
        .map(|s| s.weight)
        .collect();
    assert_eq!(weights, [1, 7]);
}

#[test]
fn many_changes_of_one_list_are_counted() {
    let server = |at: u32| {
        format!(
            "      - {{ name: s{at}, address: 127.0.1.1:{} }}\n",
            9000 + at
        )
    };
    let servers: String = (0..50).map(server).collect();
    let last = "      - { name: b, address: 127.0.0.1:9002 }\n";
    let change = change(&[(last, &servers)]);
    assert_eq!(change.live, ["pools.app.servers: 50 added, 1 removed"]);
}

#[test]
fn order_alone_is_told() {
    let (a, b) = (
        "- { name: a, address: 127.0.0.1:9001 }",
        "- { name: b, address: 127.0.0.1:9002 }",
    );
    let change = change(&[(a, "- X"), (b, a), ("- X", b)].map(|(x, y)| (x, y)));
    assert_eq!(change.live, ["pools.app.servers: another order"]);
}

#[test]
fn the_global_tier_follows_the_same_rules() {
    let text = "\
name: g1
listeners: [{ name: web, address: 127.0.0.1:8000 }]
routes: [{ name: all }]
regions:
  - { name: eu, replicas: [{ name: r1, address: 127.0.0.1:8080 }] }
";
    let old = load_global(&Layers::one("g.yaml", text)).expect("is valid");
    let new = text.replace("g1", "g2").replace(
        "name: eu,",
        "name: eu, weight: 0, location: { latitude: 1, longitude: 2 },",
    ) + "  - { name: us, replicas: [{ name: r1, address: 127.0.0.1:8081 }] }\ngeo: { networks: { 10.0.0.0/8: { latitude: 1, longitude: 2 } } }\n";
    let new = load_global(&Layers::one("g.yaml", &new)).unwrap_or_else(|faults| panic!("{faults}"));
    insta::assert_debug_snapshot!(diff(&old, &new));
}
