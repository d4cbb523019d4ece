//! `systemctl stop` moments after a reload: two processes are at work, and each finishes it. One that does not end is ended at
//! `TimeoutStopSec`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::topology::Tier;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::rig::{Rig, SOON};
use crate::service::serves;
use crate::systemd::{Systemd, is_there};

const UNIT: &str = "regional-lb";

/// Asks for what takes a while, and waits until it has arrived at a server.
async fn slow(rig: &Rig, takes: Duration) -> Result<JoinHandle<Result<http::Answer>>> {
    let arrived = || -> usize {
        let ledgers = rig.platform.servers();
        ledgers.map(|server| server.ledger().seen().len()).sum()
    };
    for server in rig.platform.servers() {
        server.script(|b| b.head_delay = takes);
    }
    let (before, address): (_, SocketAddr) = (arrived(), rig.platform.address()?);
    let held = tokio::spawn(async move { http::get(address, "/").await });
    eventually(SOON, "a request under way", async || {
        ensure!(arrived() > before);
        Ok(())
    })
    .await?;
    // Probes are to be answered at once.
    for server in rig.platform.servers() {
        server.behave();
    }
    Ok(held)
}

async fn started(rig: &mut Rig) -> Result<Systemd> {
    let systemd = Systemd::of(rig, &[(UNIT, "r1-a")]).await?;
    systemd.must(&["start", UNIT]).await?;
    serves(rig.platform.address()?).await?;
    Ok(systemd)
}

/// The process that serves, which has to be systemd's own child.
async fn child(systemd: &Systemd) -> Result<String> {
    let pid = systemd.property(UNIT, "MainPID").await?;
    let status = std::fs::read_to_string(systemd.path(&format!("/proc/{pid}/status")))?;
    ensure!(status.contains("PPid:\t1\n"), "{status}");
    Ok(pid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_in_both_is_finished() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let mut rig = Rig::start(Tier::Regional, "5s").await?;
    let systemd = started(&mut rig).await?;
    let old = child(&systemd).await?;
    // The reload takes 5 s and a bit.
    let first = slow(&rig, Duration::from_secs(9)).await?;
    systemd.must(&["reload", UNIT]).await?;
    let new = child(&systemd).await?;
    ensure!(new != old);
    let second = slow(&rig, Duration::from_secs(1)).await?;
    let begun = Instant::now();
    systemd.must(&["stop", UNIT]).await?;
    for held in [second, first] {
        let answer = held.await?;
        let answer = answer.map_err(|error| systemd.process.with_tail(error))?;
        ensure!(answer.status == 200, "{}", answer.status);
    }
    ensure!(
        begun.elapsed() > Duration::from_millis(900),
        "systemd waited"
    );
    ensure!(systemd.property(UNIT, "Result").await? == "success");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_end_is_ended_when_its_time_is_over() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let mut rig = Rig::start(Tier::Regional, "5s").await?;
    let systemd = started(&mut rig).await?;
    let unit = systemd.path("/usr/lib/systemd/system/regional-lb.service");
    let text = std::fs::read_to_string(&unit)?;
    let short = text.replace("TimeoutStopSec=", "TimeoutStopSec=4\n#");
    ensure!(short != text);
    std::fs::write(&unit, short)?;
    systemd.must(&["daemon-reload"]).await?;
    systemd.must(&["reload", UNIT]).await?;
    let new = child(&systemd).await?;
    // It would be given 9 s by its own configuration. A SIGSTOP would not do: systemd sends SIGCONT after SIGTERM.
    let held = slow(&rig, Duration::from_secs(30)).await?;
    let begun = Instant::now();
    systemd.must(&["stop", UNIT]).await?;
    let took = begun.elapsed();
    ensure!((3500..8000).contains(&took.as_millis()), "{took:?}");
    ensure!(held.await?.is_err(), "the control: it was cut");
    let result = systemd.property(UNIT, "Result").await?;
    ensure!(result == "timeout", "{result}");
    ensure!(!systemd.path(&format!("/proc/{new}")).exists(), "it lives");
    Ok(())
}
