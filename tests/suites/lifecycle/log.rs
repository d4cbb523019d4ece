//! The access log at the end of a process: every request has its line, those that were cut included, and a reader that hangs holds
//! nothing up.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use nix::sys::signal::Signal;
use serde_json::Value;
use strata_tests::eventually;
use strata_tests::http::{self as client, Dial, empty};
use strata_tests::topology::{Platform, Topology};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(10);
/// Lines of so many requests do not fit into a pipe.
const MANY: usize = 400;
/// Between two reads of a slow reader.
const PAUSE: Duration = Duration::from_millis(50);

async fn start(shutdown: &'static str, log: &Path) -> Result<Platform> {
    let log = format!(
        "access_log: {{ path: \"{}\", sample: 100% }}\n",
        log.display()
    );
    let plan = Topology::regional().pool("web", 1);
    let plan = plan.tune_regional(move |file| {
        file.front.shutdown = shutdown.to_owned();
        file.extra += &log;
    });
    plan.start().await
}

fn fifo(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("log");
    ensure!(Command::new("mkfifo").arg(&path).status()?.success());
    Ok(path)
}

/// Asks for what is never answered.
async fn ask(dial: Dial) -> Result<client::Answer> {
    let mut conn = dial.connect().await?;
    conn.send(Request::get("/held").body(empty())?).await
}

/// One request over HTTP/1.1 and one over HTTP/2, under way.
async fn held(platform: &Platform) -> Result<Vec<JoinHandle<Result<client::Answer>>>> {
    for server in platform.servers() {
        server.script(|b| b.head_delay = Duration::from_secs(600));
    }
    let address = platform.address()?;
    let dials = [Dial::http1(address), Dial::h2c(address)];
    let held = dials.map(|dial| tokio::spawn(ask(dial)));
    let replica = &platform.regions[0].replicas[0];
    eventually(SOON, "two requests under way", async || {
        let status = replica.status().await?;
        ensure!(status["inflight"] == 2, "{status}");
        Ok(())
    })
    .await?;
    Ok(held.into())
}

fn lines(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().context(text.to_owned())
}

/// Each of both was cut, and says so.
async fn both_were_cut(
    held: Vec<JoinHandle<Result<client::Answer>>>,
    log: &Path,
    told: &str,
) -> Result<()> {
    for held in held {
        ensure!(held.await?.is_err(), "it can't have been answered");
    }
    ensure!(told.contains("2 requests were cut off"), "{told}");
    let lines = lines(&std::fs::read_to_string(log)?)?;
    let cut = lines.iter().filter(|line| line["path"] == "/held");
    let mut protocols: Vec<_> = cut
        .map(|line| (line["proto"].as_str(), line["flags"].as_str()))
        .collect();
    protocols.sort_unstable();
    let wanted = [(Some("HTTP/1.1"), Some("DR")), (Some("HTTP/2"), Some("DR"))];
    ensure!(protocols == wanted, "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_cut_at_the_deadline_has_its_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("log");
    let mut platform = start("lame_duck: 0s, drain: 300ms", &log).await?;
    let held = held(&platform).await?;
    let replica = platform.replica("r1-a")?;
    ensure!(replica.process()?.terminate(SOON).await?.success());
    both_were_cut(held, &log, &replica.output()).await
}

#[tokio::test]
async fn what_a_second_signal_cuts_has_its_line_and_is_counted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("log");
    let mut platform = start("lame_duck: 0s, drain: 600s", &log).await?;
    let held = held(&platform).await?;
    let replica = platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    replica.process()?.wait_line("draining", SOON).await?;
    ensure!(replica.process()?.terminate(SOON).await?.success());
    both_were_cut(held, &log, &replica.output()).await
}

/// A platform whose log nobody reads, after many requests.
async fn unread(dir: &Path) -> Result<(Platform, File)> {
    let log = fifo(dir)?;
    let path = log.clone();
    // The open waits for the other.
    let reader = std::thread::spawn(move || File::open(path));
    let platform = start("lame_duck: 0s, drain: 1s", &log).await?;
    let reader = reader.join().ok().context("the reader")??;
    let address: SocketAddr = platform.address()?;
    let mut conn = Dial::http1(address).connect().await?;
    for _ in 0..MANY {
        let answer = conn.send(Request::get("/many").body(empty())?).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok((platform, reader))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_the_last_lines() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut platform, reader) = unread(dir.path()).await?;
    let address = platform.address()?;
    let replica = platform.replica("r1-a")?;
    replica.signal(Signal::SIGTERM)?;
    eventually(SOON, "a closed listener", async || {
        ensure!(client::get(address, "/").await.is_err());
        Ok(())
    })
    .await?;
    // What fits into the pipe is in it, and the rest waits in the process.
    let mut reader = Receiver::from_file(reader)?;
    let reading = tokio::spawn(async move {
        let (mut all, mut piece) = (Vec::new(), vec![0; 16 << 10]);
        loop {
            match reader.read(&mut piece).await? {
                0 => return anyhow::Ok(String::from_utf8(all)?),
                count => all.extend_from_slice(&piece[..count]),
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    ensure!(replica.process()?.wait_exit(SOON).await?.success());
    let lines = lines(&reading.await??)?;
    let many = lines.iter().filter(|line| line["path"] == "/many").count();
    ensure!(many == MANY, "{many} of {MANY}");
    ensure!(!replica.output().contains("are lost"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_hangs_does_not_hold_the_exit_up() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut platform, _reader) = unread(dir.path()).await?;
    let replica = platform.replica("r1-a")?;
    let begun = Instant::now();
    ensure!(replica.process()?.terminate(SOON).await?.success());
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(6), "{took:?}");
    let output = replica.output();
    ensure!(
        output.contains("lines of the access log are lost"),
        "{output}"
    );
    Ok(())
}
