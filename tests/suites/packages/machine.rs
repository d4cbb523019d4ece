//! A clean Debian in namespaces of its own, with a systemd as process 1. The kernel ends all of it with the test.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use strata_tests::eventually;
use strata_tests::process::{Launch, Process};
use strata_tests::tools;

pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The first time, a Debian is fetched.
const LONG: Duration = Duration::from_secs(600);

/// The machine.
pub(crate) struct Machine {
    pub(crate) process: Process,
    init: i32,
}

/// A script beside the suites.
pub(crate) fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// Whether one can be had here; where CI is to do it, it has to be.
pub(crate) fn is_there() -> Result<bool> {
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let sbin = ["/usr/sbin/debootstrap", "/sbin/debootstrap"];
    let has_tools = sbin.iter().any(|path| Path::new(path).exists())
        && tools::find("nsenter").is_some()
        && tools::find("dpkg-shlibdeps").is_some();
    if is_root && has_tools {
        return Ok(true);
    }
    let needs = "a Debian of its own needs root, debootstrap, dpkg-dev and util-linux";
    ensure!(std::env::var_os("CI").is_none(), "{needs}");
    eprintln!("NOT TESTED: {needs}");
    Ok(false)
}

// === impl Machine ===

impl Machine {
    /// Boots one in which the package lies as `/strata.deb`.
    pub(crate) async fn boot(package: &Path) -> Result<Self> {
        let root = tools::target_dir()?.join("tools/debian-root");
        let made = Launch::new("debian-root", peer("debian-root.sh")).arg(&root);
        made.run_ok(LONG).await?;
        let flags = ["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net"];
        let launch = Launch::new("debian", "unshare").args(flags);
        let launch = launch
            .args(["--fork", "--kill-child"])
            .arg(peer("debian.sh"));
        let process = launch.arg(&root).arg(package).start()?;
        let children = format!("/proc/{0}/task/{0}/children", process.pid());
        let init = eventually(SOON, "process 1", async || {
            let text = std::fs::read_to_string(&children)?;
            text.trim().parse::<i32>().context("no child")
        })
        .await?;
        let made = Self { process, init };
        eventually(SOON, "systemd", async || {
            let said = made.run(&["systemctl", "is-active", "multi-user.target"]);
            said.await.map(drop)
        })
        .await
        .map_err(|error| made.process.with_tail(error))?;
        Ok(made)
    }

    /// Runs a program in there; it has to succeed.
    pub(crate) async fn run(&self, line: &[&str]) -> Result<String> {
        let init = self.init.to_string();
        let enter = ["-t", &init, "-m", "-p", "-C", "-u", "-i", "-n", "-r", "-w"];
        let launch = Launch::new(line.first().copied().unwrap_or_default(), "nsenter");
        let launch = launch.args(enter).args([
            "env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        launch.args(line.iter().copied()).run_ok(SOON * 2).await
    }

    /// A line for its shell.
    pub(crate) async fn sh(&self, line: &str) -> Result<String> {
        self.run(&["sh", "-c", line]).await
    }

    /// Starts a program of this machine in the other's network.
    pub(crate) fn beside(&self, name: &str, program: &str) -> Launch {
        let init = self.init.to_string();
        Launch::new(name, "nsenter").args(["-t", &init, "-n", program])
    }

    /// Adds what a unit has said to an error.
    pub(crate) async fn explained(&self, unit: &str, error: anyhow::Error) -> anyhow::Error {
        let line = [
            "journalctl",
            "--no-pager",
            "-n",
            "30",
            "-o",
            "cat",
            "-u",
            unit,
        ];
        let said = self.run(&line).await;
        error.context(said.unwrap_or_else(|error| error.to_string()))
    }

    /// A property of a unit.
    pub(crate) async fn property(&self, unit: &str, name: &str) -> Result<String> {
        let text = self.run(&["systemctl", "show", "-p", name, unit]).await?;
        let (_, value) = text.trim().split_once('=').context("no value")?;
        Ok(value.to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // `unshare` ignores what it is told while its child lives.
        let _ = kill(Pid::from_raw(self.init), Signal::SIGKILL);
    }
}
