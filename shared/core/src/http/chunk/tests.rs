use super::*;
use ChunkFault as F;
use proptest::prelude::*;
use std::collections::HashSet;

fn scan(bytes: &[u8]) -> Result<Scanned, F> {
    ChunkScanner::new().scan(bytes)
}

/// The outcome when the bytes come in pieces that end at `cuts`.
fn scan_pieces(bytes: &[u8], cuts: &[usize]) -> Result<Scanned, F> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let (mut scanner, mut from) = (ChunkScanner::new(), 0);
    for to in cuts {
        if let Scanned::End { used } = scanner.scan(&bytes[from..to])? {
            return Ok(Scanned::End { used: from + used });
        }
        from = to;
    }
    Ok(Scanned::More)
}

/// Byte by byte.
fn scan_drip(bytes: &[u8]) -> Result<Scanned, F> {
    scan_pieces(bytes, &(0..bytes.len()).collect::<Vec<_>>())
}

fn accepts(body: &[u8]) {
    let shown = String::from_utf8_lossy(body);
    let end = Ok(Scanned::End { used: body.len() });
    assert_eq!(scan(body), end, "{shown:?}");
    assert_eq!(scan_drip(body), end, "byte by byte: {shown:?}");
    for length in 0..body.len() {
        assert_eq!(
            scan(&body[..length]),
            Ok(Scanned::More),
            "{length} bytes of {shown:?}"
        );
    }
    let next = [body, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(scan(&next), end, "followed by a request: {shown:?}");
}

fn refuses(cases: &[(&[u8], F)]) {
    for (body, fault) in cases {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(scan(body), Err(*fault), "{shown:?}");
        assert_eq!(scan_drip(body), Err(*fault), "byte by byte: {shown:?}");
    }
}

#[test]
fn what_the_grammar_allows_is_accepted() {
    let bodies: &[&[u8]] = &[
        b"0\r\n\r\n",
        b"0000000000000000\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"000A\r\n0123456789\r\n0\r\n\r\n",
        b"a\r\n\r\n0\r\n\r\n\r\n\n\r\n0\r\n\r\n",
        b"1\r\n\r\r\n1\r\n\n\r\n00\r\n\r\n",
        b"5;a\r\nhello\r\n0;b\r\n\r\n",
        b"5;a;b=c;d=\"e;f\"\r\nhello\r\n0;a=\"\"\r\n\r\n",
        b"0;a=b\r\n\r\n",
        b"0 ; a = b\t;\tc ; d=\"x y;z=\\\"\\\\\"\r\n\r\n",
        b"0;a=\"\xc3\xa9\t\\\xff\"\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"0\r\nA:\r\nDigest: \tx\xc3\xa9 y \r\nX-Hosts: a\r\nTransfer-Encodings: a\r\n\r\n",
    ];
    for body in bodies {
        accepts(body);
    }
}

#[test]
fn ambiguous_sizes_are_refused() {
    refuses(&[
        (b"\r\n", F::Size),
        (b"\n", F::Size),
        (b";a\r\n", F::Size),
        (b"0x10\r\n", F::Size),
        (b"0X10\r\n", F::Size),
        (b"x10\r\n", F::Size),
        (b"+5\r\n", F::Size),
        (b"-5\r\n", F::Size),
        (b"1_0\r\n", F::Size),
        (b"5.0\r\n", F::Size),
        (b"g\r\n", F::Size),
        (b"5g\r\n", F::Size),
        (b"5h\r\n", F::Size),
        (b"\"5\"\r\n", F::Size),
        (b" 5\r\n", F::Size),
        (b"\t5\r\n", F::Size),
        (b"\x005\r\n", F::Size),
        (b"5\0\r\n", F::Size),
        (b"5\x0b\r\n", F::Size),
        (b"5,5\r\n", F::Size),
        (b"\xd9\xa5\r\n", F::Size),
        (b"\xef\xbc\x95\r\n", F::Size),
        (b"8000000000000000\r\n", F::SizeRange),
        (b"FFFFFFFFFFFFFFFF\r\n", F::SizeRange),
        (b"10000000000000000\r\n", F::SizeRange),
        (b"10000000000000005\r\n", F::SizeRange),
        (b"00000000000000005\r\n", F::SizeRange),
        (b"00000000000000000\r\n", F::SizeRange),
    ]);
    assert_eq!(scan(b"7fffffffffffffff\r\n"), Ok(Scanned::More));
}

#[test]
fn lines_end_with_both_bytes() {
    refuses(&[
        (b"5\nhello\r\n", F::LineEnd),
        (b"5\rhello\r\n", F::LineEnd),
        (b"5\r\rhello", F::LineEnd),
        (b"5\r 5\n", F::LineEnd),
        (b"5 \nhello", F::LineEnd),
        (b"5 \r\nhello", F::Extension),
        (b"5\t\r\nhello", F::Extension),
        (b"5;\nhello", F::LineEnd),
        (b"5;a\nhello", F::LineEnd),
        (b"5;a\rhello", F::LineEnd),
        (b"5;a=b\nhello", F::LineEnd),
        (b"5;a=\"b\"\nhello", F::LineEnd),
        (b"5;a=\"\n\"\r\n", F::LineEnd),
        (b"5;a=\"\\\n\"\r\n", F::LineEnd),
        (b"0\n\n", F::LineEnd),
        (b"0\n\r\n", F::LineEnd),
        (b"0\r\n\n", F::LineEnd),
        (b"0\r\n\r\r\n", F::LineEnd),
        (b"0\r\n\rX", F::LineEnd),
        (b"0\r\nA: b\n\r\n", F::LineEnd),
        (b"0\r\nA: b\r\r\n", F::LineEnd),
        (b"0\r\nA: b\rc\r\n", F::LineEnd),
        (b"0\r\nA: b\r\n\n", F::LineEnd),
    ]);
}

#[test]
fn data_has_exactly_its_size() {
    refuses(&[
        (b"5\r\nhello0\r\n\r\n", F::DataEnd),
        (b"5\r\nhello\n0\r\n\r\n", F::DataEnd),
        (b"5\r\nhello\r0\r\n\r\n", F::DataEnd),
        (b"5\r\nhello\r\r\n", F::DataEnd),
        (b"5\r\nhello!\r\n", F::DataEnd),
        (b"5\r\nhello \r\n", F::DataEnd),
        (b"5\r\nhell\r\n0\r\n\r\n", F::DataEnd),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", F::Size),
    ]);
}

#[test]
fn malformed_extensions_are_refused() {
    refuses(&[
        (b"5;\r\n", F::Extension),
        (b"5; \r\n", F::Extension),
        (b"5;;a\r\n", F::Extension),
        (b"5;a;\r\n", F::Extension),
        (b"5;=b\r\n", F::Extension),
        (b"5;a=\r\n", F::Extension),
        (b"5;a=;b\r\n", F::Extension),
        (b"5;a=b=c\r\n", F::Extension),
        (b"5;a=b c\r\n", F::Extension),
        (b"5;a b\r\n", F::Extension),
        (b"5;a \r\n", F::Extension),
        (b"5;a=b \r\n", F::Extension),
        (b"5;a=\"b\" \r\n", F::Extension),
        (b"5;a=\"b\"c\r\n", F::Extension),
        (b"5;a=\"b\r\n\"\r\n", F::Extension),
        (b"5;a=\"b\\\r\n\"\r\n", F::Extension),
        (b"5;a=b\"c\"\r\n", F::Extension),
        (b"5;\"a\"\r\n", F::Extension),
        (b"5;a,b\r\n", F::Extension),
        (b"5 a\r\n", F::Extension),
        (b"5 5\r\n", F::Extension),
        (b"5;\xc3\xa9\r\n", F::Extension),
        (b"5;a\0\r\n", F::Control),
        (b"5;a=\"\0\"\r\n", F::Control),
        (b"5;a=\"\\\x07\"\r\n", F::Control),
        (b"5;a=\"\x7f\"\r\n", F::Control),
        (b"5;a\x0b\r\n", F::Control),
    ]);
}

#[test]
fn malformed_and_harmful_trailers_are_refused() {
    refuses(&[
        (b"0\r\nA\r\n\r\n", F::TrailerName),
        (b"0\r\n: b\r\n\r\n", F::TrailerName),
        (b"0\r\nA : b\r\n\r\n", F::TrailerName),
        (b"0\r\nA\t: b\r\n\r\n", F::TrailerName),
        (b"0\r\nA b: c\r\n\r\n", F::TrailerName),
        (b"0\r\n\0: c\r\n\r\n", F::TrailerName),
        (b"0\r\n\xc3\xa9: c\r\n\r\n", F::TrailerName),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", F::TrailerName),
        (b"0\r\n A: b\r\n\r\n", F::TrailerFolding),
        (b"0\r\nA: b\r\n c\r\n\r\n", F::TrailerFolding),
        (b"0\r\nA: b\r\n\tc\r\n\r\n", F::TrailerFolding),
        (b"0\r\nA: \0\r\n\r\n", F::Control),
        (b"0\r\nA: \x0b\r\n\r\n", F::Control),
        (b"0\r\nA: \x7f\r\n\r\n", F::Control),
        (
            b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
            F::TrailerForbidden,
        ),
        (
            b"0\r\nA: b\r\ntransfer_encoding: chunked\r\n\r\n",
            F::TrailerForbidden,
        ),
        (b"0\r\nCONTENT-LENGTH: 5\r\n\r\n", F::TrailerForbidden),
        (b"0\r\nContent_Length: 5\r\n\r\n", F::TrailerForbidden),
        (b"0\r\nhOST: a\r\n\r\n", F::TrailerForbidden),
    ]);
}

#[test]
fn extensions_and_trailers_have_limits() {
    let extended = |bytes: usize| format!("0;{}\r\n\r\n", "a".repeat(bytes - 1)).into_bytes();
    accepts(&extended(1024));
    refuses(&[(&extended(1025), F::ExtensionSize)]);
    let blanks = format!("0{};a\r\n\r\n", " ".repeat(5000));
    refuses(&[(blanks.as_bytes(), F::ExtensionSize)]);
    let end = |body: &[u8]| Ok(Scanned::End { used: body.len() });
    let each = b"3;a=\"0123456789\"\r\nabc\r\n".repeat(1000);
    let many = [&each[..], b"0\r\n\r\n"].concat();
    assert_eq!(scan(&many), end(&many), "the limit is for each chunk");

    let trailed = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(bytes - 6)).into_bytes();
    let most = usize::from(MAX_TRAILERS);
    assert_eq!(scan(&trailed(most)), end(&trailed(most)));
    refuses(&[(&trailed(most + 1), F::TrailerSize)]);
    let long_name = format!("0\r\n{}", "a".repeat(100_000));
    refuses(&[(long_name.as_bytes(), F::TrailerSize)]);
}

#[test]
fn the_outcome_stays() {
    let mut scanner = ChunkScanner::new();
    assert!(!scanner.is_done());
    assert_eq!(scanner.scan(b"0\r\n\r\nGET"), Ok(Scanned::End { used: 5 }));
    assert!(scanner.is_done());
    assert_eq!(scanner.scan(b" / HTTP/1.1"), Ok(Scanned::End { used: 0 }));
    assert_eq!(scanner.scan(b""), Ok(Scanned::End { used: 0 }));

    let mut scanner = ChunkScanner::new();
    assert_eq!(scanner.scan(b"0\n"), Err(F::LineEnd));
    assert_eq!(scanner.scan(b"\r\n0\r\n\r\n"), Err(F::LineEnd));
    assert_eq!(scanner.scan(b""), Err(F::LineEnd));
    assert!(!scanner.is_done());
}

#[test]
fn a_chunk_larger_than_memory_is_skipped() {
    let mut scanner = ChunkScanner::new();
    assert_eq!(scanner.scan(b"100000000\r\n"), Ok(Scanned::More));
    let piece = vec![b'\n'; 1 << 20];
    for _ in 0..1 << 12 {
        assert_eq!(scanner.scan(&piece), Ok(Scanned::More));
    }
    assert_eq!(scanner.scan(b"\r\n0\r\n\r\n"), Ok(Scanned::End { used: 7 }));
}

#[test]
fn labels_are_unique_and_safe() {
    let labels: HashSet<_> = F::ALL.iter().map(|fault| fault.label()).collect();
    assert_eq!(labels.len(), F::ALL.len());
    for fault in F::ALL {
        let is_safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(fault.label().bytes().all(is_safe));
        assert_eq!(fault.to_string(), fault.reason());
    }
}

/// A chunk with its data and both line ends; one of size 0 becomes an empty string.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let data = prop::collection::vec(any::<u8>(), 1..40);
    let extension = prop::sample::select(vec!["", ";a", " ;a=b", ";a=\"\\\";\t\" ; c = d"]);
    (data, 0usize..4, any::<bool>(), extension).prop_map(|(data, zeros, upper, extension)| {
        let size = data.len();
        let size = if upper {
            format!("{size:X}")
        } else {
            format!("{size:x}")
        };
        let line = format!("{}{size}{extension}\r\n", "0".repeat(zeros));
        [line.as_bytes(), &data, b"\r\n"].concat()
    })
}

/// A valid body, and what follows it.
fn body() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let trailers = prop::sample::select(vec!["", "A: b\r\n", "X-Sum: 1\r\nB:\r\n"]);
    let last = prop::sample::select(vec!["0\r\n", "000\r\n", "0;a\r\n"]);
    let chunks = prop::collection::vec(chunk(), 0..5);
    let next = prop::collection::vec(any::<u8>(), 0..20);
    (chunks, last, trailers, next).prop_map(|(chunks, last, trailers, next)| {
        let mut body = chunks.concat();
        body.extend(last.bytes().chain(trailers.bytes()).chain(*b"\r\n"));
        (body, next)
    })
}

/// Bytes that mean something to the framing.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"\r\n",
        b"\r",
        b"\n",
        b"0",
        b"1",
        b"2\r\nab\r\n",
        b"a",
        b"F",
        b"x",
        b";",
        b"=",
        b"\"",
        b"\\",
        b" ",
        b"\t",
        b"\0",
        b":",
        b"A: b\r\n",
        b"0\r\n",
        b"\x80",
        b"-",
        b"host: c\r\n",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..30).prop_map(|pieces| pieces.concat())
}

/// Where httparse and plain line reading see the end of the chunks, when they take them.
fn end_by_httparse(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let httparse::Status::Complete((line, size)) =
            httparse::parse_chunk_size(&bytes[at..]).ok()?
        else {
            return None;
        };
        at += line;
        if size == 0 {
            break;
        }
        at += usize::try_from(size).ok()? + 2;
        if at > bytes.len() {
            return None;
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(&bytes[at..], &mut fields).ok()? {
        httparse::Status::Complete((length, _)) => Some(at + length),
        httparse::Status::Partial => None,
    }
}

proptest! {
    #[test]
    fn pieces_change_nothing_of_a_valid_body((body, next) in body(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let all = [&body[..], &next].concat();
        let end = Ok(Scanned::End { used: body.len() });
        prop_assert_eq!(scan(&all), end);
        prop_assert_eq!(scan_pieces(&all, &cuts), end);
        prop_assert_eq!(scan_drip(&all), end);
        prop_assert_eq!(end_by_httparse(&all), Some(body.len()));
    }

    #[test]
    fn pieces_change_nothing_of_noise(bytes in noise(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let whole = scan(&bytes);
        prop_assert_eq!(scan_pieces(&bytes, &cuts), whole);
        prop_assert_eq!(scan_drip(&bytes), whole);
        if let (Ok(Scanned::End { used }), Some(end)) = (whole, end_by_httparse(&bytes)) {
            prop_assert_eq!(used, end);
        }
    }

    #[test]
    fn one_changed_byte_never_makes_it_ambiguous(
        (body, _) in body(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut body = body;
        let at = at.index(body.len());
        body[at] = byte;
        if let (Ok(Scanned::End { used }), Some(end)) = (scan(&body), end_by_httparse(&body)) {
            prop_assert_eq!(used, end, "{:?}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn any_bytes_are_answered_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(scan_drip(&bytes), scan(&bytes));
    }
}

/// `cargo test --release -p lb-core chunk::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures real time")]
fn speed() {
    for size in [16, 1024, 16 * 1024] {
        let chunk = [
            format!("{size:x}\r\n").as_bytes(),
            &vec![b'x'; size],
            b"\r\n",
        ]
        .concat();
        let mut scanner = ChunkScanner::new();
        let rounds = 1_000_000u32;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            assert_eq!(
                scanner.scan(std::hint::black_box(&chunk)),
                Ok(Scanned::More)
            );
        }
        println!("{size} bytes: {:?} a chunk", start.elapsed() / rounds);
    }
}
