//! What systemd is told, by a socket of our own in its place; the units; and `systemctl reload` of a real one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::process::{Launch, Process};
use strata_tests::tools;
use strata_tests::topology::Tier;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::rig::{Rig, SOON, plan};
use crate::users::Users;

const LONG: Duration = Duration::from_secs(60);

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

/// A systemd in namespaces of its own. The kernel ends all its processes with it.
struct Systemd {
    process: Process,
    dir: tempfile::TempDir,
    init: i32,
}

impl Systemd {
    /// Starts it with both tiers' units and these configurations.
    async fn start(configs: [(&str, PathBuf); 2]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("etc"))?;
        std::fs::create_dir(dir.path().join("units"))?;
        for (name, config) in configs {
            let text = std::fs::read_to_string(config)?;
            let lines = text.lines().filter(|l| !l.starts_with("run_directory"));
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            let text = format!("{text}run_directory: /run/{name}\n");
            std::fs::write(dir.path().join(format!("etc/{name}.yaml")), text)?;
            let unit = std::fs::read_to_string(units().join(format!("{name}.service")))?;
            let unit = unit
                .replace("/usr/bin/", "/opt/bin/")
                .replace("=strata\n", "=nobody\n")
                .replace("Group=nobody", "Group=nogroup");
            std::fs::write(dir.path().join(format!("units/{name}.service")), unit)?;
        }
        let programs = tools::program("lbctl")?;
        let flags = ["--mount", "--pid", "--cgroup", "--uts", "--ipc"];
        let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/systemd.sh");
        let launch = Launch::new("systemd", "unshare").args(flags);
        let launch = launch.args(["--fork", "--kill-child"]).arg(peer);
        let launch = launch
            .arg(dir.path())
            .arg(programs.parent().context("programs")?);
        let process = launch.start()?;
        let children = format!("/proc/{0}/task/{0}/children", process.pid());
        let init = eventually(SOON, "process 1", async || {
            let text = std::fs::read_to_string(&children)?;
            text.trim().parse::<i32>().context("no child")
        })
        .await?;
        let made = Self { process, dir, init };
        eventually(SOON, "systemd", async || {
            made.systemctl(&["is-active", "multi-user.target"]).await?;
            Ok(())
        })
        .await
        .map_err(|error| made.process.with_tail(error))?;
        Ok(made)
    }

    /// Runs `systemctl` in there.
    async fn systemctl(&self, args: &[&str]) -> Result<String> {
        let init = self.init.to_string();
        let enter = ["-t", &init, "-m", "-p", "-C", "systemctl", "--no-pager"];
        let launch = Launch::new("systemctl", "nsenter").args(enter);
        launch.args(args.iter().copied()).run_ok(LONG).await
    }

    async fn main_pid(&self, unit: &str) -> Result<String> {
        let args = ["show", "-p", "MainPID", "-p", "ActiveState", unit];
        self.systemctl(&args).await
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // `unshare` ignores what it is told while its child lives.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.init),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemctl_reload_under_load_fails_nothing() -> Result<()> {
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let has_systemd = Path::new("/lib/systemd/systemd").exists();
    if !is_root || !has_systemd || tools::find("nsenter").is_none() {
        let needs = "a systemd of its own needs root, systemd and util-linux";
        ensure!(std::env::var_os("CI").is_none(), "{needs}");
        println!("NOT TESTED: {needs}");
        return Ok(());
    }
    let mut rig = Rig::start(Tier::Global, "5s").await?;
    let address = rig.platform.address()?;
    let config = |rig: &Rig, name: &str| rig.platform.dir().join(format!("{name}.yaml"));
    let configs = [
        ("regional-lb", config(&rig, "r1-a")),
        ("global-lb", config(&rig, "g1")),
    ];
    for name in ["g1", "r1-a"] {
        let replica = rig.platform.replica(name)?;
        replica.terminate(SOON).await?;
    }
    let systemd = Systemd::start(configs).await?;
    for unit in ["regional-lb", "global-lb"] {
        let started = systemd.systemctl(&["start", unit]).await;
        started.map_err(|error| systemd.process.with_tail(error))?;
    }
    eventually(SOON, "both tiers", async || {
        ensure!(strata_tests::http::get(address, "/").await?.status == 200);
        Ok(())
    })
    .await?;
    let users = Users::start(address)?;
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
    let root = format!("/proc/{}/root/etc/strata/global-lb.yaml", systemd.init);
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
    ensure!(systemd.dir.path().exists());
    Ok(())
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd")
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
