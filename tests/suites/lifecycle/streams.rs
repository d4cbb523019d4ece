//! What never ends by itself when the process leaves: websockets, events, gRPC; and what is cut in the middle.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Request;
use nix::sys::signal::Signal;
use strata_tests::eventually;
use strata_tests::http::{self as client, Dial};
use strata_tests::peers;
use strata_tests::server::{BODY_SEED, Server};
use strata_tests::subject::Upstream;
use strata_tests::topology::{Platform, Topology};
use strata_tests::websocket::{Frame, Socket, TEXT};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(10);
/// Streams part 0.5 to 2.5 s after the drain's begin.
const LEAVE: &str = "lame_duck: 0s, drain: 1s, stream_drain: 4s";
/// When they are cut.
const DEADLINE: Duration = Duration::from_secs(4);

/// A regional replica before a websocket server in our hands, and a websocket through it.
async fn websocket() -> Result<(Platform, Socket, Socket)> {
    let listener = TcpListener::bind(strata_tests::ports::free()?).await?;
    let plan = Topology::regional()
        .external_pool("web", &[listener.local_addr()?], Upstream::Http1)
        .tune_regional(|file| {
            file.front.shutdown = LEAVE.to_owned();
            for pool in &mut file.pools {
                pool.health_check = Some("enabled: false".to_owned());
            }
        });
    let platform = plan.start().await?;
    let opened = tokio::try_join!(
        Socket::connect(platform.address()?, "/chat"),
        Socket::accept(&listener)
    );
    let (mut near, mut far) = timeout(SOON, async { opened }).await??;
    near.send(TEXT, b"hello").await?;
    ensure!(next(&mut far).await?.payload == b"hello");
    Ok((platform, near, far))
}

async fn next(socket: &mut Socket) -> Result<Frame> {
    let frame = timeout(SOON, socket.next()).await.context("no frame")??;
    frame.context("the end, without a word")
}

/// Sends SIGTERM and waits until `kinds` streams are told.
async fn leave(platform: &mut Platform, name: &str, kind: &str, count: f64) -> Result<Instant> {
    let replica = platform.replica(name)?;
    replica.signal(Signal::SIGTERM)?;
    let begun = Instant::now();
    eventually(SOON, "streams that are told", async || {
        let told = replica
            .metric("lb_drain_parted_streams_total", &[kind])
            .await?;
        ensure!(told == count, "{told} {kind}");
        Ok(())
    })
    .await?;
    Ok(begun)
}

#[tokio::test]
async fn a_websocket_is_closed_between_two_frames_at_both_ends() -> Result<()> {
    let (mut platform, mut near, mut far) = websocket().await?;
    // Both directions are in the middle of a frame when its turn comes.
    let down = far.frame(TEXT, &[b'd'; 70_000]);
    let up = near.frame(TEXT, &[b'u'; 300]);
    far.write(&down[..50_000]).await?;
    near.write(&up[..3]).await?;
    leave(&mut platform, "r1-a", "websocket", 1.0).await?;
    // The ends of the frames, and one that comes after the turn.
    far.write(&down[50_000..]).await?;
    far.send(TEXT, b"too late").await?;
    near.write(&up[3..]).await?;
    near.send(TEXT, b"too late").await?;
    let (whole, close) = (next(&mut near).await?, next(&mut near).await?);
    ensure!(whole.payload == [b'd'; 70_000] && !whole.masked, "torn");
    ensure!(close.close_code()? == 1001 && !close.masked, "{close:?}");
    let (whole, close) = (next(&mut far).await?, next(&mut far).await?);
    ensure!(whole.payload == [b'u'; 300] && whole.masked, "torn");
    ensure!(close.close_code()? == 1001 && close.masked, "{close:?}");
    let answered = Instant::now();
    near.send(8, &close.payload).await?;
    far.send(8, &close.payload).await?;
    let end = timeout(SOON, near.next()).await??;
    ensure!(end.is_none(), "{end:?}");
    ensure!(
        answered.elapsed() < Duration::from_millis(700),
        "both had answered: there is nothing to wait for"
    );
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    let output = replica.output();
    ensure!(!output.contains("cut off"), "{output}");
    Ok(())
}

#[tokio::test]
async fn who_does_not_answer_a_close_frame_is_not_waited_for() -> Result<()> {
    let (mut platform, mut near, _far) = websocket().await?;
    let begun = leave(&mut platform, "r1-a", "websocket", 1.0).await?;
    ensure!(next(&mut near).await?.close_code()? == 1001);
    let told = Instant::now();
    let end = timeout(SOON, near.next()).await??;
    ensure!(end.is_none(), "{end:?}");
    let waited = told.elapsed();
    ensure!(
        waited > Duration::from_millis(700),
        "an answer takes its time: {waited:?}"
    );
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    let took = begun.elapsed();
    ensure!(took < DEADLINE, "done before the deadline: {took:?}");
    let output = replica.output();
    ensure!(!output.contains("cut off"), "{output}");
    Ok(())
}

/// The control: what a websocket sees of a process that just ends.
#[tokio::test]
async fn a_second_signal_closes_no_websocket() -> Result<()> {
    let (mut platform, mut near, _far) = websocket().await?;
    let replica = platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    eventually(SOON, "the drain", async || {
        let status = replica.status().await?;
        ensure!(status["lifecycle"] == "draining", "{status}");
        Ok(())
    })
    .await?;
    replica.signal(Signal::SIGTERM)?;
    match timeout(SOON, near.next()).await? {
        Ok(Some(frame)) => bail!("it was told: {frame:?}"),
        Ok(None) | Err(_) => Ok(()),
    }
}

#[tokio::test]
async fn real_ends_of_a_websocket_see_1001_through_both_tiers() -> Result<()> {
    let mut peer = peers::websocket_server().await?;
    for leaves in ["g1", "r1-a"] {
        let mut platform = Topology::two_tier()
            .external_pool("web", &[peer.address], Upstream::Http1)
            .tune_global(|file| file.front.shutdown = LEAVE.to_owned())
            .tune_regional(|file| file.front.shutdown = LEAVE.to_owned())
            .start()
            .await?;
        let held = peers::websocket_held(platform.address()?).await?;
        platform.replica(leaves)?.signal(Signal::SIGTERM)?;
        let report = held.told(SOON).await?;
        ensure!(report["code"] == 1001, "{leaves}: {report}");
        peer.process.wait_line("^closed 1001 ", SOON).await?;
        let replica = platform.replica(leaves)?;
        ensure!(replica.process()?.wait_exit(SOON).await?.success());
    }
    Ok(())
}

#[tokio::test]
async fn a_grpc_call_that_goes_on_is_told_to_ask_elsewhere() -> Result<()> {
    let peer = peers::grpc_server("g").await?;
    let mut platform = Topology::two_tier()
        .external_pool("web", &[peer.address], Upstream::H2c)
        .tune_global(|file| {
            for region in &mut file.regions {
                region.extra = "protocol: h2".to_owned();
            }
        })
        .tune_regional(|file| {
            file.front.shutdown = LEAVE.to_owned();
            for pool in &mut file.pools {
                pool.health_check = Some("enabled: false".to_owned());
            }
        })
        .start()
        .await?;
    let held = peers::grpc_held(platform.address()?).await?;
    platform.replica("r1-a")?.signal(Signal::SIGTERM)?;
    let report = held.told(SOON).await?;
    ensure!(
        report["code"] == "StatusCode.UNAVAILABLE" && report["details"] == "leaving",
        "{report}"
    );
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    let output = replica.output();
    ensure!(!output.contains("cut off"), "{output}");
    Ok(())
}

/// Events end whole; a download that is too slow must not look whole.
#[tokio::test]
async fn events_end_properly_and_downloads_are_cut() -> Result<()> {
    let server = Server::builder("s")
        .script(|s| (s.chunk_delay, s.chunk_bytes) = (Duration::from_millis(100), 1_000))
        .start()
        .await?;
    let plan = Topology::regional().external_pool("web", &[server.address()], Upstream::Http1);
    let mut platform = plan
        .tune_regional(|file| file.front.shutdown = LEAVE.to_owned())
        .start()
        .await?;
    let address = platform.address()?;
    let ask = |dial: Dial, path: &'static str| {
        tokio::spawn(async move {
            let request = Request::get(path).body(client::empty())?;
            dial.connect().await?.send(request).await
        })
    };
    let events = [Dial::http1(address), Dial::h2c(address)].map(|dial| ask(dial, "/events/100000"));
    let download = ask(Dial::http1(address), "/chunked/100000000");
    let (send, connection) = h2::client::handshake(TcpStream::connect(address).await?).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("http://t/chunked/100000000").body(())?;
    let (response, _) = send.ready().await?.send_request(request, true)?;
    eventually(SOON, "requests under way", async || {
        let count = server.ledger().counts().in_flight;
        ensure!(count == 4, "{count}");
        Ok(())
    })
    .await?;
    leave(&mut platform, "r1-a", "events", 2.0).await?;
    for answer in events {
        let answer = answer.await?.context("events")?;
        ensure!(answer.text().starts_with("id: 0"), "{answer:?}");
    }
    let cut = download.await?;
    ensure!(cut.is_err(), "half a body as a whole one: {cut:?}");
    let mut body = response.await?.into_body();
    let cut = loop {
        match body.data().await {
            Some(Ok(piece)) => body.flow_control().release_capacity(piece.len())?,
            end => break end,
        }
    };
    ensure!(matches!(cut, Some(Err(_))), "half a body as a whole one");
    let Err(error) = connection.await? else {
        bail!("the connection ended without a word");
    };
    ensure!(
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::CANCEL),
        "{error:?}"
    );
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    let output = replica.output();
    ensure!(output.contains("2 requests were cut off"), "{output}");
    Ok(())
}

/// HTTP/2 writes beside its streams: the last of a response may wait for its client after the stream has ended.
#[tokio::test]
async fn what_was_answered_last_is_delivered_before_the_exit() -> Result<()> {
    const LARGE: usize = 6_000_000;
    let server = Server::start("s").await?;
    let plan = Topology::regional().external_pool("web", &[server.address()], Upstream::Http1);
    let mut platform = plan
        .tune_regional(|file| file.front.shutdown = "lame_duck: 0s, drain: 20s".to_owned())
        .start()
        .await?;
    // What the kernel holds is less than the body, and what is read at a time is little.
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(32 << 10)?;
    let stream = socket.connect(platform.address()?).await?;
    let shaken = h2::client::Builder::new()
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30)
        .handshake::<_, bytes::Bytes>(stream)
        .await?;
    let (send, mut connection) = shaken;
    let request = Request::get(format!("http://t/bytes/{LARGE}")).body(())?;
    let (response, _) = send.ready().await?.send_request(request, true)?;
    // Reads up to the head and then nothing more, so that the socket's buffers fill.
    let response = tokio::select! {
        response = response => response?,
        ended = &mut connection => bail!("{ended:?}"),
    };
    let replica = platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    let (head, mut body) = response.into_parts();
    let seed = head.headers.get(BODY_SEED).context("a seed")?.to_str()?;
    let mut checker = strata_tests::pattern::Checker::new(seed.parse()?);
    let reading = async {
        while let Some(piece) = body.data().await {
            let piece = piece?;
            checker.feed(&piece);
            body.flow_control().release_capacity(piece.len())?;
        }
        anyhow::Ok(())
    };
    let slowly = async {
        let mut connection = std::pin::pin!(connection);
        loop {
            let ended = timeout(Duration::from_millis(1), connection.as_mut()).await;
            if ended.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    let (read, ()) = timeout(SOON * 3, async { tokio::join!(reading, slowly) }).await?;
    read.context("the body")?;
    ensure!(
        checker.is_intact() && checker.seen() == LARGE as u64,
        "{} bytes",
        checker.seen()
    );
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    Ok(())
}
