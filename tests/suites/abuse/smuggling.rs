//! Request smuggling: what two parsers could read in two ways must not pass the first.
//!
//! The classes are those of the HTTP desync literature (conflicting lengths, codings that are almost `chunked`,
//! odd line ends and white space, bad chunks, versions, targets and hosts). Each payload hides a request for
//! `/smuggled`. Either the head is refused, or the bytes that a server gets read as one request in every way:
//! then `/smuggled` is a request of its own, answered in its turn, or inside a body of known length.

use anyhow::{Result, ensure};
use strata_tests::raw::{Recorder, exchange};

use super::{SOON, Tiers, behind, bystanders, limited, unharmed};

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// Heads with ambiguous framing: fields that follow a proper request line and `Host`.
const FRAMINGS: &[&str] = &[
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 0\r\nTransfer-Encoding: chunked",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 0\r\nContent-Length: 44",
    "content-length: 5\r\nCONTENT-LENGTH: 0",
    "Content-Length: 5, 5",
    "Content-Length: 5, 6",
    "Content-Length: 0,44",
    "Content-Length: +5",
    "Content-Length: -1",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: 5;",
    "Content-Length: 5.0",
    "Content-Length: 5e0",
    "Content-Length: 1_0",
    "Content-Length: \"5\"",
    "Content-Length:",
    "Content-Length: a",
    "Content-Length: 18446744073709551616",
    "Content-Length: 18446744073709551621",
    "Content-Length: 99999999999999999999999999",
    "Content-Length: 5\u{b}",
    "Content-Length: \u{c}5",
    "Content-Length: 5\0",
    "Content-Length : 5",
    "Content-Length\t: 5",
    " Content-Length: 5",
    "Content_Length: 5",
    "Content-Length\u{b}: 5",
    "\0Content-Length: 5",
    "X: y\r\n Content-Length: 5",
    "X: y\rContent-Length: 5",
    "X: y\nContent-Length: 5",
    "X: y\n\rContent-Length: 5",
    "X: y\0\r\nContent-Length: 5, 6",
    "Content-Length: \r\n 5",
    "Content-Length: 5\r\n 6",
    "Connection: Content-Length\r\nContent-Length: 5",
    "Connection: close, content-length\r\nContent-Length: 5",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Connection: Host\r\nContent-Length: 5",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: chunked-ish",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding:",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked foo",
    "Transfer-Encoding:\u{b}chunked",
    "Transfer-Encoding: chunked\u{b}",
    "Transfer-Encoding: \0chunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: \u{c}chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding\u{a0}: chunked",
    "Transfer-Encoding: chun\u{212a}ed",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\r\n: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\r\n\tTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\r\r\nTransfer-Encoding: chunked",
    "X\r\nTransfer-Encoding: chunked",
    ": y\r\nTransfer-Encoding: chunked",
    "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5",
    "Upgrade: websocket\r\nConnection: upgrade\r\nTransfer-Encoding: chunked",
    "Expect: 100-continue, x\r\nContent-Length: 5",
    "Expect: x\r\nContent-Length: 5",
    "Host: other\r\nContent-Length: 5",
    "Host : other\r\nContent-Length: 5",
];

/// Whole starts of a request that are wrong before any field.
const STARTS: &[&str] = &[
    "POST / HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: t\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: t\r\n\r\n",
    "GET / HTTP/0.9\r\nHost: t\r\n\r\n",
    "GET / http/1.1\r\nHost: t\r\n\r\n",
    "GET / HTTP/1.10\r\nHost: t\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: t\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET /\tHTTP/1.1\r\nHost: t\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: t\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET / x HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET / HTTP/1.1\nHost: t\n\n",
    "GET / HTTP/1.1\r\nHost: t\n\r\n",
    "GET / HTTP/1.1\rHost: t\r\n\r\n",
    "GET /\r\nHost: t\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: t, u\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: t@u\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: t/x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET http://u/ HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET http://t@u/ HTTP/1.1\r\nHost: u\r\n\r\n",
    "GET /#x HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: t\r\n\r\n",
    "CONNECT t:80 HTTP/1.1\r\nHost: t:80\r\n\r\n",
    "TRACE / HTTP/1.1\r\nHost: t\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
];

/// Bodies after `Transfer-Encoding: chunked` that are no chunks, or not only that.
const CHUNKS: &[&str] = &[
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r\n0\n\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "5\0\r\nhello\r\n0\r\n\r\n",
];

#[tokio::test]
async fn ambiguous_heads_reach_no_server() -> Result<()> {
    no_head_passes(Tiers::One).await
}

/// What the first tier writes is read by another parser of ours: nothing may become ambiguous on the way.
#[tokio::test]
async fn ambiguous_heads_reach_no_server_through_both_tiers() -> Result<()> {
    no_head_passes(Tiers::Both).await
}

async fn no_head_passes(tiers: Tiers) -> Result<()> {
    let recorder = Recorder::start(OK).await?;
    let platform = behind(tiers, recorder.address(), "max_headers: 100").await?;
    let load = bystanders(&platform)?;
    let fields = FRAMINGS.iter().map(|fields| {
        format!("POST /attack HTTP/1.1\r\nHost: t\r\n{fields}\r\n\r\n0\r\n\r\n{HIDDEN}")
    });
    let starts = STARTS.iter().map(|start| format!("{start}{HIDDEN}"));
    let mut passed = Vec::new();
    for payload in fields.chain(starts) {
        let seen = exchange(platform.address()?, payload.as_bytes(), SOON).await?;
        let refused =
            seen.statuses().len() <= 1 && seen.status().is_none_or(|s| (400..=505).contains(&s));
        if !(refused && seen.is_over()) {
            passed.push(format!(
                "{payload:?} gave {:?} {:?}",
                seen.statuses(),
                seen.end
            ));
        }
    }
    for bytes in recorder.received() {
        if bytes.contains("/attack") || bytes.contains("/smuggled") {
            passed.push(format!("the server got {bytes:?}"));
        }
    }
    ensure!(
        passed.is_empty(),
        "{} passed:\n{}",
        passed.len(),
        passed.join("\n")
    );
    unharmed(load).await
}

/// Sends each body; tells which became a whole request, or let the hidden one through.
async fn whole_after(tiers: Tiers, bodies: &[&str]) -> Result<Vec<String>> {
    let recorder = Recorder::start(OK).await?;
    let platform = behind(tiers, recorder.address(), "body_timeout: 1s").await?;
    let load = bystanders(&platform)?;
    let mut passed = Vec::new();
    for (number, chunks) in bodies.iter().enumerate() {
        let mark = format!("/chunks-{number}-");
        let hidden = HIDDEN.replace("/smuggled", &format!("/smuggled-{number}-"));
        let payload = format!(
            "POST {mark} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}"
        );
        let seen = exchange(platform.address()?, payload.as_bytes(), SOON).await?;
        // The recorder answers a head at once, so a 200 may be on its way; what counts are the bytes.
        let received = recorder.received().concat();
        let ours = received.split(mark.as_str()).nth(1).unwrap_or_default();
        let body = ours.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let end = body.find("GET /").unwrap_or(body.len());
        let is_whole = body
            .get(..end)
            .is_some_and(|body| body.ends_with("0\r\n\r\n"));
        if is_whole || received.contains(&format!("/smuggled-{number}-")) || !seen.is_over() {
            passed.push(format!("{chunks:?}: {:?} {:?}", seen.statuses(), seen.end));
        }
    }
    unharmed(load).await?;
    Ok(passed)
}

#[tokio::test]
async fn bad_chunks_never_become_a_whole_request() -> Result<()> {
    no_chunks_pass(Tiers::One).await
}

#[tokio::test]
async fn bad_chunks_never_become_a_whole_request_through_both_tiers() -> Result<()> {
    no_chunks_pass(Tiers::Both).await
}

async fn no_chunks_pass(tiers: Tiers) -> Result<()> {
    let passed = whole_after(tiers, CHUNKS).await?;
    ensure!(
        passed.is_empty(),
        "{} passed:\n{}",
        passed.len(),
        passed.join("\n")
    );
    Ok(())
}

#[tokio::test]
async fn lenient_chunk_sizes_are_refused() -> Result<()> {
    let lenient = ["\r\nhello\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n"];
    for tiers in [Tiers::One, Tiers::Both] {
        let passed = whole_after(tiers, &lenient).await?;
        ensure!(
            passed.is_empty(),
            "{tiers:?}: {} passed:\n{}",
            passed.len(),
            passed.join("\n")
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_follows_a_request_is_a_request_of_its_own() -> Result<()> {
    each_is_its_own(Tiers::One).await
}

#[tokio::test]
async fn what_follows_a_request_is_a_request_of_its_own_through_both_tiers() -> Result<()> {
    each_is_its_own(Tiers::Both).await
}

async fn each_is_its_own(tiers: Tiers) -> Result<()> {
    // Closes, as the recorder takes the end of a chunked body for a head and would answer twice.
    const CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    let recorder = Recorder::start(CLOSE).await?;
    let platform = behind(tiers, recorder.address(), "max_headers: 100").await?;
    for first in [
        "GET /first HTTP/1.1\r\nHost: t\r\n\r\n",
        "POST /first HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
        "POST /first HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
        "POST /first HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
        "\r\nGET /first HTTP/1.1\r\nHost: t\r\n\r\n",
    ] {
        let last = HIDDEN.replace("Host: t", "Host: t\r\nConnection: close");
        let seen = exchange(
            platform.address()?,
            format!("{first}{last}").as_bytes(),
            SOON,
        )
        .await?;
        ensure!(seen.statuses() == [200, 200], "{first:?}: {}", seen.text());
    }
    let received = recorder.received().concat().to_lowercase();
    let requests = received.matches("/smuggled http/1.1\r\n").count();
    let vias = received.matches("\r\nvia: ").count();
    ensure!(
        requests == 6 && vias >= 12,
        "each was parsed and written anew: {received}"
    );
    Ok(())
}

#[tokio::test]
async fn answers_are_not_split_by_what_a_client_sends() -> Result<()> {
    let recorder = Recorder::start(OK).await?;
    let platform = limited(recorder.address(), "max_headers: 100").await?;
    for target in [
        "/a%0d%0aX:%20y",
        "/a?b=%0aSet-Cookie:x",
        "/%00",
        "/a%20HTTP/1.1%0d%0aHost:%20u",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let seen = exchange(platform.address()?, request.as_bytes(), SOON).await?;
        ensure!(seen.status() == Some(200), "{target}: {}", seen.text());
        let received = recorder.received().concat();
        ensure!(
            received.contains(&format!("GET {target} HTTP/1.1\r\n")),
            "{target} was decoded: {received}"
        );
    }
    Ok(())
}
