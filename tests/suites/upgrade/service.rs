//! What systemd is told, by a socket of our own in its place; the units; and `systemctl reload` of a real one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::process::Launch;
use strata_tests::tools;
use strata_tests::topology::Tier;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::requests::Requests;
use crate::rig::{Rig, SOON, plan};
use crate::systemd::{Systemd, is_there, units};

/// Waits until an address answers.
pub(crate) async fn serves(address: SocketAddr) -> Result<()> {
    eventually(SOON, "an answer", async || {
        ensure!(strata_tests::http::get(address, "/").await?.status == 200);
        Ok(())
    })
    .await
}

/// The next message that contains a word.
async fn hear(socket: &UnixDatagram, word: &str) -> Result<String> {
    let heard = async {
        loop {
            let mut bytes = [0; 4096];
            let count = socket.recv(&mut bytes).await?;
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default());
            if text.contains(word) {
                return anyhow::Ok(text.into_owned());
            }
        }
    };
    timeout(SOON, heard).await.context(word.to_owned())?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_supervisor_is_told_who_the_service_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let plan = plan(Tier::Regional, "500ms").environment("NOTIFY_SOCKET", path.display());
    let mut rig = Rig::of(Tier::Regional, plan).await?;
    hear(&socket, "READY=1").await?;
    let old = rig.pid()?;
    // Read as it comes: the barrier is a descriptor that closes when it has been read, and not taken.
    let new = rig.upgraded(&["--no-wait"]).await?;
    let told = hear(&socket, "MAINPID=").await?;
    ensure!(told.contains(&format!("MAINPID={new}\n")), "{told}");
    hear(&socket, "BARRIER=1").await?;
    rig.gone(old).await?;
    rig.signal(new, nix::sys::signal::Signal::SIGTERM)?;
    hear(&socket, "STOPPING=1").await?;
    rig.gone(new).await?;
    let _ = rig.platform.replica("r1-a");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_the_service_in_the_probation_stops_both() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let plan = plan(Tier::Regional, "30s").environment("NOTIFY_SOCKET", path.display());
    let mut rig = Rig::of(Tier::Regional, plan).await?;
    hear(&socket, "READY=1").await?;
    let old = rig.pid()?;
    let lbctl = Launch::new("lbctl", tools::program("lbctl")?).args(["upgrade", "--run-directory"]);
    let _lbctl = lbctl.arg(rig.run_directory()).start()?;
    let new = eventually(SOON, "the successor", async || {
        let pid = rig.pid()?;
        ensure!(pid != old && rig.status().await?["pid"] == pid);
        Ok(pid)
    })
    .await?;
    rig.signal(old, nix::sys::signal::Signal::SIGTERM)?;
    let told = hear(&socket, "MAINPID=").await?;
    ensure!(told.contains(&format!("MAINPID={new}\n")), "{told}");
    hear(&socket, "STOPPING=1").await?;
    rig.gone(old).await?;
    rig.gone(new).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemctl_reload_under_load_fails_nothing() -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let mut rig = Rig::start(Tier::Global, "5s").await?;
    let address = rig.platform.address()?;
    let systemd = Systemd::of(&mut rig, &[("regional-lb", "r1-a"), ("global-lb", "g1")]).await?;
    for unit in ["regional-lb", "global-lb"] {
        let started = systemd.systemctl(&["start", unit]).await;
        started.map_err(|error| systemd.process.with_tail(error))?;
    }
    serves(address).await?;
    let users = Requests::start(address)?;
    users.at_work().await?;
    for unit in ["global-lb", "regional-lb", "global-lb", "regional-lb"] {
        let before = systemd.main_pid(unit).await?;
        let reloaded = systemd.systemctl(&["reload", unit]).await;
        reloaded.map_err(|error| systemd.process.with_tail(error))?;
        let after = systemd.main_pid(unit).await?;
        ensure!(before != after && after.contains("=active"), "{after}");
    }
    // One that must fail, and changes nothing.
    let before = systemd.main_pid("global-lb").await?;
    let root = systemd.path("/etc/strata/global-lb.yaml");
    let good = std::fs::read_to_string(&root)?;
    std::fs::write(&root, good.replace("listeners:", "lissteners:"))?;
    ensure!(systemd.systemctl(&["reload", "global-lb"]).await.is_err());
    ensure!(systemd.main_pid("global-lb").await? == before, "{before}");
    users.at_work().await?;
    users.satisfied(&rig.platform).await?;
    std::fs::write(&root, good)?;
    systemd
        .systemctl(&["stop", "global-lb", "regional-lb"])
        .await?;
    let stopped = systemd.main_pid("global-lb").await?;
    ensure!(
        stopped.contains("MainPID=0") && stopped.contains("=inactive"),
        "{stopped}"
    );
    Ok(())
}

#[tokio::test]
async fn the_units_are_sound() -> Result<()> {
    let Some(analyze) = tools::find("systemd-analyze") else {
        ensure!(std::env::var_os("CI").is_none(), "needs systemd-analyze");
        println!("no systemd-analyze here: the units are not verified");
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    for name in ["global-lb", "regional-lb"] {
        // The verifier wants the programs to be there.
        let text = std::fs::read_to_string(units().join(format!("{name}.service")))?;
        let here = |program: &str| tools::program(program).map(|path| path.display().to_string());
        let text = text
            .replace(&format!("/usr/bin/{name}"), &here(name)?)
            .replace("/usr/bin/lbctl", &here("lbctl")?);
        let unit = dir.path().join(format!("{name}.service"));
        std::fs::write(&unit, text)?;
        let launch = Launch::new("verify", &analyze)
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(&unit);
        let output = launch.run_ok(Duration::from_secs(30)).await?;
        ensure!(output.trim().is_empty(), "{name}: {output}");
    }
    Ok(())
}
