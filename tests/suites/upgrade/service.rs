//! What systemd is told, by a socket of our own in its place; and the units, where its verifier is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::process::Launch;
use strata_tests::tools;
use strata_tests::topology::Tier;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::rig::{Rig, SOON, plan};

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

#[tokio::test]
async fn the_units_are_sound() -> Result<()> {
    let Some(analyze) = tools::find("systemd-analyze") else {
        println!("no systemd-analyze here: the units are not verified");
        return Ok(());
    };
    let units = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let dir = tempfile::tempdir()?;
    for name in ["global-lb", "regional-lb"] {
        // The verifier wants the programs to be there.
        let text = std::fs::read_to_string(units.join(format!("{name}.service")))?;
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
