//! Many faults at once, as an operator sees them.

use super::{load_global, load_regional};
use crate::config::read::Layers;

fn shown<T: std::fmt::Debug>(result: Result<T, crate::config::read::Faults>) -> String {
    result.expect_err("the file has faults").to_string()
}

#[test]
fn listeners_and_limits() {
    insta::assert_snapshot!(shown(load_regional(&Layers::one(
        "conf/regional.yaml",
        "\
name: r1
region: eu
admin: { address: 0.0.0.0:8080 }
listeners:
  - name: web
    address: 0.0.0.0:8080
    protocols: [http1, h2, h2]
  - name: web
    address: 127.0.0.1:8080
    protocols: [h2c]
    tls:
      certificates:
        - { certificate: a.pem, key: a.key }
        - { certificate: a.pem, key: b.key }
  - { name: plain, address: '[::]:81', tls: }
limits:
  header_timeout: 0s
  max_header_size: 512B
  h2: { idle_timeout: 2000d }
routes: [{ name: all, pool: app }]
pools: [{ name: app, servers: [{ name: a, address: 127.0.0.1:9001 }] }]
"
    ))));
}

#[test]
fn routes() {
    insta::assert_snapshot!(shown(load_regional(&Layers::one(
        "conf/regional.yaml",
        "\
name: r1
region: eu
listeners: [{ name: web, address: 127.0.0.1:8080 }]
routes:
  - { name: api, pool: ap, match: { path: { exact: /a, prefix: /b } } }
  - { name: api, redirect: {} }
  - { name: nowhere, match: { path: { regex: '(?x)/a # b' } } }
  - name: both
    pool: app
    redirect: { status: 299, scheme: https }
    regions: { policy: weighted }
  - name: edits
    pool: other
    rewrite: { prefix: //x }
    request_headers:
      remove: [x-a, Connection]
      set: { host: a.b, x-b: \"1\\r\\n2\" }
    response_headers: { add: { Transfer-Encoding: chunked } }
    timeouts: { connect: 0s, first_byte: 3s, request: 2s }
    retry: { backoff_min: 30ms, statuses: ['200-204'] }
pools: [{ name: app, servers: [{ name: a, address: 127.0.0.1:9001 }] }]
"
    ))));
}

#[test]
fn routes_that_match_the_same() {
    insta::assert_snapshot!(shown(load_regional(&Layers::one(
        "conf/regional.yaml",
        "\
name: r1
region: eu
listeners: [{ name: web, address: 127.0.0.1:8080 }]
routes:
  - { name: one, pool: app, match: { hosts: [a.example, b.example], path: { prefix: /x } } }
  - { name: two, pool: app, match: { hosts: [B.example], path: { prefix: /x/ } } }
  - { name: any, pool: app }
  - { name: slash, pool: app, match: { path: { prefix: / } } }
pools: [{ name: app, servers: [{ name: a, address: 127.0.0.1:9001 }] }]
"
    ))));
}

#[test]
fn pools_and_checks() {
    insta::assert_snapshot!(shown(load_regional(&Layers::one(
        "conf/regional.yaml",
        "\
name: r1
region: eu
listeners: [{ name: web, address: 0.0.0.0:8080 }]
routes: [{ name: all, pool: app }]
pools:
  - name: app
    balance: { policy: round_robin, hash_on: { header: x-user, path: true } }
    tls: { ca: ca.pem, verify: false }
    idle_timeout: 0s
    servers:
      - { name: a, address: 127.0.0.1:8080, weight: 0 }
      - { name: a, address: 'Web.internal:80', weight: 0 }
      - { name: b, address: 'web.internal.:80', weight: 0 }
  - name: app
    tls:
    health_check:
      interval: 300ms
      http: { statuses: [], body: '' }
      grpc: {}
    outlier: { base_ejection: 10m }
    servers: [{ name: a, address: 127.0.0.1:9001 }]
"
    ))));
}

#[test]
fn regions() {
    insta::assert_snapshot!(shown(load_global(&Layers::one(
        "conf/global.yaml",
        "\
name: g1
listeners: [{ name: web, address: 127.0.0.1:8000 }]
geo: { header: x-client-place }
routes:
  - { name: all, pool: app, regions: { policy: geo, allowed: [eu, eu, uss] } }
  - { name: away, regions: {}, redirect: { host: b.example }, match: { hosts: [a.example] } }
regions:
  - name: eu
    weight: 0
    replicas:
      - { name: r1, address: 127.0.0.1:8080, admin: 127.0.0.1:9910, weight: 0 }
      - { name: r1, address: 127.0.0.1:8080, admin: 127.0.0.1:9910, weight: 0 }
  - name: eu
    weight: 0
    health_check: { grpc: {}, timeout: 2s }
    replicas: [{ name: r1, address: 127.0.0.1:8000 }]
"
    ))));
}

#[test]
fn a_flood_of_faults_is_cut_and_counted() {
    let mut text = super::REGIONAL.to_owned();
    for at in 0..3000 {
        text.push_str(&format!(
            "      - {{ name: a, address: 127.0.1.1:{} }}\n",
            10_000 + at
        ));
    }
    let faults = load_regional(&Layers::one("r.yaml", &text)).expect_err("names are repeated");
    assert_eq!((faults.iter().len(), faults.count()), (100, 3000));
}

#[test]
fn a_hundred_thousand_servers_are_checked_without_a_fault() {
    let mut text = super::REGIONAL.to_owned();
    for at in 0..100_000 {
        let (host, port) = (at / 50_000, 10_000 + at % 50_000);
        text.push_str(&format!(
            "      - {{ name: s{at}, address: 10.0.0.{host}:{port} }}\n"
        ));
    }
    assert!(load_regional(&Layers::one("r.yaml", &text)).is_ok());
}

proptest::proptest! {
    #[test]
    fn any_slip_is_answered(
        at in 0_usize..300, cut in 0_usize..40,
        piece in "(weight: 0|tls:|path: \\{\\}|regex: '\\(|0s|127.0.0.1:8080|-|[:, {}\\[\\]a-z0-9]{0,8})",
    ) {
        for base in [super::REGIONAL, super::GLOBAL] {
            let (start, end) = (at.min(base.len()), (at + cut).min(base.len()));
            let text = format!("{}{piece}{}", &base[..start], &base[end..]);
            super::regional(&text);
            super::global(&text);
        }
    }
}
