//! One slip at a time: the file passes without it, and with it exactly that fault is reported.

use super::{Code, GLOBAL, REGIONAL, Slip, edit, global, regional};

/// What is replaced, by what, and the fault that follows: code, line, path.
type Case = (&'static str, &'static str, Code, usize, &'static str);

const ROUTE: &str = "  - { name: all, pool: app }\n";
const WEB: &str = "  - { name: web, address: 127.0.0.1:8080 }\n";
const POOL: &str = "  - name: app\n    servers:";
const A: &str = "{ name: a, address: 127.0.0.1:9001 }";
const B: &str = "{ name: b, address: 127.0.0.1:9002 }";
const G_WEB: &str = "  - { name: web, address: 127.0.0.1:8000 }\n";
const G_ROUTE: &str = "  - { name: all }\n";
const EU: &str = "  - name: eu\n    replicas:";
const R1: &str = "{ name: r1, address: 127.0.0.1:8080, admin: 127.0.0.1:9910 }";

fn one_slip(base: &str, check: fn(&str) -> Vec<Slip>, cases: &[Case]) {
    assert_eq!(check(base), [], "the file passes without a slip");
    for (old, new, code, line, path) in cases {
        let text = edit(base, old, new);
        assert_eq!(check(&text), [(*code, *line, (*path).to_owned())], "{new}");
    }
}

fn passes(base: &str, check: fn(&str) -> Vec<Slip>, cases: &[(&str, &str)]) {
    for (old, new) in cases {
        assert_eq!(check(&edit(base, old, new)), [], "{new}");
    }
}

#[test]
#[rustfmt::skip]
fn listeners() {
    use Code::{BadFormat, Conflict, DuplicateName, WrongType};
    const TLS: &str = "tls: { certificates: [{ certificate: a.pem, key: a.key }] }";
    let with_tls = edit(REGIONAL, "8080 }", &format!("8080, {TLS} }}"));
    one_slip(REGIONAL, regional, &[
        (WEB, "  - { name: web, address: 127.0.0.1:8080 }\n  - { name: web, address: 127.0.0.1:81 }\n", DuplicateName, 5, "listeners[1].name"),
        (WEB, "  - { name: web, address: 127.0.0.1:8080 }\n  - { name: two, address: 127.0.0.1:8080 }\n", DuplicateName, 5, "listeners[1].address"),
        (WEB, "  - { name: web, address: 127.0.0.1:8080 }\n  - { name: two, address: 0.0.0.0:8080 }\n", DuplicateName, 5, "listeners[1].address"),
        (WEB, "  - { name: web, address: '[::]:8080' }\n  - { name: two, address: 127.0.0.1:8080 }\n", DuplicateName, 5, "listeners[1].address"),
        (WEB, "  - { name: web, address: 0.0.0.0:9900 }\n", DuplicateName, 4, "listeners[0].address"),
        ("region: eu\n", "region: eu\nadmin: { address: 0.0.0.0:8080 }\n", DuplicateName, 3, "admin.address"),
        ("8080 }", "8080, protocols: [http1, http1] }", DuplicateName, 4, "listeners[0].protocols[1]"),
        ("8080 }", "8080, protocols: [http1, h2] }", Conflict, 4, "listeners[0].protocols[1]"),
        ("8080 }", "8080, tls: }", WrongType, 4, "listeners[0].tls"),
        ("127.0.0.1:8080 ", "localhost:8080 ", BadFormat, 4, "listeners[0].address"),
    ]);
    one_slip(&with_tls, regional, &[
        ("key: a.key }]", "key: a.key }, { certificate: a.pem, key: b.key }]", DuplicateName, 4, "listeners[0].tls.certificates[1].certificate"),
        ("8080, ", "8080, protocols: [h2c], ", Conflict, 4, "listeners[0].protocols[0]"),
        ("certificate: a.pem", "certificate: ''", BadFormat, 4, "listeners[0].tls.certificates[0].certificate"),
    ]);
    passes(REGIONAL, regional, &[
        ("region: eu\n", "region: eu\nadmin: { address: 0.0.0.0:9900 }\n"),
        (WEB, "  - { name: a, address: 127.0.0.1:0 }\n  - { name: b, address: 127.0.0.1:0 }\n"),
        (WEB, "  - { name: a, address: 127.0.0.1:80 }\n  - { name: b, address: 127.0.0.2:80 }\n"),
        (WEB, "  - { name: a, address: 0.0.0.0:80 }\n  - { name: b, address: '[::1]:80' }\n"),
        ("8080 }", "8080, protocols: [h2c, http1] }"),
    ]);
    passes(&with_tls, regional, &[("8080, ", "8080, protocols: [h2], ")]);
}

#[test]
#[rustfmt::skip]
fn limits() {
    use Code::{OutOfRange, Unreachable};
    let base = format!("{REGIONAL}limits: {{ max_headers: 100 }}\naccess_log: {{ slow: 0s }}\n");
    one_slip(&base, regional, &[
        ("max_headers: 100", "header_timeout: 0s", OutOfRange, 12, "limits.header_timeout"),
        ("max_headers: 100", "keepalive_timeout: 0ms", OutOfRange, 12, "limits.keepalive_timeout"),
        ("max_headers: 100", "tls_handshake_timeout: 10us", OutOfRange, 12, "limits.tls_handshake_timeout"),
        ("max_headers: 100", "body_timeout: 0s", OutOfRange, 12, "limits.body_timeout"),
        ("max_headers: 100", "write_timeout: 0s", OutOfRange, 12, "limits.write_timeout"),
        ("max_headers: 100", "tunnel_idle_timeout: 9999d", OutOfRange, 12, "limits.tunnel_idle_timeout"),
        ("max_headers: 100", "h2: { idle_timeout: 0s }", OutOfRange, 12, "limits.h2.idle_timeout"),
        ("max_headers: 100", "h2: { max_header_list: 1000B }", OutOfRange, 12, "limits.h2.max_header_list"),
        ("max_headers: 100", "h2: { max_resets: 0 }", OutOfRange, 12, "limits.h2.max_resets"),
        ("max_headers: 100", "max_headers: 0", OutOfRange, 12, "limits.max_headers"),
        ("max_headers: 100", "max_connections: 0", OutOfRange, 12, "limits.max_connections"),
        ("max_headers: 100", "max_header_size: 1023B", OutOfRange, 12, "limits.max_header_size"),
        ("max_headers: 100", "max_target: 63B", OutOfRange, 12, "limits.max_target"),
        ("max_headers: 100", "max_target: 4KiB, max_header_size: 2KiB", Unreachable, 12, "limits.max_target"),
        ("slow: 0s", "slow: 9999d", OutOfRange, 13, "access_log.slow"),
    ]);
    passes(&base, regional, &[
        ("max_headers: 100", "keepalive_requests: 0, max_body: 0B, max_header_size: 1KiB"),
    ]);
}

#[test]
#[rustfmt::skip]
fn shutdown() {
    use Code::{OutOfRange, Unreachable};
    let base = format!("{REGIONAL}shutdown: {{ lame_duck: 5s }}\n");
    one_slip(&base, regional, &[
        ("lame_duck: 5s", "lame_duck: 25h", OutOfRange, 12, "shutdown.lame_duck"),
        ("lame_duck: 5s", "stream_drain: 48h", OutOfRange, 12, "shutdown.stream_drain"),
        ("lame_duck: 5s", "lame_duck: 5s, readiness_fail_delay: 6s", Unreachable, 12, "shutdown.readiness_fail_delay"),
        ("lame_duck: 5s", "drain: 10s, stream_drain: 9s", Unreachable, 12, "shutdown.stream_drain"),
    ]);
    passes(&base, regional, &[
        ("lame_duck: 5s", "lame_duck: 0s, drain: 0s"),
        ("lame_duck: 5s", "lame_duck: 5s, readiness_fail_delay: 5s, drain: 90s"),
    ]);
}

#[test]
#[rustfmt::skip]
fn targets_of_the_regional_tier() {
    use Code::{Conflict, MissingKey, UnknownName, Unsupported, WrongType};
    one_slip(REGIONAL, regional, &[
        (ROUTE, "  - { name: all, pool: ap }\n", UnknownName, 6, "routes[0].pool"),
        (ROUTE, "  - { name: all }\n", MissingKey, 6, "routes[0].name"),
        (ROUTE, "  - { name: all, pool: app, redirect: { scheme: https } }\n", Conflict, 6, "routes[0].redirect"),
        (ROUTE, "  - { name: all, pool: app, redirect: }\n", WrongType, 6, "routes[0].redirect"),
        (ROUTE, "  - { name: all, pool: app, regions: {} }\n", Unsupported, 6, "routes[0].regions"),
    ]);
    passes(REGIONAL, regional, &[
        (ROUTE, "  - { name: all, redirect: { scheme: https } }\n"),
    ]);
}

#[test]
#[rustfmt::skip]
fn matches() {
    use Code::{BadFormat, DuplicateName, Invalid};
    let base = edit(REGIONAL, ROUTE, "  - { name: all, pool: app, match: {} }\n");
    one_slip(&base, regional, &[
        ("match: {}", "match: { path: {} }", Invalid, 6, "routes[0].match.path"),
        ("match: {}", "match: { path: { exact: /a, prefix: /a } }", Invalid, 6, "routes[0].match.path"),
        ("match: {}", "match: { path: { prefix: a } }", BadFormat, 6, "routes[0].match.path.prefix"),
        ("match: {}", "match: { path: { prefix: '/a?b' } }", Invalid, 6, "routes[0].match.path.prefix"),
        ("match: {}", "match: { path: { regex: '/(a' } }", BadFormat, 6, "routes[0].match.path.regex"),
        ("match: {}", "match: { path: { regex: '(\\w{100}){100}' } }", BadFormat, 6, "routes[0].match.path.regex"),
        ("match: {}", "match: { path: { regex: '(?x)/a # b' } }", Invalid, 6, "routes[0].match.path.regex"),
        ("match: {}", "match: { hosts: [a.example, '*'] }", BadFormat, 6, "routes[0].match.hosts[1]"),
        ("match: {}", "match: { methods: [get] }", BadFormat, 6, "routes[0].match.methods[0]"),
        ("match: {}", "match: { headers: [{ name: 'a b' }] }", BadFormat, 6, "routes[0].match.headers[0].name"),
        ("match: {}", "match: { headers: [{ name: a }, { name: b, exact: x, prefix: y }] }", Invalid, 6, "routes[0].match.headers[1]"),
        ("match: {} }\n", "match: {} }\n  - { name: all, pool: app, match: { hosts: [a.b] } }\n", DuplicateName, 7, "routes[1].name"),
        ("match: {} }\n", "match: {} }\n  - { name: b, pool: app, match: { path: { prefix: / } } }\n", DuplicateName, 7, "routes[1].name"),
    ]);
    passes(&base, regional, &[
        ("match: {}", "match: { path: { regex: '/v[0-9]+' }, methods: [GET, PURGE], headers: [{ name: a, regex: b }] }"),
        ("match: {} }\n", "match: {} }\n  - { name: b, pool: app, match: { path: { prefix: /b } } }\n"),
    ]);
}

#[test]
#[rustfmt::skip]
fn actions() {
    use Code::{BadFormat, Invalid, Unreachable};
    one_slip(REGIONAL, regional, &[
        (ROUTE, "  - { name: all, redirect: { status: 200, path: / } }\n", Invalid, 6, "routes[0].redirect.status"),
        (ROUTE, "  - { name: all, redirect: { scheme: ftp } }\n", Invalid, 6, "routes[0].redirect.scheme"),
        (ROUTE, "  - { name: all, redirect: {} }\n", Invalid, 6, "routes[0].redirect"),
        (ROUTE, "  - { name: all, redirect: { path: a } }\n", BadFormat, 6, "routes[0].redirect.path"),
        (ROUTE, "  - { name: all, redirect: { path: / }, rewrite: { prefix: / } }\n", Unreachable, 6, "routes[0].rewrite"),
        (ROUTE, "  - { name: all, pool: app, match: { path: { regex: /a } }, rewrite: { prefix: / } }\n", Invalid, 6, "routes[0].rewrite.prefix"),
        (ROUTE, "  - { name: all, pool: app, rewrite: { host: 'a b' } }\n", BadFormat, 6, "routes[0].rewrite.host"),
        (ROUTE, "  - { name: all, pool: app, request_headers: { set: { Content-Length: 1 } } }\n", Code::WrongType, 6, "routes[0].request_headers.set.Content-Length"),
        (ROUTE, "  - { name: all, pool: app, request_headers: { set: { Content-Length: '1' } } }\n", Invalid, 6, "routes[0].request_headers.set.Content-Length"),
        (ROUTE, "  - { name: all, pool: app, response_headers: { add: { a: \"b\\nc\" } } }\n", Invalid, 6, "routes[0].response_headers.add.a"),
        (ROUTE, "  - { name: all, pool: app, response_headers: { set: { 'a b': c } } }\n", BadFormat, 6, "routes[0].response_headers.set[\"a b\"]"),
        (ROUTE, "  - { name: all, pool: app, response_headers: { remove: [a, TE] } }\n", Invalid, 6, "routes[0].response_headers.remove[1]"),
    ]);
}

#[test]
#[rustfmt::skip]
fn timeouts_and_retries() {
    use Code::{Conflict, OutOfRange, Unreachable};
    let base = edit(REGIONAL, ROUTE, "  - name: all\n    pool: app\n    timeouts: {}\n    retry: {}\n");
    one_slip(&base, regional, &[
        ("timeouts: {}", "timeouts: { connect: 0s }", OutOfRange, 8, "routes[0].timeouts.connect"),
        ("timeouts: {}", "timeouts: { first_byte: 0s }", OutOfRange, 8, "routes[0].timeouts.first_byte"),
        ("timeouts: {}", "timeouts: { idle: 0s }", OutOfRange, 8, "routes[0].timeouts.idle"),
        ("timeouts: {}", "timeouts: { request: 0s }", OutOfRange, 8, "routes[0].timeouts.request"),
        ("timeouts: {}", "timeouts: { first_byte: 3s, request: 2s }", Unreachable, 8, "routes[0].timeouts.first_byte"),
        ("timeouts: {}", "timeouts: { connect: 3s, request: 2s }", Unreachable, 8, "routes[0].timeouts.connect"),
        ("retry: {}", "retry: { backoff_min: 50ms }", Conflict, 9, "routes[0].retry.backoff_min"),
        ("retry: {}", "retry: { backoff_max: 1ms }", Conflict, 9, "routes[0].retry.backoff_max"),
        ("retry: {}", "retry: { statuses: ['200-599'] }", Conflict, 9, "routes[0].retry.statuses[0]"),
        ("retry: {}", "retry: { retries: 6 }", OutOfRange, 9, "routes[0].retry.retries"),
    ]);
    passes(&base, regional, &[
        ("timeouts: {}", "timeouts: { request: 2s }"),
        ("retry: {}", "retry: { retries: 2, budget: 0%, budget_floor: 0, backoff_min: 0s, backoff_max: 0s }"),
    ]);
}

#[test]
#[rustfmt::skip]
fn pools() {
    use Code::{BadFormat, Conflict, DuplicateName, MissingKey, OutOfRange, Unreachable, WrongLength, WrongType};
    one_slip(REGIONAL, regional, &[
        (B, "{ name: b, address: 127.0.0.1:9002 }\n  - { name: app, servers: [{ name: a, address: 127.0.0.1:9003 }] }", DuplicateName, 12, "pools[1].name"),
        (B, "{ name: a, address: 127.0.0.1:9002 }", DuplicateName, 11, "pools[0].servers[1].name"),
        (B, "{ name: b, address: 127.0.0.1:9001 }", DuplicateName, 11, "pools[0].servers[1].address"),
        (B, "{ name: b, address: 127.0.0.1 }", BadFormat, 11, "pools[0].servers[1].address"),
        (B, "{ name: b, address: 127.0.0.1:8080 }", Conflict, 11, "pools[0].servers[1].address"),
        (POOL, "  - name: app\n    idle_timeout: 0s\n    servers:", OutOfRange, 9, "pools[0].idle_timeout"),
        (POOL, "  - name: app\n    resolve_interval: 0s\n    servers:", OutOfRange, 9, "pools[0].resolve_interval"),
        (POOL, "  - name: app\n    tls: { ca: a.pem, verify: false }\n    servers:", Conflict, 9, "pools[0].tls.ca"),
        (POOL, "  - name: app\n    tls:\n    servers:", WrongType, 9, "pools[0].tls"),
        (POOL, "  - name: app\n    tls: { server_name: 'a:443' }\n    servers:", BadFormat, 9, "pools[0].tls.server_name"),
        (POOL, "  - name: app\n    balance: { hash_on: { path: true } }\n    servers:", Unreachable, 9, "pools[0].balance.hash_on"),
        (POOL, "  - name: app\n    balance: { policy: maglev, hash_on: { header: a, cookie: b } }\n    servers:", Conflict, 9, "pools[0].balance.hash_on.cookie"),
        (POOL, "  - name: app\n    balance: { policy: maglev, hash_on: { cookie: 'a=b' } }\n    servers:", BadFormat, 9, "pools[0].balance.hash_on.cookie"),
        ("      - { name: a, address: 127.0.0.1:9001 }\n      - { name: b, address: 127.0.0.1:9002 }\n", "      []\n", WrongLength, 10, "pools[0].servers"),
    ]);
    const LIST: &str = "    servers:\n      - { name: a, address: 127.0.0.1:9001 }\n      - { name: b, address: 127.0.0.1:9002 }\n";
    let found = |services: &str| format!("    discover: {{ kubernetes: {{ services: [{services}] }} }}\n");
    let found = |services: &str| edit(REGIONAL, LIST, &found(services));
    one_slip(&found("{ name: web }"), regional, &[
        ("    discover: { kubernetes: { services: [{ name: web }] } }\n", "", MissingKey, 8, "pools[0].name"),
        ("{ kubernetes: { services: [{ name: web }] } }", "", WrongType, 9, "pools[0].discover"),
        ("{ kubernetes: { services: [{ name: web }] } }", "{}", MissingKey, 9, "pools[0].discover"),
        ("[{ name: web }]", "[]", WrongLength, 9, "pools[0].discover.kubernetes.services"),
        ("[{ name: web }]", "[{ name: web }, { name: web }]", DuplicateName, 9, "pools[0].discover.kubernetes.services[1].name"),
        ("[{ name: web }]", "[{ name: web, weight: 0 }]", Conflict, 9, "pools[0].discover.kubernetes.services"),
        ("[{ name: web }]", "[{ name: web.shop }]", BadFormat, 9, "pools[0].discover.kubernetes.services[0].name"),
        ("[{ name: web }]", "[{ name: web }], port: '70000'", BadFormat, 9, "pools[0].discover.kubernetes.port"),
        ("[{ name: web }]", "[{ name: web }], port: HTTP", BadFormat, 9, "pools[0].discover.kubernetes.port"),
        ("[{ name: web }]", "[{ name: web }], port: 8080", WrongType, 9, "pools[0].discover.kubernetes.port"),
        ("[{ name: web }]", "[{ name: web }], max_servers: 0", OutOfRange, 9, "pools[0].discover.kubernetes.max_servers"),
        ("    discover:", "    tls: {}\n    discover:", Conflict, 10, "pools[0].discover.kubernetes"),
        ("    discover:", "    servers: [{ name: a, address: 127.0.0.1:9001 }]\n    discover:", Conflict, 10, "pools[0].discover"),
    ]);
    passes(&found("{ name: web }"), regional, &[
        ("[{ name: web }]", "[{ name: web, weight: 9 }, { name: web-canary }], port: http, namespace: shop, family: ipv6"),
        ("[{ name: web }]", "[{ name: web }], port: '8080'"),
        ("    discover:", "    tls: { server_name: web.shop.svc }\n    discover:"),
    ]);
    let drained = edit(REGIONAL, A, "{ name: a, address: 127.0.0.1:9001, weight: 0 }");
    one_slip(&drained, regional, &[
        (B, "{ name: b, address: 127.0.0.1:9002, weight: 0 }", Conflict, 9, "pools[0].servers"),
    ]);
    passes(REGIONAL, regional, &[
        (B, "{ name: b, address: 127.0.0.1:9002 }\n  - { name: spare, servers: [{ name: a, address: 127.0.0.1:9001 }] }"),
        (POOL, "  - name: app\n    protocol: auto\n    tls: { server_name: app.internal }\n    servers:"),
        (POOL, "  - name: app\n    balance: { policy: ring_hash, hash_on: { cookie: id } }\n    servers:"),
    ]);
}

#[test]
#[rustfmt::skip]
fn health_checks() {
    use Code::{BadFormat, Conflict, Invalid, OutOfRange, Unreachable, WrongType};
    let base = edit(REGIONAL, POOL, "  - name: app\n    health_check: {}\n    outlier: {}\n    servers:");
    one_slip(&base, regional, &[
        ("check: {}", "check: { http: {}, tcp: {} }", Conflict, 9, "pools[0].health_check.tcp"),
        ("check: {}", "check: { grpc: {} }", Conflict, 9, "pools[0].health_check.grpc"),
        ("check: {}", "check: { tcp: }", WrongType, 9, "pools[0].health_check.tcp"),
        ("check: {}", "check: { timeout: 1s }", Conflict, 9, "pools[0].health_check.timeout"),
        ("check: {}", "check: { interval: 400ms }", Conflict, 9, "pools[0].health_check.interval"),
        ("check: {}", "check: { interval: 1s, fast_interval: 2s }", Conflict, 9, "pools[0].health_check.fast_interval"),
        ("check: {}", "check: { fast_interval: 1ms }", OutOfRange, 9, "pools[0].health_check.fast_interval"),
        ("check: {}", "check: { timeout: 0s }", OutOfRange, 9, "pools[0].health_check.timeout"),
        ("check: {}", "check: { fall: 0 }", OutOfRange, 9, "pools[0].health_check.fall"),
        ("check: {}", "check: { port: 0 }", OutOfRange, 9, "pools[0].health_check.port"),
        ("check: {}", "check: { http: { path: health } }", BadFormat, 9, "pools[0].health_check.http.path"),
        ("check: {}", "check: { http: { statuses: [] } }", Invalid, 9, "pools[0].health_check.http.statuses"),
        ("check: {}", "check: { http: { statuses: ['299-200'] } }", BadFormat, 9, "pools[0].health_check.http.statuses[0]"),
        ("check: {}", "check: { http: { body: '' } }", Unreachable, 9, "pools[0].health_check.http.body"),
        ("outlier: {}", "outlier: { base_ejection: 0s }", OutOfRange, 10, "pools[0].outlier.base_ejection"),
        ("outlier: {}", "outlier: { base_ejection: 10m }", Conflict, 10, "pools[0].outlier.base_ejection"),
        ("outlier: {}", "outlier: { max_ejection: 1s }", Conflict, 10, "pools[0].outlier.max_ejection"),
    ]);
    passes(&base, regional, &[
        ("check: {}", "check: { grpc: {} }\n    protocol: h2"),
        ("check: {}", "check: { http: { path: '/health?deep=1', host: app.internal:80 } }"),
        ("check: {}", "check: { interval: 200ms, timeout: 100ms }"),
    ]);
}

#[test]
#[rustfmt::skip]
fn regions() {
    use Code::{BadFormat, Conflict, DuplicateName, OutOfRange, WrongLength};
    one_slip(GLOBAL, global, &[
        (R1, "{ name: r1, address: 127.0.0.1:8080 }\n      - { name: r1, address: 127.0.0.1:8081 }", DuplicateName, 10, "regions[0].replicas[1].name"),
        (R1, "{ name: r1, address: 127.0.0.1:8080 }\n      - { name: r2, address: 127.0.0.1:8080 }", DuplicateName, 10, "regions[0].replicas[1].address"),
        (R1, "{ name: r1, address: 127.0.0.1:8080 }\n  - { name: us, replicas: [{ name: r1, address: 127.0.0.1:8080 }] }", DuplicateName, 10, "regions[1].replicas[0].address"),
        (R1, "{ name: r1, address: a:1, admin: a:3 }\n      - { name: r2, address: a:2, admin: A:3 }", DuplicateName, 10, "regions[0].replicas[1].admin"),
        (R1, "{ name: r1, address: 127.0.0.1:8080 }\n  - { name: eu, replicas: [{ name: r1, address: 127.0.0.1:8081 }] }", DuplicateName, 10, "regions[1].name"),
        (R1, "{ name: r1, address: 127.0.0.1:8000 }", Conflict, 9, "regions[0].replicas[0].address"),
        (R1, "{ name: r1, address: 127.0.0.1:8080, weight: 0 }", Conflict, 8, "regions[0].replicas"),
        (R1, "{ name: r1, address: 127.0.0.1 }", BadFormat, 9, "regions[0].replicas[0].address"),
        (EU, "  - name: eu\n    weight: 0\n    replicas:", Conflict, 6, "regions"),
        (EU, "  - name: eu\n    idle_timeout: 0s\n    replicas:", OutOfRange, 8, "regions[0].idle_timeout"),
        (EU, "  - name: eu\n    capacity_rps: 0\n    replicas:", OutOfRange, 8, "regions[0].capacity_rps"),
        (EU, "  - name: eu\n    location: { latitude: 91, longitude: 0 }\n    replicas:", OutOfRange, 8, "regions[0].location.latitude"),
        (EU, "  - name: eu\n    health_check: { timeout: 5s }\n    replicas:", Conflict, 8, "regions[0].health_check.timeout"),
        (EU, "  - name: eu\n    outlier: { max_ejection: 1s }\n    replicas:", Conflict, 8, "regions[0].outlier.max_ejection"),
        ("\n      - { name: r1, address: 127.0.0.1:8080, admin: 127.0.0.1:9910 }", " []", WrongLength, 8, "regions[0].replicas"),
    ]);
    passes(GLOBAL, global, &[
        (R1, "{ name: r1, address: 127.0.0.1:8080 }\n  - { name: us, weight: 0, replicas: [{ name: r1, address: 127.0.0.1:8081 }] }"),
    ]);
}

#[test]
#[rustfmt::skip]
fn targets_of_the_global_tier() {
    use Code::{Conflict, DuplicateName, UnknownName, Unreachable, Unsupported};
    one_slip(GLOBAL, global, &[
        (G_ROUTE, "  - { name: all, pool: app }\n", Unsupported, 5, "routes[0].pool"),
        (G_ROUTE, "  - { name: all, regions: { allowed: [eu, ue] } }\n", UnknownName, 5, "routes[0].regions.allowed[1]"),
        (G_ROUTE, "  - { name: all, regions: { allowed: [eu, eu] } }\n", DuplicateName, 5, "routes[0].regions.allowed[1]"),
        (G_ROUTE, "  - { name: all, regions: {}, redirect: { scheme: https } }\n", Conflict, 5, "routes[0].regions"),
        (G_WEB, "  - { name: web, address: 127.0.0.1:8000 }\ngeo: { header: x-geo }\n", Unreachable, 4, "geo.header"),
    ]);
    let located = edit(GLOBAL, EU, "  - name: eu\n    location: { latitude: 50, longitude: 8 }\n    replicas:");
    let sourced = format!("{GLOBAL}geo: {{ networks: {{ 10.0.0.0/8: {{ latitude: 50, longitude: 8 }} }} }}\n");
    let by_distance = (G_ROUTE, "  - { name: all, regions: { policy: geo } }\n");
    let case = |(old, new): (&'static str, &'static str)| (old, new, Conflict, 5, "routes[0].regions.policy");
    one_slip(&located, global, &[case(by_distance)]);
    one_slip(&sourced, global, &[case(by_distance)]);
    passes(&format!("{located}{}", sourced.trim_start_matches(GLOBAL)), global, &[by_distance]);
    one_slip(&sourced, global, &[
        ("10.0.0.0/8", "10.0.0.0/40", Code::BadFormat, 10, "geo.networks[\"10.0.0.0/40\"]"),
    ]);
    passes(GLOBAL, global, &[
        ("name: g1\n", "name: g1\nadmin: {}\n"),
        (G_ROUTE, "  - { name: all, redirect: { scheme: https } }\n"),
        (G_ROUTE, "  - { name: all, regions: { policy: latency, allowed: [eu] } }\n"),
    ]);
}

#[test]
fn names_are_checked_by_form() {
    use Code::BadFormat;
    one_slip(
        REGIONAL,
        regional,
        &[("name: r1", "name: r 1", BadFormat, 1, "name")],
    );
}

#[test]
#[rustfmt::skip]
fn protection() {
    use Code::{Conflict, OutOfRange, UnknownName, Unsupported, WrongType};
    let limits = |text: &str| format!("region: eu\nlimits: {{ overload: {{ {text} }} }}\n");
    let pool = |text: &str| format!("  - name: app\n    {text}\n    servers:");
    let route = |text: &str| format!("  - {{ name: all, pool: app, {text} }}\n");
    let slips = [
        ("region: eu\n", limits("memory_refuse: 10%"), Conflict, 3, "limits.overload.memory_refuse"),
        ("region: eu\n", limits("lag_no_keepalive: 2s"), Conflict, 3, "limits.overload.lag_no_keepalive"),
        (ROUTE, route("rate_limit: { requests: 0 }"), OutOfRange, 6, "routes[0].rate_limit.requests"),
        (ROUTE, route("rate_limit: { requests: 1, per: 0s }"), OutOfRange, 6, "routes[0].rate_limit.per"),
        (ROUTE, route("rate_limit: { requests: 1, key: { header: X-Key, path: true } }"), Conflict, 6, "routes[0].rate_limit.key.path"),
        (ROUTE, route("rate_limit: "), WrongType, 6, "routes[0].rate_limit"),
        (ROUTE, route("mirror: { pool: ap }"), UnknownName, 6, "routes[0].mirror.pool"),
        (ROUTE, route("mirror: { pool: app }"), Conflict, 6, "routes[0].mirror.pool"),
        (ROUTE, route("fault: { delay: { share: 1%, time: 0s } }"), OutOfRange, 6, "routes[0].fault.delay.time"),
        (ROUTE, route("fault: { abort: { share: 1%, status: 200 } }"), OutOfRange, 6, "routes[0].fault.abort.status"),
        (POOL, pool("adaptive_concurrency: { min_limit: 20000 }"), Conflict, 9, "pools[0].adaptive_concurrency.min_limit"),
        (POOL, pool("circuit_breaker: { max_wait: 0s }"), OutOfRange, 9, "pools[0].circuit_breaker.max_wait"),
        (POOL, pool("circuit_breaker: { max_in_flight: 0 }"), OutOfRange, 9, "pools[0].circuit_breaker.max_in_flight"),
        (POOL, pool("slow_start: { aggression: 0.0 }"), OutOfRange, 9, "pools[0].slow_start.aggression"),
        (POOL, pool("zone_preference: { max_load: 0.5 }"), OutOfRange, 9, "pools[0].zone_preference.max_load"),
        (POOL, pool("affinity: { secret_file: a, ttl: 1ms }"), OutOfRange, 9, "pools[0].affinity.ttl"),
        (POOL, pool("outlier: { success_rate: { stdev_factor: 0.1 } }"), OutOfRange, 9, "pools[0].outlier.success_rate.stdev_factor"),
    ];
    for (old, new, code, line, path) in slips {
        let found = regional(&edit(REGIONAL, old, &new));
        assert_eq!(found, [(code, line, path.to_owned())], "{new}");
    }
    let mirror = edit(GLOBAL, G_ROUTE, "  - { name: all, mirror: { pool: app } }\n");
    let found: Vec<_> = global(&mirror).into_iter().map(|(code, _, path)| (code, path)).collect();
    assert_eq!(found, [(Unsupported, "routes[0].mirror".to_owned())]);
    let region = |text: &str| edit(GLOBAL, G_ROUTE, &format!("  - {{ name: all, regions: {{ affinity: {text} }} }}\n"));
    for (text, code, path) in [
        ("", WrongType, "routes[0].regions.affinity"),
        ("{ cookie: a }", Code::MissingKey, "routes[0].regions.affinity.secret_file"),
        ("{ secret_file: a, ttl: 1ms }", OutOfRange, "routes[0].regions.affinity.ttl"),
        ("{ secret_file: a, cookie: a=b }", Code::BadFormat, "routes[0].regions.affinity.cookie"),
    ] {
        let found = global(&region(text));
        assert_eq!(found, [(code, 5, path.to_owned())], "{text}");
    }
    assert_eq!(global(&region("{ secret_file: secrets }")), []);
    for new in [
        pool("circuit_breaker: { max_pending: 0, max_wait: 0s }"),
        pool("slow_start: { window: 0s }"),
        pool("affinity: { secret_file: secrets }"),
    ] {
        assert_eq!(regional(&edit(REGIONAL, POOL, &new)), [], "{new}");
    }
}

#[test]
fn peers() {
    use Code::{BadFormat, DuplicateName};
    for (text, code, path) in [
        ("[10.0.0.1]", BadFormat, "peers[0]"),
        ("[a:1, \"http://b:2\"]", BadFormat, "peers[1]"),
        (
            "[a.svc:9900, b:9900, A.svc.:9900]",
            DuplicateName,
            "peers[2]",
        ),
    ] {
        let regional_text = edit(
            REGIONAL,
            "region: eu\n",
            &format!("region: eu\npeers: {text}\n"),
        );
        let found = regional(&regional_text);
        assert_eq!(found, [(code, 3, path.to_owned())], "{text}");
    }
    let own = edit(GLOBAL, "routes:\n", "peers: [127.0.0.1:9900]\nroutes:\n");
    assert_eq!(global(&own), [], "one list for all replicas");
}

#[test]
fn state() {
    use Code::{BadFormat, DuplicateName, MissingKey, Unreachable, WrongLength, WrongType};
    for (text, code, path) in [
        ("{ store: etcd }", MissingKey, "state.store"),
        ("{ etcd: { endpoints: [a:1] } }", Unreachable, "state.etcd"),
        ("{ etcd: }", WrongType, "state.etcd"),
        (
            "{ kubernetes: { name: o } }",
            Unreachable,
            "state.kubernetes",
        ),
        (
            "{ store: kubernetes, etcd: { endpoints: [a:1] } }",
            Unreachable,
            "state.etcd",
        ),
        (
            "{ store: kubernetes, kubernetes: { name: a/b } }",
            BadFormat,
            "state.kubernetes.name",
        ),
        ("{ directory: '' }", BadFormat, "state.directory"),
        (
            "{ store: etcd, etcd: { endpoints: [] } }",
            WrongLength,
            "state.etcd.endpoints",
        ),
        (
            "{ store: etcd, etcd: { endpoints: [\"http://a:1\"] } }",
            BadFormat,
            "state.etcd.endpoints[0]",
        ),
        (
            "{ store: etcd, etcd: { endpoints: [a:1, a:1] } }",
            DuplicateName,
            "state.etcd.endpoints[1]",
        ),
        (
            "{ store: etcd, etcd: { endpoints: [a:1], user: u } }",
            MissingKey,
            "state.etcd.user",
        ),
        (
            "{ store: etcd, etcd: { endpoints: [a:1], tls: { key: k } } }",
            MissingKey,
            "state.etcd.tls.key",
        ),
    ] {
        let file = edit(GLOBAL, "routes:\n", &format!("state: {text}\nroutes:\n"));
        assert_eq!(global(&file), [(code, 4, path.to_owned())], "{text}");
    }
    let whole = "{ store: etcd, directory: s, etcd: { endpoints: [a:1, b:1], tls: { certificate: c, key: k }, user: u, password_file: p } }";
    let file = edit(REGIONAL, "routes:\n", &format!("state: {whole}\nroutes:\n"));
    assert_eq!(regional(&file), []);
    for whole in [
        "{ store: kubernetes }",
        "{ store: kubernetes, kubernetes: { name: o, namespace: lb, kubeconfig: k } }",
    ] {
        let file = edit(GLOBAL, "routes:\n", &format!("state: {whole}\nroutes:\n"));
        assert_eq!(global(&file), [], "{whole}");
    }
}

#[test]
fn failover_settings_that_contradict_each_other() {
    let with = |settings: &str| {
        let text = edit(
            GLOBAL,
            "routes:\n",
            &format!("failover: {settings}\nroutes:\n"),
        );
        global(&text)
            .into_iter()
            .map(|(code, _, path)| (code, path))
            .collect::<Vec<_>>()
    };
    let one = |code, path: &str| vec![(code, path.to_owned())];
    assert_eq!(with("{ spill_start: 70%, ramp: 0s, hold_down: 0s }"), []);
    assert_eq!(
        with("{ spill_start: 95% }"),
        one(Code::Conflict, "failover.spill_start")
    );
    assert_eq!(
        with("{ spill_full: 60% }"),
        one(Code::Conflict, "failover.spill_full")
    );
    assert_eq!(
        with("{ hold_down: 20m }"),
        one(Code::Conflict, "failover.hold_down")
    );
    assert_eq!(
        with("{ ejection: 0s }"),
        one(Code::OutOfRange, "failover.ejection")
    );
    assert_eq!(
        with("{ override_header: x-region }"),
        one(Code::Unreachable, "failover.override_header")
    );
}
