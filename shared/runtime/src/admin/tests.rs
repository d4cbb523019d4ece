use super::*;
use lb_core::drain::{Snapshot, Stamp};
use lb_core::status::{ExplainStep, PoolStatus, Tier};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
struct Fake {
    ready: AtomicBool,
    dead: AtomicBool,
    region: bool,
}

#[async_trait::async_trait]
impl AdminSource for Fake {
    fn status(&self) -> Status {
        assert!(!self.dead.load(Ordering::Relaxed), "a source that panics");
        Status {
            tier: Tier::Regional,
            replica: "r1".to_owned(),
            pools: vec![PoolStatus {
                name: "web".to_owned(),
                ..PoolStatus::default()
            }],
            ..Status::default()
        }
    }

    fn readiness(&self) -> Readiness {
        let ready = self.ready.load(Ordering::Relaxed);
        Readiness {
            ready,
            pending: if ready {
                vec![]
            } else {
                vec!["first sweep of probes".to_owned()]
            },
        }
    }

    fn live(&self) -> bool {
        !self.dead.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> String {
        "lb_requests_total 1\n".to_owned()
    }

    fn identity(&self) -> ReplicaIdentity {
        ReplicaIdentity {
            replica: "r1".to_owned(),
            ..ReplicaIdentity::default()
        }
    }

    fn region_report(&self) -> Option<serde_json::Value> {
        self.region.then(|| serde_json::json!({ "sequence": 7 }))
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Explain, String> {
        if !query.path.starts_with('/') {
            return Err("the path must start with a slash".to_owned());
        }
        Ok(Explain {
            request: format!("{} http://{}{}", query.method, query.host, query.path),
            steps: vec![ExplainStep::default()],
            ..Explain::default()
        })
    }

    fn drains(&self) -> Vec<DrainStatus> {
        Vec::new()
    }

    fn sheet(&self) -> Sheet {
        Sheet {
            from: self.identity(),
            stamp: Stamp::default(),
            hash: "abc".to_owned(),
            snapshot: Snapshot::default(),
        }
    }

    async fn write(&self, write: super::Write) -> Option<Written> {
        tokio::task::yield_now().await;
        (write.path == "/api/v1/orders").then(|| Written {
            status: http::StatusCode::OK,
            body: serde_json::json!({ "got": write.body, "if_match": write.if_match }),
            actor: "ada".to_owned(),
            what: "an order".to_owned(),
        })
    }
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn start(source: Fake) -> (AdminHandle, Arc<Fake>) {
    let source = Arc::new(source);
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let handle = AdminServer::start(any, source.clone(), Gate::default()).unwrap();
    (handle, source)
}

/// Sends `request` as it is and reads until the peer closes.
fn raw(address: SocketAddr, request: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A reset after the answer is no fault here: what was read counts.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Reply {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_default(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

fn get(address: SocketAddr, target: &str) -> Reply {
    raw(
        address,
        &format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
    )
}

#[test]
fn readiness_lists_what_it_waits_for() {
    let (handle, source) = start(Fake::default());
    let reply = get(handle.local_addr(), "/readyz");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, "not ready\npending: first sweep of probes\n");
    source.ready.store(true, Ordering::Relaxed);
    let reply = get(handle.local_addr(), "/readyz?verbose");
    assert_eq!(reply.status, 200);
    assert!(
        reply.body.starts_with("ready\n") && reply.body.contains("replica: r1"),
        "{}",
        reply.body
    );
}

#[test]
fn the_api_answers_with_the_types_of_the_core() {
    let (handle, _source) = start(Fake {
        region: true,
        ..Fake::default()
    });
    let address = handle.local_addr();
    let status: Status = serde_json::from_value(get(address, "/api/v1/status").json()).unwrap();
    assert_eq!(status.pools[0].name, "web");
    assert_eq!(get(address, "/api/v1/pools").json()[0]["name"], "web");
    assert_eq!(
        get(address, "/api/v1/regions").json(),
        serde_json::json!([])
    );
    assert_eq!(get(address, "/api/v1/config").json()["generation"], 0);
    assert_eq!(get(address, "/api/v1/region-status").json()["sequence"], 7);
    assert_eq!(get(address, "/api/v1/replica").json()["replica"], "r1");
    let explained = get(address, "/api/v1/explain?method=PUT&host=h&path=%2Fx").json();
    assert_eq!(explained["request"], "PUT http://h/x");
    let reply = get(address, "/metrics");
    assert_eq!(reply.body, "lb_requests_total 1\n");
    assert!(reply.head.contains("version=0.0.4"), "{}", reply.head);
}

#[test]
fn faults_are_json_with_a_hint() {
    let (handle, _source) = start(Fake::default());
    let address = handle.local_addr();
    for (target, status) in [
        ("/", 404),
        ("/api/v1/status/", 404),
        ("/api/v1/region-status", 404),
        ("/api/v1/explain?path=x", 400),
        ("/api/v1/explain?hots=x", 400),
    ] {
        let reply = get(address, target);
        assert_eq!(reply.status, status, "{target}");
        let body = reply.json();
        assert!(body["error"].is_string() && body["hint"].is_string());
    }
}

#[test]
fn only_reads_are_served() {
    let (handle, _source) = start(Fake::default());
    let address = handle.local_addr();
    for method in ["POST", "DELETE", "OPTIONS", "BREW"] {
        let reply = raw(
            address,
            &format!(
                "{method} /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
            ),
        );
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.head.contains("allow: get, head"), "{}", reply.head);
    }
    let head = raw(
        address,
        "HEAD /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: 5"), "{}", head.head);
}

#[test]
fn a_source_that_panics_fails_one_request_only() {
    let (handle, source) = start(Fake::default());
    let address = handle.local_addr();
    source.dead.store(true, Ordering::Relaxed);
    assert_eq!(get(address, "/api/v1/status").status, 0, "no answer");
    assert_eq!(
        get(address, "/livez").status,
        503,
        "and the next one gets its own"
    );
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let (handle, _source) = start(Fake::default());
    let filler = "x".repeat(MAX_HEAD);
    let reply = raw(
        handle.local_addr(),
        &format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-a: {filler}\r\n\r\n"),
    );
    assert_eq!(reply.status, 431);
}

#[test]
fn silent_connections_do_not_keep_a_probe_out_for_long() {
    let (handle, _source) = start(Fake::default());
    let silent: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|_| TcpStream::connect(handle.local_addr()).unwrap())
        .collect();
    // Answered as soon as the first of them runs into its deadline.
    assert_eq!(get(handle.local_addr(), "/livez").status, 200);
    drop(silent);
}

#[test]
fn an_address_in_use_is_named_with_a_remedy() {
    let (handle, source) = start(Fake::default());
    let error = AdminServer::start(handle.local_addr(), source, Gate::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&handle.local_addr().to_string()) && text.contains("admin.address"),
        "{text}"
    );
}

#[test]
fn the_listener_stops_with_its_handle() {
    let (handle, _source) = start(Fake::default());
    let address = handle.local_addr();
    drop(handle);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "still listening");
        std::thread::yield_now();
    }
}

fn with_token() -> (AdminHandle, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    std::fs::write(&path, "0123456789abcdef").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let gate = Gate::new(Some(TokenFile::new(path)));
    let handle = AdminServer::start(any, Arc::new(Fake::default()), gate).unwrap();
    (handle, dir)
}

fn post(address: SocketAddr, path: &str, fields: &str, body: &str) -> Reply {
    let length = body.len();
    raw(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-lb-request: 1\r\n{fields}content-length: {length}\r\n\r\n{body}"
        ),
    )
}

const AUTH: &str = "authorization: Bearer 0123456789abcdef\r\n";

#[test]
fn a_write_that_is_let_in_reaches_the_source_with_its_body_and_version() {
    let (handle, _dir) = with_token();
    let address = handle.local_addr();
    let fields = format!("{AUTH}if-match: \"3\"\r\n");
    let reply = post(address, "/api/v1/orders", &fields, "{\"a\": 1}");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(
        reply.json(),
        serde_json::json!({ "got": { "a": 1 }, "if_match": 3 })
    );
    let fields = format!("{AUTH}if-none-match: *\r\n");
    let reply = post(address, "/api/v1/orders", &fields, "");
    assert_eq!(
        reply.json(),
        serde_json::json!({ "got": null, "if_match": 0 })
    );
}

#[test]
fn writes_that_are_not_let_in_or_can_not_be_read_say_why() {
    let (handle, _dir) = with_token();
    let address = handle.local_addr();
    let long = format!("\"{}\"", "x".repeat(MAX_BODY));
    let bad_version = format!("{AUTH}if-match: *\r\n");
    for (path, fields, body, status, part) in [
        ("/api/v1/orders", "", "{}", 401, "token is needed"),
        ("/api/v1/orders", AUTH, "{", 400, "not JSON"),
        ("/api/v1/orders", AUTH, &long, 413, "longer than"),
        ("/api/v1/orders", &bad_version, "{}", 400, "If-Match"),
        ("/api/v1/pools", AUTH, "{}", 405, "written here"),
    ] {
        let reply = post(address, path, fields, body);
        assert_eq!(reply.status, status, "{path} {fields}: {}", reply.body);
        assert!(reply.body.contains(part), "{}", reply.body);
    }
}

#[test]
fn all_orders_are_shown_to_who_has_the_token_and_not_twice() {
    let (handle, _dir) = with_token();
    let address = handle.local_addr();
    assert_eq!(get(address, "/api/v1/state").status, 401);
    let ask = |fields: &str| {
        let head = "GET /api/v1/state HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
        raw(address, &format!("{head}{AUTH}{fields}\r\n"))
    };
    let reply = ask("");
    assert_eq!(reply.json()["hash"], "abc");
    assert!(reply.head.contains("etag: \"abc\""), "{}", reply.head);
    assert_eq!(ask("if-none-match: \"abc\"\r\n").status, 304);
    let (open, _source) = start(Fake::default());
    assert_eq!(
        get(open.local_addr(), "/api/v1/state").status,
        200,
        "no token is set"
    );
}
