//! Orders of operators while two processes share one `state.directory`: its lock goes to the successor, and the old process refuses.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use strata_tests::process::Launch;
use strata_tests::topology::Tier;
use strata_tests::{eventually, http, tools};

use crate::drills::on_probation;
use crate::rig::{Rig, SOON, plan};

/// Drains a server by a process's own admin socket.
async fn drain(run_directory: &Path, pid: i32, server: &str) -> Result<(i32, String)> {
    let admin = format!("unix:{}/admin-{pid}.sock", run_directory.display());
    let launch = Launch::new("lbctl", tools::program("lbctl")?)
        .env("USER", "ada")
        .args(["--admin", &admin, "server", "drain"])
        .arg(format!("web/{server}"))
        .args(["--reason", "x", "--override", "last_server"]);
    let (status, output) = launch.run(SOON).await?;
    Ok((status.code().context("killed")?, output))
}

/// The servers in the file.
fn written(directory: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(directory.join("orders.json"))?;
    let (_head, body) = text.split_once('\n').context("no head")?;
    let value: Value = serde_json::from_str(body).with_context(|| text.clone())?;
    let records = value.pointer("/snapshot/records").and_then(Value::as_array);
    let names = records.with_context(|| text.clone())?.iter().map(|record| {
        let name = record["scope"]["server"]["server"].as_str();
        name.map(str::to_owned).with_context(|| record.to_string())
    });
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_both_writes_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("state");
    let text = format!("state: {{ directory: \"{}\" }}\n", path.display());
    let plan = plan(Tier::Regional, "500ms").tune_regional(move |file| file.extra += &text);
    let mut rig = Rig::of(Tier::Regional, plan).await?;
    let servers: Vec<String> = rig
        .platform
        .servers()
        .map(|s| s.name().to_owned())
        .collect();
    let old = rig.pid()?;
    let (code, told) = drain(&rig.run_directory(), old, &servers[0]).await?;
    ensure!(code == 0 && !told.contains("not durable"), "{code} {told}");
    ensure!(written(&path)? == servers[..1]);
    for server in rig.platform.servers() {
        server.script(|b| b.head_delay = Duration::from_secs(3));
    }
    let address = rig.platform.address()?;
    let held = tokio::spawn(async move { http::get(address, "/").await });
    eventually(SOON, "a request under way", async || {
        let status = rig.status().await?;
        ensure!(status["inflight"] == 1, "{status}");
        Ok(())
    })
    .await?;
    for server in rig.platform.servers() {
        server.behave();
    }
    let new = rig.upgraded(&["--no-wait"]).await?;
    let (code, told) = drain(&rig.run_directory(), new, &servers[1]).await?;
    ensure!(code == 0 && !told.contains("not durable"), "{code} {told}");
    ensure!(written(&path)? == servers);
    let (code, told) = drain(&rig.run_directory(), old, &servers[1]).await?;
    ensure!(code == 1 && told.contains("let go of it"), "{code} {told}");
    ensure!(told.contains("not in force"), "{told}");
    ensure!(held.await??.status == 200);
    rig.gone(old).await?;
    ensure!(written(&path)? == servers, "the end of the old one");
    let mut left: Vec<String> = std::fs::read_dir(&path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    left.sort();
    ensure!(
        left == ["orders.json", "orders.json.1", "orders.lock"],
        "{left:?}"
    );
    rig.signal(new, Signal::SIGKILL)?;
    rig.gone(new).await?;
    rig.platform.replica("r1-a")?.restart().await?;
    let last = rig.pid()?;
    let admin = format!("unix:{}/admin-{last}.sock", rig.run_directory().display());
    let launch = Launch::new("lbctl", tools::program("lbctl")?);
    let listed = launch.args(["--admin", &admin, "server", "drains"]);
    let listed = listed.run_ok(SOON).await?;
    for server in &servers {
        ensure!(listed.contains(server), "{server}: {listed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_a_dead_successor_took_is_in_force_at_the_old() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("state");
    let text = format!("state: {{ directory: \"{}\" }}\n", path.display());
    let plan = plan(Tier::Regional, "30s").tune_regional(move |file| file.extra += &text);
    let mut rig = Rig::of(Tier::Regional, plan).await?;
    let servers: Vec<String> = rig
        .platform
        .servers()
        .map(|s| s.name().to_owned())
        .collect();
    let old = rig.pid()?;
    let (mut lbctl, new) = on_probation(&mut rig, old).await?;
    let (code, told) = drain(&rig.run_directory(), new, &servers[0]).await?;
    ensure!(code == 0 && !told.contains("not durable"), "{code} {told}");
    rig.signal(new, Signal::SIGKILL)?;
    ensure!(lbctl.wait_exit(SOON).await?.code() == Some(1));
    rig.serves(old).await?;
    let scope = format!("server/web/{}", servers[0]);
    let replica = rig.platform.replica("r1-a")?;
    eventually(SOON, "the order", async || {
        let drains = replica.admin_get("/api/v1/drains").await?.json()?;
        ensure!(drains[0]["scope"] == scope.as_str(), "{drains}");
        ensure!(drains[0]["stage"] == "drained", "{drains}");
        Ok(())
    })
    .await?;
    // It stays when this one writes again.
    let (code, told) = drain(&rig.run_directory(), old, &servers[1]).await?;
    ensure!(code == 0 && !told.contains("not durable"), "{code} {told}");
    ensure!(written(&path)? == servers);
    Ok(())
}
