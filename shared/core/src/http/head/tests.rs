use super::*;
use HeadFault as F;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits {
    max_size: 4096,
    max_fields: 16,
    max_target: 512,
};

fn check(head: &[u8]) -> Result<HeadInfo, HeadFault> {
    check_head(head, &LIMITS)
}

/// A POST with a valid line and Host and these further lines.
fn post(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a.b\r\n{lines}\r\n\r\n").into_bytes()
}

/// A GET with this target and a matching Host.
fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.b\r\n\r\n").into_bytes()
}

fn host(line: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").into_bytes()
}

fn refuses(cases: &[(Vec<u8>, HeadFault)]) {
    for (head, fault) in cases {
        let shown = String::from_utf8_lossy(head);
        assert_eq!(check(head), Err(*fault), "{shown:?}");
    }
}

#[test]
fn ambiguous_framing_is_refused() {
    refuses(&[
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            F::CodingWithLength,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
            F::CodingWithLength,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 0"),
            F::CodingWithLength,
        ),
        (
            post("Content-Length: 5\r\nContent-Length: 5"),
            F::LengthRepeated,
        ),
        (
            post("Content-Length: 5\r\nContent-Length: 6"),
            F::LengthRepeated,
        ),
        (
            post("content-length: 5\r\nCONTENT-LENGTH: 0"),
            F::LengthRepeated,
        ),
        (post("Content-Length: 5, 5"), F::LengthInvalid),
        (post("Content-Length: 5,6"), F::LengthInvalid),
        (post("Content-Length: +5"), F::LengthInvalid),
        (post("Content-Length: -5"), F::LengthInvalid),
        (post("Content-Length: 0x5"), F::LengthInvalid),
        (post("Content-Length: 5 5"), F::LengthInvalid),
        (post("Content-Length: 5;"), F::LengthInvalid),
        (post("Content-Length: 5.0"), F::LengthInvalid),
        (post("Content-Length: 1_0"), F::LengthInvalid),
        (post("Content-Length: \"5\""), F::LengthInvalid),
        (post("Content-Length:"), F::LengthInvalid),
        (post("Content-Length: "), F::LengthInvalid),
        (post("Content-Length:\t5"), F::LengthInvalid),
        (post("Content-Length: 5\t"), F::LengthInvalid),
        (
            post("Content-Length: 18446744073709551616"),
            F::LengthInvalid,
        ),
        (
            post("Content-Length: 99999999999999999999999999"),
            F::LengthInvalid,
        ),
        (post("Content-Length: ٥"), F::LengthInvalid),
        (post("Content_Length: 5"), F::UnderscoreName),
        (post("Transfer_Encoding: chunked"), F::UnderscoreName),
        (post("Content-Length : 5"), F::FieldName),
        (post("Transfer-Encoding : chunked"), F::FieldName),
        (post("Transfer-Encoding\t: chunked"), F::FieldName),
        (post("Transfer-Encoding: xchunked"), F::CodingInvalid),
        (post("Transfer-Encoding: chunkedx"), F::CodingInvalid),
        (post("Transfer-Encoding: identity"), F::CodingInvalid),
        (
            post("Transfer-Encoding: chunked, identity"),
            F::CodingInvalid,
        ),
        (
            post("Transfer-Encoding: identity, chunked"),
            F::CodingUnsupported,
        ),
        (
            post("Transfer-Encoding: gzip, chunked"),
            F::CodingUnsupported,
        ),
        (post("Transfer-Encoding: gzip"), F::CodingInvalid),
        (
            post("Transfer-Encoding: chunked, chunked"),
            F::CodingRepeated,
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            F::CodingRepeated,
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
            F::CodingRepeated,
        ),
        (
            post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            F::CodingInvalid,
        ),
        (post("Transfer-Encoding:"), F::CodingInvalid),
        (post("Transfer-Encoding: ,chunked"), F::CodingInvalid),
        (post("Transfer-Encoding: chunked,"), F::CodingInvalid),
        (post("Transfer-Encoding: chunked;q=1"), F::CodingInvalid),
        (post("Transfer-Encoding: \"chunked\""), F::CodingInvalid),
        (post("Transfer-Encoding: 'chunked'"), F::CodingInvalid),
        (post("Transfer-Encoding: chunked foo"), F::CodingInvalid),
        (post("Transfer-Encoding:\tchunked"), F::CodingInvalid),
        (post("Transfer-Encoding: chunked\t"), F::CodingInvalid),
        (post("Transfer-Encoding: chun\u{212a}ed"), F::CodingInvalid),
        (post("Transfer-Encoding: \x0bchunked"), F::Control),
        (post("Transfer-Encoding: chunked\x0b"), F::Control),
        (post("Transfer-Encoding: \0chunked"), F::Control),
        (post("Transfer-Encoding: chunked\x0c"), F::Control),
        (post("Transfer-Encoding:\r\n chunked"), F::CodingInvalid),
        (post("X: a\r\n Transfer-Encoding: chunked"), F::Folding),
        (post("X: a\r\n\tb"), F::Folding),
        (post(" X: a"), F::Folding),
        (post("X: a\rTransfer-Encoding: chunked"), F::LineEnd),
        (post("X: a\nTransfer-Encoding: chunked"), F::LineEnd),
        (post("X: a\r\r\nY: b"), F::LineEnd),
        (post("X: a\n\rY: b"), F::LineEnd),
        (
            post("Connection: close, content-length\r\nContent-Length: 5"),
            F::ConnectionOption,
        ),
        (post("Connection: Transfer-Encoding"), F::ConnectionOption),
        (
            post("Connection: a\r\nConnection: HOST"),
            F::ConnectionOption,
        ),
        (
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            F::CodingOnHttp10,
        ),
        (
            post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5"),
            F::UpgradeWithBody,
        ),
        (
            post("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked"),
            F::UpgradeWithBody,
        ),
    ]);
}

#[test]
fn malformed_fields_are_refused() {
    refuses(&[
        (post("X"), F::FieldName),
        (post(": a"), F::FieldName),
        (post("X Y: a"), F::FieldName),
        (post("X\u{e9}: a"), F::FieldName),
        (post("X(a): b"), F::FieldName),
        (post("X: a\0b"), F::Control),
        (post("X: a\x7f"), F::Control),
        (post("X: a\x1b[0m"), F::Control),
        (post("X\0: a"), F::Control),
        (post("Expect: 200-ok"), F::Expectation),
        (post("Expect: y 100-continue"), F::Expectation),
        (post("Expect: 100-continue\r\nExpect: x"), F::Expectation),
        (post("X: a\r\n\r\nY: b"), F::EmptyLine),
        (post(&format!("X: {}", "a".repeat(5000))), F::HeadSize),
    ]);
    let many = "X: a\r\n".repeat(16);
    assert_eq!(check(&post(many.trim_end())), Err(F::FieldCount));
    let enough = "X: a\r\n".repeat(15);
    assert!(check(&post(enough.trim_end())).is_ok());
}

#[test]
fn malformed_lines_are_refused() {
    let line = |line: &str| format!("{line}\r\nHost: a.b\r\n\r\n").into_bytes();
    refuses(&[
        (line("GET  / HTTP/1.1"), F::RequestLine),
        (line("GET /  HTTP/1.1"), F::RequestLine),
        (line("GET / HTTP/1.1 "), F::RequestLine),
        (line(" GET / HTTP/1.1"), F::RequestLine),
        (line("GET /"), F::RequestLine),
        (line("GET"), F::RequestLine),
        (line("GET / x HTTP/1.1"), F::RequestLine),
        (line("GET\t/ HTTP/1.1"), F::RequestLine),
        (line("GET /\tHTTP/1.1"), F::RequestLine),
        (line("G@T / HTTP/1.1"), F::MethodToken),
        (line("GE\u{e9} / HTTP/1.1"), F::MethodToken),
        (line("CONNECT a.b:443 HTTP/1.1"), F::Method),
        (line("TRACE / HTTP/1.1"), F::Method),
        (line("GET / HTTP/1.2"), F::Version),
        (line("GET / HTTP/2.0"), F::Version),
        (line("GET / HTTP/0.9"), F::Version),
        (line("PRI * HTTP/2.0"), F::Version),
        (line("GET / HTTP/1.10"), F::RequestLine),
        (line("GET / http/1.1"), F::RequestLine),
        (line("GET / HTTP/1,1"), F::RequestLine),
        (line("GET / HTP/1.1"), F::RequestLine),
        (get("x"), F::TargetForm),
        (get("*"), F::TargetForm),
        (get("a.b:443"), F::TargetForm),
        (get("ftp://a.b/"), F::TargetForm),
        (get("http:/a.b/"), F::TargetForm),
        (get("http://"), F::TargetForm),
        (get("http://u:p@a.b/"), F::TargetForm),
        (get("http://a.b#x"), F::Target),
        (get("/#x"), F::Target),
        (get("/\u{e9}"), F::Target),
        (get("/\0"), F::Control),
        (get("http://b.a/"), F::HostMismatch),
        (get("http://a.b:80/"), F::HostMismatch),
        (get("http://a.b.evil/"), F::HostMismatch),
        (get(&"/x".repeat(257)), F::TargetLength),
        (
            b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a.b\r\n\r\n".to_vec(),
            F::EmptyLine,
        ),
        (
            b"\nGET / HTTP/1.1\r\nHost: a.b\r\n\r\n".to_vec(),
            F::LineEnd,
        ),
        (b"GET / HTTP/1.1\nHost: a.b\n\n".to_vec(), F::LineEnd),
        (b"GET / HTTP/1.1\r\nHost: a.b\r\n".to_vec(), F::Incomplete),
        (b"GET / HTTP/1.1\r\nHost: a.b".to_vec(), F::Incomplete),
        (b"".to_vec(), F::Incomplete),
        (b"\r\n\r\n".to_vec(), F::Incomplete),
        (
            b"GET / HTTP/1.1\r\nHost: a.b\r\n\r\n\r\n".to_vec(),
            F::EmptyLine,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a.b\r\n\r\n\r".to_vec(),
            F::LineEnd,
        ),
        (b"\x16\x03\x01\x02\x00\r\n\r\n".to_vec(), F::Control),
    ]);
}

#[test]
fn a_host_is_one_host() {
    refuses(&[
        (host("X: a"), F::HostMissing),
        (host("Host: a.b\r\nHost: a.b"), F::HostRepeated),
        (host("Host: a.b\r\nhost: b.a"), F::HostRepeated),
        (host("Host:"), F::HostInvalid),
        (host("Host: a.b, b.a"), F::HostInvalid),
        (host("Host: a.b b.a"), F::HostInvalid),
        (host("Host: a.b@evil"), F::HostInvalid),
        (host("Host: a.b/x"), F::HostInvalid),
        (host("Host: a.b?x"), F::HostInvalid),
        (host("Host: a.b:"), F::HostInvalid),
        (host("Host: a.b:x"), F::HostInvalid),
        (host("Host: a.b:0"), F::HostInvalid),
        (host("Host: a.b:65536"), F::HostInvalid),
        (host("Host: a.b:80:80"), F::HostInvalid),
        (host("Host: a..b"), F::HostInvalid),
        (host("Host: .a"), F::HostInvalid),
        (host("Host: a%2eb"), F::HostInvalid),
        (host("Host: \u{e9}.b"), F::HostInvalid),
        (host("Host: [::1"), F::HostInvalid),
        (host("Host: [::1]x"), F::HostInvalid),
        (host("Host: [::x]"), F::HostInvalid),
        (host("Host: ::1"), F::HostInvalid),
        (host("Host : a.b"), F::FieldName),
        (
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".to_vec(),
            F::HostRepeated,
        ),
        (
            b"GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n".to_vec(),
            F::HostMismatch,
        ),
    ]);
    for good in [
        "a",
        "A.b.",
        "a.b:1",
        "a-b_c.d:65535",
        "[::1]",
        "[2001:db8::1]:8080",
        "10.0.0.1:80",
    ] {
        assert!(check(&host(&format!("Host: {good}"))).is_ok(), "{good}");
    }
}

#[test]
fn valid_heads_tell_framing_and_intent() {
    let info = check(b"GET / HTTP/1.1\r\nHost: a.b\r\n\r\n").unwrap();
    let plain = HeadInfo {
        skipped: 0,
        method: MethodKind::Get,
        target: TargetForm::Origin,
        framing: Framing::None,
        http10: false,
        expects_continue: false,
        close: false,
        keep_alive: false,
        upgrade: None,
    };
    assert_eq!(info, plain);
    let expect = |lines: &str, want: HeadInfo| {
        let want = HeadInfo {
            method: MethodKind::Post,
            ..want
        };
        assert_eq!(check(&post(lines)), Ok(want), "{lines}");
    };
    expect(
        "Content-Length: 0",
        HeadInfo {
            framing: Framing::Length(0),
            ..plain
        },
    );
    expect(
        "Content-Length:  5 ",
        HeadInfo {
            framing: Framing::Length(5),
            ..plain
        },
    );
    expect(
        "content-length:18446744073709551615",
        HeadInfo {
            framing: Framing::Length(u64::MAX),
            ..plain
        },
    );
    expect(
        "Transfer-Encoding: Chunked",
        HeadInfo {
            framing: Framing::Chunked,
            ..plain
        },
    );
    expect(
        "Expect: 100-Continue",
        HeadInfo {
            expects_continue: true,
            ..plain
        },
    );
    expect(
        "Connection: x, Close",
        HeadInfo {
            close: true,
            ..plain
        },
    );
    expect(
        "Connection: keep-alive\r\nConnection: TE",
        HeadInfo {
            keep_alive: true,
            ..plain
        },
    );
    expect(
        "Connection: Upgrade\r\nUpgrade: WebSocket",
        HeadInfo {
            upgrade: Some(Upgrade::Websocket),
            ..plain
        },
    );
    expect(
        "Connection: upgrade\r\nUpgrade: h2c",
        HeadInfo {
            upgrade: Some(Upgrade::Other),
            ..plain
        },
    );
    expect(
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket",
        HeadInfo {
            upgrade: Some(Upgrade::Other),
            ..plain
        },
    );
    expect("Upgrade: websocket", plain);
    expect("Empty:\r\nTab: a\tb\r\nObs: \u{e9}", plain);
    assert_eq!(
        check(&[b"\r\n", &get("/")[..]].concat()).unwrap().skipped,
        2
    );
    assert_eq!(
        check(&[b"\r\n\r\n", &get("/")[..]].concat())
            .unwrap()
            .skipped,
        4
    );
    for target in ["/a?b=c|{d}", "//x", "/%00", "/a/../b"] {
        assert_eq!(check(&get(target)), Ok(plain), "{target}");
    }
    for target in ["http://a.b", "HTTP://A.B/x", "https://a.b?x"] {
        assert_eq!(
            check(&get(target)).unwrap().target,
            TargetForm::Absolute,
            "{target}"
        );
    }
    let options = check(b"OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n").unwrap();
    assert_eq!(
        (options.target, options.method),
        (TargetForm::Asterisk, MethodKind::Options)
    );
    let old = check(b"GET / HTTP/1.0\r\nExpect: x\r\n\r\n").unwrap();
    assert!(old.http10 && !old.is_persistent() && !old.expects_continue);
    assert!(
        check(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .unwrap()
            .is_persistent()
    );
}

#[test]
fn the_end_is_found_however_the_bytes_arrive() {
    for (bytes, want) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n"[..],
            Some(27),
        ),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", Some(20)),
        (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(22)),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(6)),
        (b"GET / HTTP/1.1\nHost: a\r\n", Some(15)),
        (b"\nGET /", Some(1)),
        (b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", None),
        (b"", None),
    ] {
        assert_eq!(find_head_end(bytes, 0), want, "{bytes:?}");
        let mut searched = 0;
        let piecewise = (0..=bytes.len()).find_map(|len| {
            let found = find_head_end(&bytes[..len], searched);
            searched = len;
            found
        });
        assert_eq!(piecewise, want, "{bytes:?} byte by byte");
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^`|~-]{1,12}".prop_filter("a field with a meaning", |name| {
        !["host", "expect", "upgrade", "connection"].contains(&name.to_ascii_lowercase().as_str())
    })
}

fn valid_head() -> impl Strategy<Value = Vec<u8>> {
    let framing = prop_oneof![
        Just(String::new()),
        any::<u64>().prop_map(|n| format!("Content-Length: {n}\r\n")),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
    ];
    let fields = proptest::collection::vec((token(), "[ -~\té]{0,30}"), 0..12);
    let target = "/[!-\"$-~]{0,40}";
    let host = "[a-z0-9_-]{1,9}(\\.[a-z0-9_-]{1,9}){0,3}(:[1-9][0-9]{0,3})?";
    ("[A-Z]{1,6}", target, host, framing, fields)
        .prop_filter("refused by design", |(method, ..)| {
            method != "TRACE" && method != "TRACK"
        })
        .prop_map(|(method, target, host, framing, fields)| {
            let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{framing}");
            for (name, value) in fields {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            head.into_bytes()
        })
}

/// Bytes that come close to a head: pieces of heads, joined at random.
fn almost_head() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "GET ",
        "POST ",
        "/",
        "http://a.b/",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Host: a.b",
        "Host: a.b\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        " ",
        ":",
        ",",
        "\t",
        "\0",
        "X: y\r\n",
        "chunked",
        "5",
        "Connection: close\r\n",
        "\u{e9}",
        "*",
        "OPTIONS ",
        "GET / HTTP/1.1\r\nHost: a.b\r\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

/// Whatever is accepted reads the same in another parser.
fn agrees_with_httparse(head: &[u8], info: &HeadInfo) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let status = request.parse(head).unwrap();
    assert_eq!(status, httparse::Status::Complete(head.len()));
    assert_eq!(request.version, Some(u8::from(!info.http10)));
    assert_eq!(
        MethodKind::of(request.method.unwrap().as_bytes()),
        info.method
    );
    let values = |name: &str| -> Vec<&[u8]> {
        request
            .headers
            .iter()
            .filter(|h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.value)
            .collect()
    };
    let framing = match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => Framing::None,
        ([length], []) => Framing::Length(std::str::from_utf8(length).unwrap().parse().unwrap()),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        other => panic!("ambiguous: {other:?}"),
    };
    assert_eq!(framing, info.framing);
    assert!(values("host").len() == 1 || info.http10);
    let lines = head[info.skipped..]
        .windows(2)
        .filter(|pair| pair == b"\r\n")
        .count();
    assert_eq!(request.headers.len() + 2, lines, "as many fields as lines");
}

proptest! {
    #[test]
    fn valid_heads_are_accepted_and_read_alike(head in valid_head()) {
        let info = check(&head);
        prop_assert!(info.is_ok(), "{:?}: {:?}", info, String::from_utf8_lossy(&head));
        prop_assert_eq!(find_head_end(&head, 0), Some(head.len()));
        agrees_with_httparse(&head, &info.unwrap());
    }

    #[test]
    fn accepted_pieces_read_alike(head in almost_head()) {
        if let Ok(info) = check(&head) {
            agrees_with_httparse(&head, &info);
        }
    }

    #[test]
    fn one_changed_byte_never_makes_it_ambiguous(
        head in valid_head(), at in any::<proptest::sample::Index>(), byte: u8,
    ) {
        let mut head = head;
        let at = at.index(head.len());
        head[at] = byte;
        if let Ok(info) = check(&head) {
            agrees_with_httparse(&head, &info);
        }
    }

    #[test]
    fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), from in 0usize..300) {
        let _ = (check(&bytes), find_head_end(&bytes, from));
    }
}

/// `cargo test --release -p lb-core head::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures real time")]
fn speed() {
    let head = b"GET /assets/app.4f9a.js?v=20240611 HTTP/1.1\r\nHost: www.example.com\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
        Referer: https://www.example.com/index.html\r\nCookie: sid=0123456789abcdef0123456789abcdef\r\n\
        Connection: keep-alive\r\nIf-None-Match: \"5f3-61a\"\r\nPriority: u=1\r\n\r\n";
    let rounds = 1_000_000u32;
    for _ in 0..5 {
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            let head = std::hint::black_box(&head[..]);
            assert_eq!(find_head_end(head, 0), Some(head.len()));
            assert!(check(head).is_ok());
        }
        println!(
            "{} bytes: {:?} a head",
            head.len(),
            start.elapsed() / rounds
        );
    }
}
