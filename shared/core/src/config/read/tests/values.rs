//! What is read when nothing is wrong.

use proptest::prelude::*;

use super::super::{Code, Path, Place, schema_for};
use super::sample;
use super::sample::*;

pub(super) const BLOCK: &str = r#"
name: eu-west   # a comment
pools:
  - name: web
    policy: ring_hash
    check: { http: { path: "/ok", every: 5s } }
    stick:
      by: cookie
      name: sid
    timeout: 30s
    servers:
      - &base { address: 10.0.0.1, weight: 10 }
      - <<: *base
        address: "::1"
        tls: true
      - *base
  - name: tcp
    check: tcp
limits:
labels: { tier: gold }
zones: { a: plain, b: { id: 1, title: B }, c: { share: 5 } }
region: ~
ports: [80, 0x1BB]
"#;

#[test]
fn reads_one_of_everything() {
    let (root, _) = sample(BLOCK).unwrap_or_else(|faults| panic!("{faults}"));
    insta::assert_debug_snapshot!(root);
}

#[test]
fn reads_every_line_ending_alike() {
    let (unix, _) = sample(BLOCK).expect("valid");
    let (dos, _) = sample(&BLOCK.replace('\n', "\r\n")).expect("valid with CRLF");
    let (marked, _) = sample(&format!("\u{feff}{BLOCK}")).expect("valid with a byte order mark");
    assert_eq!(unix, dos);
    assert_eq!(unix, marked);
}

#[test]
fn an_empty_value_is_absent_where_settings_are_optional() {
    let text = "name: a\npools: [{ name: b, check: , servers: [] }]\nlimits:\nzones:\nregion:\n";
    let (root, _) = sample(text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(root.limits, Limits::default());
    assert_eq!((root.zones.len(), root.region), (0, None));
}

#[test]
fn points_into_the_document_afterwards() {
    let (_, document) = sample(BLOCK).expect("valid");
    let server = Path::root().key("pools").index(0).key("servers").index(1);
    let at = |path: &Path, place| {
        let fault = document.fault(path, place, Code::Conflict, "no");
        (fault.line, fault.column, fault.len, fault.path)
    };
    let address = server.key("address");
    let name = "pools[0].servers[1].address".to_owned();
    assert_eq!(at(&address, Place::Key), (14, 9, 7, name.clone()));
    assert_eq!(at(&address, Place::Value), (14, 18, 5, name));
    let merged = server.key("weight");
    assert_eq!(
        at(&merged, Place::Value).0,
        12,
        "a merged value is where it was written"
    );
    let absent = server.key("share");
    assert_eq!(
        at(&absent, Place::Value).0,
        13,
        "an absent value is at what would hold it"
    );
    assert_eq!(at(&absent, Place::Value).3, "pools[0].servers[1].share");
    assert_eq!(
        at(&Path::root().key("limits"), Place::Value),
        (19, 1, 6, "limits".into())
    );
    assert_eq!(at(&Path::root(), Place::Key).0, 2);
    assert!(document.has(&address) && !document.has(&absent));
    assert_eq!(document.file(), "conf/sample.yaml");
}

#[test]
fn the_schema_carries_its_title_and_its_rules() {
    let schema = schema_for::<Root>("Sample");
    assert_eq!(schema["title"], "Sample");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
}

proptest! {
    /// Whatever a valid configuration is, writing it and reading it again gives the same one. JSON is
    /// YAML, so this also covers flow style and escapes.
    #[test]
    fn what_is_written_is_read_again(root in any_root()) {
        let json = serde_json::to_string_pretty(&root).expect("serializes");
        let (again, _) = sample(&json).unwrap_or_else(|faults| panic!("{json}\n{faults}"));
        prop_assert_eq!(again, root);
    }
}

pub(super) fn any_root() -> impl Strategy<Value = Root> {
    let zone = prop_oneof![
        "\\PC{0,9}".prop_map(Zone::Name),
        (any::<u8>(), any::<String>()).prop_map(|(id, title)| Zone::Full(FullZone { id, title })),
        any::<u8>().prop_map(|share| Zone::Weighted(WeightedZone { share })),
    ];
    (
        any_name(),
        prop::collection::vec(any_pool(), 1..4),
        (any::<Option<u32>>(), any::<u64>(), any::<i64>()),
        prop::collection::btree_map(any_name(), any::<String>(), 0..3),
        prop::collection::btree_map(any::<String>(), zone.clone(), 0..4),
        prop::option::of(zone),
        prop::collection::btree_set(any::<u16>(), 0..4),
    )
        .prop_map(
            |(name, pools, (connections, total, signed), labels, zones, region, ports)| {
                let limits = Limits {
                    connections,
                    total,
                    signed,
                };
                Root {
                    name,
                    pools,
                    limits,
                    labels,
                    zones,
                    region,
                    ports,
                }
            },
        )
}

fn any_name() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9-]{0,19}".prop_map(Name)
}

fn any_pool() -> impl Strategy<Value = Pool> {
    let policy = prop_oneof![
        Just(Policy::PeakEwma),
        Just(Policy::RoundRobin),
        Just(Policy::RingHash)
    ];
    let seconds = (14..u32::MAX).prop_map(Seconds).boxed();
    let probe = prop_oneof![
        Just(Probe::None),
        Just(Probe::Tcp),
        (any::<String>(), prop::option::of(seconds.clone()))
            .prop_map(|(path, every)| Probe::Http { path, every }),
    ];
    let stick = prop_oneof![
        any::<String>().prop_map(|name| Stick::Cookie { name }),
        any::<String>().prop_map(|header| Stick::Header { header }),
        Just(Stick::Address),
    ];
    let server = (
        any::<std::net::IpAddr>(),
        0..=1000_u16,
        any::<bool>(),
        prop::option::of(0.0..=1.0),
    )
        .prop_map(|(address, weight, tls, share)| Server {
            address,
            weight,
            tls,
            share,
        });
    (
        any_name(),
        policy,
        prop::option::of(probe),
        prop::option::of(stick),
        prop::option::of(seconds),
        prop::collection::vec(server, 0..4),
    )
        .prop_map(|(name, policy, check, stick, timeout, servers)| Pool {
            name,
            policy,
            check,
            stick,
            timeout,
            servers,
        })
}
