//! A systemd of its own, with our units.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strata_tests::eventually;
use strata_tests::process::{Launch, Process};
use strata_tests::tools;

use crate::rig::{Rig, SOON};

const LONG: Duration = Duration::from_secs(60);

/// Whether one can be started here; where CI is to do it, it has to be.
pub(crate) fn is_there() -> Result<bool> {
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let has_systemd = Path::new("/lib/systemd/systemd").exists();
    if is_root && has_systemd && tools::find("nsenter").is_some() {
        return Ok(true);
    }
    let needs = "a systemd of its own needs root, systemd and util-linux";
    ensure!(std::env::var_os("CI").is_none(), "{needs}");
    eprintln!("NOT TESTED: {needs}");
    Ok(false)
}

/// The units that are shipped.
pub(crate) fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd")
}

/// A systemd in namespaces of its own. The kernel ends all its processes with it.
pub(crate) struct Systemd {
    pub(crate) process: Process,
    _dir: tempfile::TempDir,
    init: i32,
}

// === impl Systemd ===

impl Systemd {
    /// Starts it with these units in place of these replicas, which are ended.
    pub(crate) async fn of(rig: &mut Rig, services: &[(&str, &str)]) -> Result<Self> {
        Self::with(rig, services, |_, unit| unit.to_owned()).await
    }

    /// Starts it with changed units: `edit` gets the name and the text of each.
    pub(crate) async fn with(
        rig: &mut Rig,
        services: &[(&str, &str)],
        edit: impl Fn(&str, &str) -> String,
    ) -> Result<Self> {
        let mut configs = Vec::new();
        for (unit, replica) in services {
            configs.push((*unit, rig.platform.dir().join(format!("{replica}.yaml"))));
            rig.platform.replica(replica)?.terminate(SOON).await?;
        }
        Self::start(&configs, edit).await
    }

    async fn start(
        configs: &[(&str, PathBuf)],
        edit: impl Fn(&str, &str) -> String,
    ) -> Result<Self> {
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
            let unit = edit(name, &unit);
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
        let made = Self {
            process,
            _dir: dir,
            init,
        };
        eventually(SOON, "systemd", async || {
            made.systemctl(&["is-active", "multi-user.target"]).await?;
            Ok(())
        })
        .await
        .map_err(|error| made.process.with_tail(error))?;
        Ok(made)
    }

    /// Runs `systemctl` in there.
    pub(crate) async fn systemctl(&self, args: &[&str]) -> Result<String> {
        let init = self.init.to_string();
        let enter = ["-t", &init, "-m", "-p", "-C", "systemctl", "--no-pager"];
        let launch = Launch::new("systemctl", "nsenter").args(enter);
        launch.args(args.iter().copied()).run_ok(LONG).await
    }

    /// Runs it, and shows what systemd said where it fails.
    pub(crate) async fn must(&self, args: &[&str]) -> Result<String> {
        let done = self.systemctl(args).await;
        done.map_err(|error| self.process.with_tail(error))
    }

    /// `MainPID=` and `ActiveState=` of a unit.
    pub(crate) async fn main_pid(&self, unit: &str) -> Result<String> {
        let args = ["show", "-p", "MainPID", "-p", "ActiveState", unit];
        self.systemctl(&args).await
    }

    /// A property of a unit.
    pub(crate) async fn property(&self, unit: &str, name: &str) -> Result<String> {
        let text = self.systemctl(&["show", "-p", name, unit]).await?;
        let (_, value) = text.trim().split_once('=').context("no value")?;
        Ok(value.to_owned())
    }

    /// Its process 1, as the machine numbers it.
    pub(crate) fn init(&self) -> i32 {
        self.init
    }

    /// A file as its processes see it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
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
