//! Signals that must not end a process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use strata_tests::process::{Launch, Process};
use strata_tests::topology::{Platform, Topology};
use strata_tests::{eventually, http, tools};

const SOON: Duration = Duration::from_secs(10);

/// Starts the replica's program again, held up before it serves: to open its log waits for a reader.
async fn held_up(platform: &mut Platform, dir: &Path) -> Result<Process> {
    let log = dir.join("log");
    ensure!(Command::new("mkfifo").arg(&log).status()?.success());
    let replica = platform.replica("r1-a")?;
    replica.kill();
    let config = dir.join("held.yaml");
    let text = std::fs::read_to_string(replica.config())?;
    let log = format!("access_log: {{ path: \"{}\" }}\n", log.display());
    std::fs::write(&config, text + &log)?;
    let launch = Launch::new("held", tools::program("regional-lb")?).args(["run", "--config"]);
    let mut process = launch.arg(&config).start()?;
    let at = format!("/proc/{}/wchan", process.pid());
    eventually(SOON, "a process that is held up", async || {
        let place = std::fs::read_to_string(&at)?;
        ensure!(place.contains("wait_for_partner"), "{place}");
        ensure!(process.is_running());
        Ok(())
    })
    .await?;
    Ok(process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_comes_before_it_serves_does_not_end_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut platform = Topology::regional().pool("web", 1).start().await?;
    let mut process = held_up(&mut platform, dir.path()).await?;
    for signal in [Signal::SIGHUP, Signal::SIGQUIT] {
        process.signal(signal)?;
    }
    let log = dir.path().join("log");
    let reader = tokio::task::spawn_blocking(move || std::fs::File::open(log));
    let admin = platform.replica("r1-a")?.admin();
    process.wait_http(admin, "/readyz", 200, SOON).await?;
    ensure!(http::get(platform.address()?, "/").await?.status == 200);
    let _reader = reader.await??;
    ensure!(process.terminate(SOON).await?.success());
    Ok(())
}

/// The control: what nobody takes ends it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_signal_before_it_serves_does() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut platform = Topology::regional().pool("web", 1).start().await?;
    let mut process = held_up(&mut platform, dir.path()).await?;
    process.signal(Signal::SIGTERM)?;
    let status = process.wait_exit(SOON).await?;
    ensure!(!status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn sigquit_without_a_successor_is_ignored_and_told() -> Result<()> {
    for plan in [Topology::regional(), Topology::two_tier()] {
        let mut platform = plan.pool("web", 1).start().await?;
        let address = platform.address()?;
        let name = if platform.globals.is_empty() {
            "r1-a"
        } else {
            "g1"
        };
        let replica = platform.replica(name)?;
        for _ in 0..2 {
            replica.signal(Signal::SIGQUIT)?;
        }
        let process = replica.process()?;
        process.wait_line("SIGQUIT is ignored", SOON).await?;
        ensure!(http::get(address, "/").await?.status == 200, "it serves on");
        let status = process.terminate(Duration::from_secs(60)).await?;
        ensure!(status.success(), "and ends as it should: {status}");
    }
    Ok(())
}
