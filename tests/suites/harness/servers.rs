//! The scripted server does what its script says, seen by plain clients, and its ledger tells it.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use strata_tests::certs::Authority;
use strata_tests::eventually;
use strata_tests::feed::feed;
use strata_tests::http::{self as client, Dial};
use strata_tests::pattern;
use strata_tests::raw::{End, RawConn, exchange};
use strata_tests::server::{Answer, BODY_SEED, Early, Fate, Fault, Health, Server, TEST_ID};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn echo_shows_the_request_on_each_protocol() -> Result<()> {
    let authority = Authority::new()?;
    let tls = authority
        .issue(&["s.example"])?
        .server(&["h2", "http/1.1"])?;
    let plain = Server::start("plain").await?;
    let secure = Server::builder("secure").tls(tls).start().await?;
    let dials = [
        (Dial::http1(plain.address()), "HTTP/1.1"),
        (Dial::h2c(plain.address()), "HTTP/2.0"),
        (
            Dial::tls(secure.address(), "s.example", authority.client(&["h2"])?),
            "HTTP/2.0",
        ),
        (
            Dial::tls(secure.address(), "s.example", authority.client(&[])?),
            "HTTP/1.1",
        ),
    ];
    for (dial, version) in dials {
        let request = Request::post("/echo?x=1")
            .header(TEST_ID, "e1")
            .body(client::full("body"))?;
        let answer = dial.send(request).await?;
        let seen = answer.json()?;
        ensure!(
            answer.status == 200 && answer.header(TEST_ID) == "e1",
            "{answer:?}"
        );
        ensure!(seen["version"] == version, "{seen}");
        ensure!(
            seen["method"] == "POST" && seen["path"] == "/echo?x=1",
            "{seen}"
        );
        ensure!(seen["body"] == "body", "{seen}");
    }
    let stranger = Authority::new()?.client(&[])?;
    let refused = Dial::tls(secure.address(), "s.example", stranger)
        .get("/")
        .await;
    ensure!(refused.is_err(), "a client without our authority connected");
    ensure!(
        plain.ledger().times("e1") == 2 && secure.ledger().times("e1") == 2,
        "ledgers"
    );
    Ok(())
}

#[tokio::test]
async fn patterned_bodies_are_whole_and_checked() -> Result<()> {
    let server = Server::start("s").await?;
    for path in ["/bytes/300000", "/chunked/300000"] {
        let answer = client::get(server.address(), path).await?;
        let mut checker = pattern::Checker::new(answer.header(BODY_SEED).parse()?);
        checker.feed(&answer.body);
        ensure!(
            checker.is_intact() && checker.seen() == 300_000,
            "{path}: {checker:?}"
        );
    }
    for (swapped, wanted) in [(false, true), (true, false)] {
        let mut body = pattern::whole(7, 200_000).to_vec();
        if swapped {
            body.swap(10, 11);
        }
        let request = Request::post("/upload")
            .header(BODY_SEED, 7)
            .body(client::full(body))?;
        let report = Dial::http1(server.address()).send(request).await?.json()?;
        ensure!(
            report["bytes"] == 200_000 && report["intact"] == wanted,
            "{report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn faults_look_as_they_should_on_the_wire() -> Result<()> {
    let server = Server::start("s").await?;
    let ask = async |fault| {
        server.script(|script| {
            script.inject(fault, 1.0);
            script.answer = Answer::Bytes(100_000);
        });
        exchange(server.address(), b"GET / HTTP/1.1\r\nhost: t\r\n\r\n", SOON).await
    };
    let seen = ask(Fault::ResetBeforeHead).await?;
    ensure!(
        seen.end == End::Reset && seen.bytes.is_empty(),
        "{:?} {}",
        seen.end,
        seen.text()
    );
    let seen = ask(Fault::CloseBeforeHead).await?;
    ensure!(
        seen.end == End::Closed && seen.bytes.is_empty(),
        "{:?} {}",
        seen.end,
        seen.text()
    );
    let seen = ask(Fault::ResetAfterHead).await?;
    ensure!(
        seen.end == End::Reset && seen.status() == Some(200),
        "{:?}",
        seen.end
    );
    let seen = ask(Fault::Truncate).await?;
    ensure!(
        seen.end == End::Closed && seen.status() == Some(200),
        "{:?}",
        seen.end
    );
    ensure!(
        (50_000..51_000).contains(&seen.bytes.len()),
        "{} bytes",
        seen.bytes.len()
    );
    let seen = ask(Fault::Garbage).await?;
    ensure!(
        seen.status().is_none() && !seen.bytes.is_empty(),
        "{}",
        seen.text()
    );
    ensure!(
        server
            .ledger()
            .seen()
            .iter()
            .all(|seen| seen.fate == Fate::Faulted),
        "fates"
    );
    server.script(|script| script.fault = None);
    ensure!(
        client::get(server.address(), "/").await?.status == 200,
        "after the faults"
    );
    Ok(())
}

#[tokio::test]
async fn a_truncated_body_is_an_error_on_http2_too() -> Result<()> {
    let server = Server::start("s").await?;
    server.script(|script| script.inject(Fault::Truncate, 1.0));
    let answer = Dial::h2c(server.address()).get("/bytes/100000").await;
    ensure!(answer.is_err(), "got a whole answer");
    Ok(())
}

#[tokio::test]
async fn seeded_shares_are_the_same_each_time() -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let server = Server::builder("s")
            .seed(42)
            .script(|s| s.error_share = 0.3)
            .start()
            .await?;
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(client::get(server.address(), "/").await?.status);
        }
        runs.push(statuses);
    }
    ensure!(runs.first() == runs.last(), "{runs:?}");
    let errors = runs
        .iter()
        .flatten()
        .filter(|status| **status == 500)
        .count()
        / 2;
    ensure!((8..=30).contains(&errors), "{errors} errors of 60 at 30 %");
    Ok(())
}

#[tokio::test]
async fn freeze_holds_and_thaw_releases() -> Result<()> {
    let server = Server::start("s").await?;
    let dial = Dial::http1(server.address());
    let mut open = dial.connect().await?;
    open.send(Request::get("/").body(client::empty())?).await?;
    server.freeze();
    let mut held = Box::pin(open.send(Request::get("/held").body(client::empty())?));
    ensure!(
        timeout(SHORT, &mut held).await.is_err(),
        "answered on an open connection"
    );
    ensure!(
        timeout(SHORT, dial.get("/healthz")).await.is_err(),
        "a probe was answered"
    );
    server.thaw();
    ensure!(
        timeout(SOON, held).await??.status == 200,
        "the held request goes on"
    );
    ensure!(dial.get("/").await?.status == 200, "and new ones");
    Ok(())
}

#[tokio::test]
async fn refuse_and_reopen_keep_the_port() -> Result<()> {
    let server = Server::start("s").await?;
    let dial = Dial::http1(server.address());
    let mut open = dial.connect().await?;
    let ask = || Request::get("/").body(client::empty());
    ensure!(open.send(ask()?).await?.status == 200);
    server.refuse().await;
    ensure!(dial.connect().await.is_err(), "a closed port accepted");
    ensure!(
        open.send(ask()?).await?.status == 200,
        "open connections live on"
    );
    server.reopen().await?;
    ensure!(dial.get("/").await?.status == 200, "open again");
    server.crash().await;
    ensure!(
        open.send(ask()?).await.is_err(),
        "a crash resets open connections"
    );
    ensure!(dial.connect().await.is_err(), "and closes the port");
    eventually(SOON, "no open connection", async || {
        let counts = server.ledger().counts();
        ensure!(counts.open_connections == 0, "{counts:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn idle_connections_are_closed_on_time() -> Result<()> {
    let server = Server::start("s").await?;
    server.script(|script| script.idle_close = Some(Duration::from_millis(80)));
    let mut conn = RawConn::connect(server.address()).await?;
    conn.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await?;
    let start = Instant::now();
    let seen = conn.read_to_end(SOON).await;
    ensure!(
        seen.end == End::Closed && seen.status() == Some(200),
        "{:?}",
        seen.end
    );
    ensure!(
        start.elapsed() >= Duration::from_millis(70),
        "closed after {:?}",
        start.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn informational_and_early_answers_come_first() -> Result<()> {
    let server = Server::start("s").await?;
    server.script(|script| script.informational = vec![103, 103]);
    let answer = client::get(server.address(), "/").await?;
    ensure!(
        answer.informational == [103, 103] && answer.status == 200,
        "{answer:?}"
    );
    server.script(|script| {
        script.informational.clear();
        script.early = Early::ThenRead;
    });
    let (mut sender, body) = feed();
    let mut conn = Dial::http1(server.address()).connect().await?;
    let request = Request::post("/").header(TEST_ID, "early").body(body)?;
    let response = timeout(SOON, conn.begin(request)).await??;
    ensure!(response.status() == 200, "the answer came before the body");
    sender.send_data(Bytes::from_static(b"late body")).await?;
    drop(sender);
    eventually(SOON, "the body arrives all the same", async || {
        let seen = server.ledger().last().filter(|seen| seen.id == "early");
        ensure!(
            seen.as_ref()
                .is_some_and(|s| s.body_complete && s.body_bytes == 9),
            "{seen:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_aborting_client_and_an_incomplete_body_are_noted() -> Result<()> {
    let server = Server::start("s").await?;
    server.script(|script| script.head_delay = Duration::from_secs(60));
    let mut conn = RawConn::connect(server.address()).await?;
    conn.write(b"GET / HTTP/1.1\r\nhost: t\r\nx-test-id: gone\r\n\r\n")
        .await?;
    eventually(SOON, "arrival", async || {
        ensure!(
            server.ledger().counts().in_flight == 1,
            "{:?}",
            server.ledger().counts()
        );
        Ok(())
    })
    .await?;
    conn.reset()?;
    let head = b"POST / HTTP/1.1\r\nhost: t\r\nx-test-id: half\r\ncontent-length: 10\r\n\r\n12345";
    let mut conn = RawConn::connect(server.address()).await?;
    conn.write(head).await?;
    conn.finish().await?;
    drop(conn);
    eventually(SOON, "both aborts", async || {
        let counts = server.ledger().counts();
        ensure!(counts.aborted == 2 && counts.in_flight == 0, "{counts:?}");
        Ok(())
    })
    .await?;
    let half = server.ledger().last().unwrap();
    ensure!(
        half.id == "half" && half.body_bytes == 5 && !half.body_complete,
        "{half:?}"
    );
    Ok(())
}

#[tokio::test]
async fn health_is_apart_from_traffic() -> Result<()> {
    let server = Server::start("s").await?;
    server.script(|script| script.status = Some(500));
    let ask = async |path| anyhow::Ok(client::get(server.address(), path).await?.status);
    ensure!(
        ask("/healthz").await? == 200 && ask("/").await? == 500,
        "failing, yet healthy"
    );
    server.script(|script| script.health = Health::Fail(503));
    ensure!(ask("/healthz").await? == 503, "unhealthy");
    server.script(|script| script.health = Health::Follow);
    ensure!(ask("/healthz").await? == 500, "as the traffic");
    server.script(|script| script.health = Health::Hang);
    ensure!(
        timeout(SHORT, ask("/healthz")).await.is_err(),
        "a hanging probe"
    );
    let counts = server.ledger().counts();
    ensure!(counts.probes == 4 && counts.requests == 1, "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn workers_limit_what_runs_at_once() -> Result<()> {
    let server = Server::start("s").await?;
    server.script(|script| {
        script.limit_workers(2);
        script.head_delay = Duration::from_millis(50);
    });
    let start = Instant::now();
    let address = server.address();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        tasks.spawn(async move { client::get(address, "/").await });
    }
    while let Some(done) = tasks.join_next().await {
        ensure!(done??.status == 200);
    }
    ensure!(
        start.elapsed() >= Duration::from_millis(145),
        "six in {:?}",
        start.elapsed()
    );
    Ok(())
}
