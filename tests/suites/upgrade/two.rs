//! Two who want the same place at once.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::process::Launch;
use strata_tests::topology::Tier;
use strata_tests::{eventually, tools};

use crate::fake::Fake;
use crate::rig::{Rig, SOON};

const LONG: Duration = Duration::from_secs(60);

/// The second has found that no upgrade is under way, and checks its configuration when the first begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_does_not_take_the_others_successor_for_its_own() -> Result<()> {
    let rig = Rig::start(Tier::Regional, "200ms").await?;
    let dir = rig.platform.dir();
    let (begun, go) = (dir.join("begun"), dir.join("go"));
    let program = tools::program("regional-lb")?;
    let binary = dir.join("slow");
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = check ]; then touch {}; until [ -e {} ]; do sleep 0.05; done; fi\nexec {} \"$@\"\n",
        begun.display(),
        go.display(),
        program.display()
    );
    std::fs::write(&binary, text)?;
    std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755))?;
    let mut lbctl = Launch::new("lbctl", tools::program("lbctl")?)
        .args(["upgrade", "--run-directory"])
        .arg(rig.run_directory())
        .args(["--binary"])
        .arg(&binary)
        .start()?;
    eventually(SOON, "the check", async || {
        ensure!(begun.exists());
        Ok(())
    })
    .await?;
    let (fake, _) = Fake::greeted(&rig.run_directory(), LONG).await?;
    std::fs::write(&go, "")?;
    let status = lbctl.wait_exit(SOON).await?;
    let told = lbctl.output();
    ensure!(status.code() == Some(1), "{status}: {told}");
    ensure!(told.contains("it got no sockets"), "{told}");
    ensure!(!told.contains("it said hello"), "the other's: {told}");
    ensure!(
        rig.log().contains("another upgrade is under way"),
        "{}",
        rig.log()
    );
    drop(fake);
    Ok(())
}

/// The first is held up after it has looked, and before it shows that it serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_at_once_one_serves() -> Result<()> {
    let mut rig = Rig::start(Tier::Regional, "200ms").await?;
    rig.platform.replica("r1-a")?.kill();
    let dir = rig.platform.dir().to_owned();
    let log = dir.join("log");
    ensure!(Command::new("mkfifo").arg(&log).status()?.success());
    let text = std::fs::read_to_string(rig.config())?;
    let held = format!("access_log: {{ path: \"{}\" }}\n", log.display());
    std::fs::write(dir.join("held.yaml"), text.clone() + &held)?;
    let (address, admin) = (
        rig.platform.address()?.to_string(),
        rig.platform.replica("r1-a")?.admin().to_string(),
    );
    let text = text.replace(&address, "127.0.0.1:0");
    std::fs::write(dir.join("second.yaml"), text.replace(&admin, "127.0.0.1:0"))?;
    let start = |name: &str| {
        let launch = Launch::new(name, tools::program("regional-lb")?);
        let launch = launch.args(["run", "--config"]);
        launch.arg(dir.join(format!("{name}.yaml"))).start()
    };
    let mut first = start("held")?;
    let place = format!("/proc/{}/wchan", first.pid());
    eventually(SOON, "a process that is held up", async || {
        let place = std::fs::read_to_string(&place)?;
        ensure!(place.contains("wait_for_partner"), "{place}");
        Ok(())
    })
    .await?;
    let mut second = start("second")?;
    let status = second.wait_exit(SOON).await?;
    ensure!(!status.success(), "{}", second.output());
    ensure!(
        second
            .output()
            .contains("another process starts from run_directory"),
        "{}",
        second.output()
    );
    let reader = tokio::task::spawn_blocking(move || std::fs::File::open(log));
    first.wait_line("serves on", SOON).await?;
    let _reader = reader.await??;
    let pid = i32::try_from(first.pid())?;
    eventually(SOON, "its pid", async || {
        ensure!(rig.pid()? == pid);
        Ok(())
    })
    .await?;
    let mut third = start("second")?;
    ensure!(!third.wait_exit(SOON).await?.success());
    ensure!(
        third.output().contains("use `lbctl upgrade`"),
        "{}",
        third.output()
    );
    Ok(())
}
