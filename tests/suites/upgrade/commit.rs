//! Real successors that fail at the commit, between the order to begin and their word that they have.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use strata_tests::disk::Disk;
use strata_tests::eventually;
use strata_tests::process::{Launch, Process};
use strata_tests::server::Health;
use strata_tests::tools;
use strata_tests::topology::Tier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::fake::Fake;
use crate::requests::Requests;
use crate::rig::{Rig, SOON, plan};

const LONG: Duration = Duration::from_secs(60);

/// How far a process is, asked at its own socket.
async fn ask(directory: &Path, pid: i32) -> Result<Value> {
    let mut stream = UnixStream::connect(directory.join(format!("admin-{pid}.sock"))).await?;
    let request = b"GET /api/v1/handover HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (_, body) = text.split_once("\r\n\r\n").context("no body")?;
    Ok(serde_json::from_str(body)?)
}

/// A rig whose successors wait a second for a probe.
async fn slow_to_warm_up() -> Result<Rig> {
    let plan = plan(Tier::Regional, "5s").tune_regional(|file| {
        for pool in &mut file.pools {
            let check = "http: { path: /healthz }, interval: 2s, timeout: 1s, fall: 5";
            pool.health_check = Some(check.to_owned());
        }
    });
    Rig::of(Tier::Regional, plan).await
}

async fn stopped(rig: &Rig, pid: i32) -> Result<()> {
    rig.signal(pid, Signal::SIGSTOP)?;
    eventually(SOON, "a frozen process", async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        ensure!(stat.contains(") T "), "{stat}");
        Ok(())
    })
    .await
}

/// A real successor that has the sockets, and waits a second for a probe.
async fn warming_up(rig: &Rig, old: i32) -> Result<(Process, i32)> {
    let holds = rig.platform.servers().next().context("no server")?;
    holds.script(|b| b.health = Health::Hang);
    let lbctl = Launch::new("lbctl", tools::program("lbctl")?)
        .args(["upgrade", "--run-directory"])
        .arg(rig.run_directory())
        .start()?;
    let new = eventually(SOON, "a successor that warms up", async || {
        let state = ask(&rig.run_directory(), old).await?;
        ensure!(state["phase"] == "greeted", "{state}");
        state["peer_pid"].as_i64().context("no pid")
    })
    .await?;
    Ok((lbctl, i32::try_from(new)?))
}

/// Freezes a real successor between its `ready` and its `took`: the order to begin lies unread before it, and the old process has
/// given it up. Tells its pid.
async fn frozen_at_the_commit(rig: &mut Rig) -> Result<(Process, i32)> {
    let old = rig.pid()?;
    let (lbctl, new) = warming_up(rig, old).await?;
    // It would answer within microseconds: neither may go on before the other stands still.
    stopped(rig, old).await?;
    let holds = rig.platform.servers().next().context("no server")?;
    holds.behave();
    eventually(SOON, "a successor that is ready", async || {
        let state = ask(&rig.run_directory(), new).await?;
        let pending = state["pending"].as_array().map(Vec::len);
        ensure!(
            state["phase"] == "waiting" && pending.unwrap_or(0) == 0,
            "{state}"
        );
        Ok(())
    })
    .await?;
    stopped(rig, new).await?;
    rig.signal(old, Signal::SIGCONT)?;
    eventually(SOON, "the old process", async || {
        let state = ask(&rig.run_directory(), old).await?;
        ensure!(
            state["phase"] == "none" && state["last"]["ok"] == false,
            "{state}"
        );
        Ok(())
    })
    .await?;
    ensure!(rig.log().contains("failed to begin"), "{}", rig.log());
    Ok((lbctl, new))
}

/// The old process serves, can be upgraded, and nobody else may begin there.
async fn as_before(rig: &mut Rig, old: i32) -> Result<()> {
    let directory = rig.run_directory();
    eventually(SOON, "the files of the old process", async || {
        ensure!(rig.pid()? == old);
        let about = std::fs::symlink_metadata(directory.join("upgrade.sock"))?;
        ensure!(about.mode() & 0o777 == 0o600);
        Ok(())
    })
    .await?;
    rig.serves(old).await?;
    let second = Launch::new("second", tools::program("regional-lb")?)
        .args(["run", "--config"])
        .arg(rig.config());
    let (status, output) = second.run(SOON).await?;
    ensure!(
        !status.success() && output.contains("serves from"),
        "{output}"
    );
    let next = rig.upgraded(&["--no-wait"]).await?;
    rig.serves(next).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_finds_the_disk_full_takes_nothing_over() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let disk = Disk::mount(dir.path())?;
    let path = disk.path().display().to_string();
    let plan = plan(Tier::Regional, "200ms").tune_regional(move |file| {
        file.extra = file.extra.replace(
            "run_directory: r1-a.run",
            &format!("run_directory: \"{path}\""),
        );
    });
    let mut rig = Rig::of(Tier::Regional, plan).await?;
    let old = rig.pid()?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    disk.fill();
    rig.refused(&[], 1, "ended").await?;
    ensure!(rig.log().contains("No space left"), "{}", rig.log());
    ensure!(!rig.log().contains("serves again"), "{}", rig.log());
    users.at_work().await?;
    disk.clear()?;
    as_before(&mut rig, old).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_while_it_warms_up_changes_nothing() -> Result<()> {
    let mut rig = slow_to_warm_up().await?;
    let old = rig.pid()?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    let (mut lbctl, new) = warming_up(&rig, old).await?;
    rig.signal(new, Signal::SIGKILL)?;
    rig.gone(new).await?;
    let status = lbctl.wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "{status}: {}", lbctl.output());
    for server in rig.platform.servers() {
        server.behave();
    }
    users.at_work().await?;
    as_before(&mut rig, old).await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_at_the_commit_is_replaced_by_the_old() -> Result<()> {
    let mut rig = slow_to_warm_up().await?;
    let old = rig.pid()?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    let (mut lbctl, new) = frozen_at_the_commit(&mut rig).await?;
    rig.signal(new, Signal::SIGKILL)?;
    rig.gone(new).await?;
    let status = lbctl.wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "{status}: {}", lbctl.output());
    users.at_work().await?;
    as_before(&mut rig, old).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_wakes_after_it_was_given_up_gives_the_directory_back() -> Result<()> {
    let mut rig = slow_to_warm_up().await?;
    let old = rig.pid()?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    let (mut lbctl, new) = frozen_at_the_commit(&mut rig).await?;
    rig.signal(new, Signal::SIGCONT)?;
    rig.gone(new).await?;
    let status = lbctl.wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "{status}: {}", lbctl.output());
    users.at_work().await?;
    as_before(&mut rig, old).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stops_with_its_files_in_place_loses_them() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "5s").await?;
    let old = rig.pid()?;
    let users = Requests::start(rig.platform.address()?)?;
    users.at_work().await?;
    let directory = rig.run_directory();
    let (mut fake, ids) = Fake::greeted(&directory, LONG).await?;
    fake.say(&json!({ "say": "ready", "taken": ids })).await?;
    let answer = fake.hear().await?;
    ensure!(answer["say"] == "commit", "{answer}");
    // What a successor does next, until it stands still.
    let draft = directory.join("upgrade-draft.sock");
    let theirs = std::os::unix::net::UnixListener::bind(&draft)?;
    std::fs::rename(&draft, directory.join("upgrade.sock"))?;
    std::fs::write(directory.join("pid"), format!("{}\n", std::process::id()))?;
    let answer = fake.hear().await?;
    ensure!(answer["say"] == "resumed", "{answer}");
    fake.closed().await?;
    drop(theirs);
    as_before(&mut rig, old).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}
