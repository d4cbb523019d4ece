//! systemd's watchdog: a service that hangs is started anew, also after a reload, and one that leaves is not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use strata_tests::eventually;
use strata_tests::http::{Dial, empty};
use strata_tests::topology::Tier;

use crate::requests::Requests;
use crate::rig::{Rig, SOON, plan};
use crate::service::serves;
use crate::systemd::{Systemd, is_there};

const UNITS: [&str; 2] = ["regional-lb", "global-lb"];

/// The shipped unit with a shorter period, or with none.
fn hurried(unit: &str, period: Option<&str>) -> String {
    let lines = unit.lines().filter_map(|line| match line.split_once('=') {
        Some(("WatchdogSec", _)) => period.map(|period| format!("WatchdogSec={period}")),
        Some(("TimeoutAbortSec", _)) => Some("TimeoutAbortSec=1".to_owned()),
        _ => Some(line.to_owned()),
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// When the service was last fed, in microseconds.
async fn fed_at(systemd: &Systemd, unit: &str) -> Result<u64> {
    let text = systemd.property(unit, "WatchdogTimestampMonotonic").await?;
    Ok(text.parse()?)
}

/// The machine's number of a process of that systemd.
fn outer(systemd: &Systemd, pid: &str) -> Result<i32> {
    let space = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let is_it = |outer: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{outer}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("NSpid:"));
        let inner = line.and_then(|line| line.split_whitespace().last());
        inner == Some(pid) && space(*outer) == space(systemd.init())
    };
    let all = std::fs::read_dir("/proc")?.flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(is_it)
        .with_context(|| format!("no process {pid}"))
}

/// Stops a process, as one hangs that can't even end.
fn freeze(systemd: &Systemd, pid: &str) -> Result<()> {
    let pid = Pid::from_raw(outer(systemd, pid)?);
    Ok(kill(pid, Signal::SIGSTOP)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_starts_a_service_anew_that_hangs() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let mut rig = Rig::start(Tier::Global, "5s").await?;
    let address = rig.platform.address()?;
    // The control: the global tier has no watchdog.
    let services = [("regional-lb", "r1-a"), ("global-lb", "g1")];
    let edit = |name: &str, unit: &str| hurried(unit, (name == "regional-lb").then_some("3"));
    let systemd = Systemd::with(&mut rig, &services, edit).await?;
    for unit in UNITS {
        systemd.must(&["start", unit]).await?;
    }
    serves(address).await?;
    let mut frozen = Vec::new();
    for unit in UNITS {
        let pid = systemd.property(unit, "MainPID").await?;
        freeze(&systemd, &pid)?;
        frozen.push(pid);
    }
    eventually(SOON, "another process", async || {
        let pid = systemd.property("regional-lb", "MainPID").await?;
        ensure!(pid != frozen[0] && pid != "0", "{pid}");
        ensure!(systemd.property("regional-lb", "ActiveState").await? == "active");
        Ok(())
    })
    .await
    .map_err(|error| systemd.process.with_tail(error))?;
    let left = systemd.property("global-lb", "MainPID").await?;
    ensure!(left == frozen[1], "without a watchdog it hangs on: {left}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reload_the_successor_is_watched() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    // Longer than the test: a predecessor that fed would hide its successor for all that time.
    let plan = plan(Tier::Global, "5s").tune_global(|file| {
        file.front.shutdown = "lame_duck: 1s, drain: 100s, stream_drain: 100s".to_owned();
    });
    let mut rig = Rig::of(Tier::Global, plan).await?;
    let address = rig.platform.address()?;
    let services = [("regional-lb", "r1-a"), ("global-lb", "g1")];
    let systemd = Systemd::with(&mut rig, &services, |_, unit| hurried(unit, Some("3"))).await?;
    for unit in UNITS {
        systemd.must(&["start", unit]).await?;
    }
    serves(address).await?;
    let users = Requests::start(address)?;
    users.at_work().await?;
    let unit = "global-lb";
    let before = systemd.property(unit, "MainPID").await?;
    systemd.must(&["reload", unit]).await?;
    let pid = systemd.property(unit, "MainPID").await?;
    ensure!(pid != before, "{pid}");
    // Longer than a period after it, the successor is the service, and fed.
    let began = fed_at(&systemd, unit).await?;
    eventually(SOON, "a fed successor", async || {
        let fed = fed_at(&systemd, unit).await?;
        ensure!(fed > began + 7_000_000, "{fed} {began}");
        Ok(())
    })
    .await
    .map_err(|error| systemd.process.with_tail(error))?;
    ensure!(systemd.property(unit, "MainPID").await? == pid);
    ensure!(systemd.property(unit, "NRestarts").await? == "0");
    users.satisfied(&rig.platform).await?;
    // The next time its predecessor has a download to finish: that one does not speak for it.
    let before = pid;
    for server in rig.platform.servers() {
        server.script(|behaviour| behaviour.chunk_delay = Duration::from_secs(2));
    }
    let mut user = Dial::http1(address).connect().await?;
    let request = Request::get(format!("/bytes/{}", 60 * 16 * 1024)).body(empty())?;
    let _download = user.begin(request).await?;
    systemd.must(&["reload", unit]).await?;
    let pid = systemd.property(unit, "MainPID").await?;
    ensure!(pid != before, "{pid}");
    outer(&systemd, &before).context("the predecessor has ended")?;
    freeze(&systemd, &pid)?;
    eventually(SOON, "another process", async || {
        let next = systemd.property(unit, "MainPID").await?;
        ensure!(next != pid && next != "0", "{next}");
        ensure!(systemd.property(unit, "NRestarts").await? == "1");
        Ok(())
    })
    .await
    .map_err(|error| systemd.process.with_tail(error))
}

/// What is written next to `StartLimitIntervalSec=0`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_put_right_is_served_without_a_hand() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let mut rig = Rig::start(Tier::Global, "5s").await?;
    let address = rig.platform.address()?;
    let services = [("regional-lb", "r1-a"), ("global-lb", "g1")];
    let hurry = |_: &str, unit: &str| unit.replace("RestartSec=1\n", "RestartSec=10ms\n");
    let systemd = Systemd::with(&mut rig, &services, hurry).await?;
    let file = systemd.path("/etc/strata/global-lb.yaml");
    let good = std::fs::read_to_string(&file)?;
    std::fs::write(&file, good.replace("listeners:", "lissteners:"))?;
    systemd.must(&["start", "regional-lb"]).await?;
    ensure!(systemd.systemctl(&["start", "global-lb"]).await.is_err());
    // systemd's own limit is 5 starts in 10 s.
    eventually(SOON, "many tries", async || {
        let tries: u32 = systemd.property("global-lb", "NRestarts").await?.parse()?;
        ensure!(tries > 8, "{tries}");
        Ok(())
    })
    .await?;
    std::fs::write(&file, good)?;
    serves(address).await
}
