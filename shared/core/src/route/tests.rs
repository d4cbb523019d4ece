use super::*;
use crate::config::model::{HeaderMatch, PathMatch, RouteMatch};
use proptest::prelude::*;

fn route(index: usize, matches: RouteMatch) -> Route {
    let mut route: Route =
        serde_json::from_value(serde_json::json!({ "name": format!("r{index}") })).unwrap();
    route.matches = matches;
    route
}

/// Parses `HOST,HOST PATH METHOD,METHOD NAME=VALUE…`; `-` is no condition, `=/x` exact, `~x` regex.
fn parse(index: usize, text: &str) -> Route {
    let mut words = text.split(' ');
    let list = |word: Option<&str>| match word {
        None | Some("-") => Vec::new(),
        Some(word) => word.split(',').map(str::to_owned).collect(),
    };
    let hosts = list(words.next());
    let path = match words.next() {
        None | Some("-") => None,
        Some(word) => {
            let mut path = PathMatch::default();
            match word.split_at(1) {
                ("=", exact) => path.exact = Some(exact.into()),
                ("~", regex) => path.regex = Some(regex.into()),
                _ => path.prefix = Some(word.into()),
            }
            Some(path)
        }
    };
    let methods = list(words.next());
    let headers = words
        .map(|word| {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            HeaderMatch {
                name: name.into(),
                exact: (!value.is_empty()).then(|| value.into()),
                prefix: None,
                regex: None,
                invert: false,
            }
        })
        .collect();
    route(
        index,
        RouteMatch {
            hosts,
            path,
            methods,
            headers,
        },
    )
}

fn table(routes: &[&str]) -> RouteTable {
    let routes: Vec<_> = routes
        .iter()
        .enumerate()
        .map(|(i, text)| parse(i, text))
        .collect();
    RouteTable::new(&routes).unwrap()
}

fn get(table: &RouteTable, host: &str, path: &str) -> Option<usize> {
    table.find(host, &Method::GET, path, &HeaderMap::new())
}

#[test]
fn exact_host_beats_the_longest_wildcard_beats_any() {
    let table = table(&[
        "-",
        "*.example.com",
        "*.api.example.com",
        "v1.api.example.com",
    ]);
    for (host, want) in [
        ("v1.api.example.com", 3),
        ("V1.API.example.com:8443", 3),
        ("v2.api.example.com", 2),
        ("a.b.api.example.com", 2),
        ("api.example.com", 1),
        ("example.com", 0),
        ("", 0),
        ("xexample.com", 0),
    ] {
        assert_eq!(get(&table, host, "/"), Some(want), "{host}");
    }
}

#[test]
fn exact_path_beats_the_longest_prefix_beats_regex_beats_any() {
    let table = table(&[
        "-",
        "- ~/api/.*",
        "- /api",
        "- /api/v1",
        "- =/api/v1/users",
        "- ~/[ab]pi/v.*",
    ]);
    for (path, want) in [
        ("/api/v1/users", 4),
        ("/api/v1/users/", 3),
        ("/api/v1", 3),
        ("/api/v12", 2),
        ("/api", 2),
        ("/bpi/v1", 5),
        ("/apis", 0),
        ("*", 0),
        ("", 0),
    ] {
        assert_eq!(get(&table, "h", path), Some(want), "{path}");
    }
}

#[test]
fn more_header_conditions_win_then_a_method_then_file_order() {
    let table = table(&[
        "- /a",
        "- /a",
        "- /a GET",
        "- /a - x",
        "- /a - x y",
        "- /a GET x",
    ]);
    let find = |method: Method, names: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.insert(*name, "1".parse().unwrap());
        }
        table.find("h", &method, "/a/b", &headers)
    };
    assert_eq!(find(Method::GET, &["x", "y"]), Some(4));
    assert_eq!(find(Method::GET, &["x"]), Some(5));
    assert_eq!(find(Method::POST, &["x"]), Some(3));
    assert_eq!(find(Method::GET, &[]), Some(2));
    assert_eq!(find(Method::PUT, &["y"]), Some(0));
}

#[test]
fn less_specific_hosts_are_tried_when_nothing_matches() {
    let table = table(&["a.example.com /v2", "*.example.com /v1", "- /v0"]);
    assert_eq!(get(&table, "a.example.com", "/v2"), Some(0));
    assert_eq!(get(&table, "a.example.com", "/v1"), Some(1));
    assert_eq!(get(&table, "a.example.com", "/v0"), Some(2));
    assert_eq!(get(&table, "a.example.com", "/"), None);
}

#[test]
fn faults_name_route_and_key() {
    for (text, key) in [
        ("a:80", "match.hosts[0]"),
        ("a,*", "match.hosts[1]"),
        ("- ~(", "match.path.regex"),
        ("- /a GET,G@T", "match.methods[1]"),
        ("- /a - x a@=b", "match.headers[1].name"),
    ] {
        let error = RouteTable::new(&[parse(7, text)]).unwrap_err();
        assert_eq!(
            (error.route.as_str(), error.key.as_str()),
            ("r7", key),
            "{text}"
        );
        assert!(
            error.to_string().starts_with("route \"r7\": match."),
            "{error}"
        );
    }
}

#[test]
fn explain_gives_the_first_reason_in_order_of_precedence() {
    let table = table(&[
        "-",
        "b.c",
        "a.c /x",
        "a.c /x/y POST",
        "a.c =/x/y - env=test",
        "a.c /x/y",
    ]);
    let verdicts = table.explain("A.C:80", &Method::GET, "/x/y", &HeaderMap::new());
    let want = [
        (4, Verdict::Header("env".into())),
        (3, Verdict::Method),
        (5, Verdict::Chosen),
        (2, Verdict::LessSpecific),
        (1, Verdict::Host),
        (0, Verdict::LessSpecific),
    ]
    .map(|(route, verdict)| RouteVerdict { route, verdict });
    assert_eq!(verdicts, want);
}

#[test]
fn conflicts_are_identical_conditions_on_a_common_host() {
    let table = table(&[
        "a.c,b.c /x GET,PUT u=1 v=2",
        "B.C /x/ PUT,GET v=2 u=1",
        "c.c /x GET,PUT u=1 v=2",
        "- /",
        "-",
        "a.c /x GET u=1 v=2",
        "a.c =/x GET,PUT u=1 v=2",
    ]);
    let want = [
        Conflict {
            first: 0,
            second: 1,
            host: Some("b.c".into()),
        },
        Conflict {
            first: 3,
            second: 4,
            host: None,
        },
    ];
    assert_eq!(table.conflicts(), want);
}

fn any_route() -> impl Strategy<Value = String> {
    let pick = |from: &'static [&'static str]| proptest::sample::select(from);
    (
        pick(&["-", "a.c", "*.c", "*.b.c", "a.b.c", "a.c,*.b.c", "x"]),
        pick(&[
            "-", "/", "/a", "/a/", "/a/b", "=/a", "=/a/b", "=/a/b/", "~/a.*", "~/[ab]/b", "~.*",
        ]),
        pick(&["-", "GET", "POST", "GET,POST"]),
        pick(&["", " e", " e=1", " e=1 f", " f"]),
    )
        .prop_map(|(host, path, method, header)| format!("{host} {path} {method}{header}"))
}

proptest! {
    #[test]
    fn the_index_finds_what_judging_each_route_finds(
        routes in proptest::collection::vec(any_route(), 0..24),
        host in proptest::sample::select(&["a.c", "b.c", "a.b.c", "x.a.b.c", "X:80", "c", "", "[::1]"][..]),
        path in proptest::sample::select(&["/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/b/b", "*", "/a//b"][..]),
        post: bool, e: bool, f: bool,
    ) {
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let table = table(&routes);
        let mut headers = HeaderMap::new();
        if e { headers.insert("e", "1".parse().unwrap()); }
        if f { headers.insert("f", "1".parse().unwrap()); }
        let method = if post { Method::POST } else { Method::GET };
        let verdicts = table.explain(host, &method, path, &headers);
        let chosen = verdicts.iter().find(|v| v.verdict == Verdict::Chosen).map(|v| v.route);
        prop_assert_eq!(table.find(host, &method, path, &headers), chosen);
        prop_assert_eq!(verdicts.len(), routes.len());
    }

    #[test]
    fn hostile_requests_never_panic(host in ".{0,300}", path in ".{0,300}") {
        let table = table(&["*.c /a", "a.c =/b", "- ~/x.*"]);
        let _ = get(&table, &host, &path);
        let _ = table.explain(&host, &Method::GET, &path, &HeaderMap::new());
    }
}

/// `cargo test --release -p lb-core route::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures real time")]
fn speed() {
    let mut headers = HeaderMap::new();
    headers.insert("accept", "*/*".parse().unwrap());
    for count in [10, 1_000, 10_000] {
        let many_hosts: Vec<String> = (0..count)
            .map(|i| format!("h{i}.example.com /api/v{}", i % 7))
            .collect();
        let one_host: Vec<String> = (0..count).map(|i| format!("- /team{i}/api")).collect();
        let wildcards: Vec<String> = (0..count).map(|i| format!("*.h{i}.example.com")).collect();
        for (kind, routes, host, path) in [
            ("hosts", many_hosts, "h5.example.com", "/api/v5/users/42"),
            (
                "prefixes",
                one_host,
                "www.example.com",
                "/team5/api/users/42",
            ),
            (
                "wildcards",
                wildcards,
                "a.b.H5.example.com:443",
                "/users/42",
            ),
        ] {
            let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
            let table = table(&routes);
            let rounds = 1_000_000u32;
            let start = std::time::Instant::now();
            for _ in 0..rounds {
                let host = std::hint::black_box(host);
                assert_eq!(table.find(host, &Method::GET, path, &headers), Some(5));
            }
            println!("{count} {kind}: {:?}", start.elapsed() / rounds);
        }
    }
}
