//! What only an upgrade can change: threads, listeners, the admin address.

use anyhow::{Result, ensure};
use strata_tests::http;
use strata_tests::process::Launch;
use strata_tests::tools;
use strata_tests::topology::Tier;
use strata_tests::{eventually, ports};

use crate::requests::Requests;
use crate::rig::{Rig, SOON, rewrite};

/// Sockets that listen at an address.
fn sockets(port: u16) -> Result<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let wanted = format!(":{port:04X} 00000000:0000 0A");
    Ok(table.lines().filter(|line| line.contains(&wanted)).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_come_and_go() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let address = rig.platform.address()?;
    let users = Requests::start(address)?;
    users.at_work().await?;
    for (threads, listening) in [(1, 2), (4, 4), (3, 4), (1, 4)] {
        rewrite(&rig.config(), |text| {
            let (head, _) = text.split_once("threads:").unwrap_or((&text, ""));
            format!("{head}threads: {threads}\n")
        })?;
        let pid = rig.upgraded(&["--no-wait"]).await?;
        rig.serves(pid).await?;
        let status = rig.status().await?;
        ensure!(status["threads"] == threads, "{status}");
        // Those of more threads begin with the end of the probation.
        eventually(SOON, "all sockets", async || {
            let count = sockets(address.port())?;
            ensure!(count == listening, "{count} sockets for {threads} threads");
            Ok(())
        })
        .await?;
        users.at_work().await?;
    }
    rewrite(&rig.config(), |text| text + "threading: work_stealing\n")?;
    rig.upgraded(&["--no-wait"]).await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_socket_becomes_several() -> Result<()> {
    let plan = crate::rig::plan(Tier::Regional, "200ms")
        .tune_regional(|file| file.extra = file.extra.replace("threads: 2", "threads: 1"));
    let rig = Rig::of(Tier::Regional, plan).await?;
    let address = rig.platform.address()?;
    ensure!(sockets(address.port())? == 1);
    let users = Requests::start(address)?;
    users.at_work().await?;
    rewrite(&rig.config(), |text| {
        text.replace("threads: 1", "threads: 2")
    })?;
    rig.upgraded(&["--no-wait"]).await?;
    eventually(SOON, "a second socket", async || {
        ensure!(sockets(address.port())? == 2);
        Ok(())
    })
    .await?;
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_come_and_go() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let address = rig.platform.address()?;
    let more = ports::free()?;
    let users = Requests::start(address)?;
    users.at_work().await?;
    rewrite(&rig.config(), |text| {
        let both = format!("listeners:\n  - {{ name: more, address: \"{more}\" }}");
        text.replace("listeners:", &both)
    })?;
    ensure!(http::get(more, "/").await.is_err(), "not yet");
    rig.upgraded(&["--no-wait"]).await?;
    ensure!(http::get(more, "/").await?.status == 200);
    users.at_work().await?;
    rewrite(&rig.config(), |text| {
        let lines = text.lines().filter(|line| !line.contains("name: more"));
        lines.map(|line| format!("{line}\n")).collect()
    })?;
    let old = rig.pid()?;
    let new = rig.upgraded(&["--no-wait"]).await?;
    // Whoever still comes there is served through the lame duck of the old process.
    eventually(SOON, "a closed listener", async || {
        ensure!(http::get(more, "/").await.is_err());
        Ok(())
    })
    .await?;
    rig.gone(old).await?;
    rig.serves(new).await?;
    users.satisfied(&rig.platform).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_address_moves() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let was = rig.platform.replica("r1-a")?.admin();
    let next = ports::free()?;
    rewrite(&rig.config(), |text| {
        text.replace(&was.to_string(), &next.to_string())
    })?;
    let (old, new) = (rig.pid()?, rig.upgraded(&[]).await?);
    let status = http::get(next, "/api/v1/status").await?.json()?;
    ensure!(status["pid"] == new, "{status}");
    rig.gone(old).await?;
    ensure!(http::get(was, "/livez").await.is_err(), "the old address");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_changes_nothing() -> Result<()> {
    let mut rig = Rig::start(Tier::Global, "200ms").await?;
    let pid = rig.pid()?;
    let verdict = rig.upgrade(&["--dry-run"]).await?;
    ensure!(verdict.status.success(), "{verdict:?}");
    ensure!(verdict.output.contains("would start"), "{verdict:?}");
    rig.serves(pid).await?;
    let state = rig.handover().await?;
    ensure!(state["attempts"] == 0, "{state}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ordered_stays_in_force() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    let socket = rig
        .run_directory()
        .join(format!("admin-{}.sock", rig.pid()?));
    let order = Launch::new("lbctl", tools::program("lbctl")?).args(["server", "drain"]);
    let order = order.args([
        "web/r1-web-1",
        "--actor",
        "me",
        "--reason",
        "a test",
        "--force",
        "--admin",
    ]);
    order
        .arg(format!("unix:{}", socket.display()))
        .run_ok(SOON)
        .await?;
    rig.upgraded(&["--no-wait"]).await?;
    let status = rig.status().await?;
    let server = &status["pools"][0]["endpoints"][0];
    ensure!(server["server"] == "r1-web-1", "{server}");
    ensure!(server["state"] == "drained", "{server}");
    Ok(())
}
