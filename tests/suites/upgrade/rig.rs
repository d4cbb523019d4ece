//! A platform whose processes can be upgraded.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::process::Launch;
use strata_tests::tools;
use strata_tests::topology::{Platform, Tier, Topology};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A platform and one of its replicas, which is upgraded.
pub(crate) struct Rig {
    pub(crate) platform: Platform,
    pub(crate) tier: Tier,
}

/// What `lbctl` made of an order.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// How long the old processes may take; short, so that tests end soon.
pub(crate) const SHUTDOWN: &str = "lame_duck: 1s, drain: 8s, stream_drain: 8s";

/// A topology whose replicas have run directories; the predecessors stand by for `probation`.
pub(crate) fn plan(tier: Tier, probation: &str) -> Topology {
    upgradable(
        match tier {
            Tier::Regional => Topology::regional().pool("web", 2),
            Tier::Global => Topology::two_tier().pool("web", 2),
        },
        probation,
    )
}

/// The same for a topology of the test's own.
pub(crate) fn upgradable(plan: Topology, probation: &str) -> Topology {
    let own = std::process::id().to_string();
    plan.arguments(["--probation", probation, "--exit-with-pid", &own])
        .tune_regional(|file| {
            file.front.shutdown = SHUTDOWN.to_owned();
            file.extra += &more(&file.name);
            for pool in &mut file.pools {
                pool.extra += "\nadaptive_concurrency: { enabled: false }";
            }
        })
        .tune_global(|file| {
            file.front.shutdown = SHUTDOWN.to_owned();
            file.extra += &more(&file.name);
        })
}

/// Nothing is shed: where tests share two cores, latency and lag say nothing of the upgrade.
fn more(name: &str) -> String {
    format!("limits: {{ overload: {{ enabled: false }} }}\nrun_directory: {name}.run\nthreads: 2\n")
}

// === impl Rig ===

impl Rig {
    pub(crate) async fn start(tier: Tier, probation: &str) -> Result<Self> {
        Self::of(tier, plan(tier, probation)).await
    }

    pub(crate) async fn of(tier: Tier, plan: Topology) -> Result<Self> {
        let platform = plan.start().await?;
        Ok(Self { platform, tier })
    }

    /// The name of the replica that is upgraded.
    pub(crate) fn name(&self) -> &'static str {
        match self.tier {
            Tier::Regional => "r1-a",
            Tier::Global => "g1",
        }
    }

    /// As its configuration has it.
    pub(crate) fn run_directory(&self) -> PathBuf {
        let text = std::fs::read_to_string(self.config()).unwrap_or_default();
        let path = text
            .lines()
            .find_map(|line| line.strip_prefix("run_directory: "));
        let own = format!("{}.run", self.name());
        let path = path.map_or(own.as_str(), |path| path.trim_matches('"'));
        self.platform.dir().join(path)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.platform.dir().join(format!("{}.yaml", self.name()))
    }

    /// The output of all its processes.
    pub(crate) fn log(&self) -> String {
        let path = self.platform.dir().join(format!("{}.log", self.name()));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// What the first replicas of both tiers wrote.
    pub(crate) fn logs(&self) -> String {
        let read = |name: &str| {
            let path = self.platform.dir().join(format!("{name}.log"));
            std::fs::read_to_string(path).map(|text| format!("=== {name}\n{text}"))
        };
        ["g1", "r1-a"]
            .iter()
            .filter_map(|name| read(name).ok())
            .collect()
    }

    /// Who serves, by its own word.
    pub(crate) fn pid(&self) -> Result<i32> {
        let text = std::fs::read_to_string(self.run_directory().join("pid"))?;
        text.trim().parse().context("pid")
    }

    pub(crate) fn signal(&self, pid: i32, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to {pid}"))
    }

    /// `lbctl upgrade` with more arguments.
    pub(crate) async fn upgrade(&self, more: &[&str]) -> Result<Verdict> {
        let launch = Launch::new("lbctl", tools::program("lbctl")?)
            .args(["upgrade", "--run-directory"])
            .arg(self.run_directory())
            .args(more.iter().copied());
        let (status, output) = launch.run(Duration::from_secs(60)).await?;
        Ok(Verdict { status, output })
    }

    /// An upgrade that has to succeed.
    pub(crate) async fn upgraded(&self, more: &[&str]) -> Result<i32> {
        let before = self.pid()?;
        let verdict = self.upgrade(more).await?;
        ensure!(verdict.status.success(), "{verdict:?}\n{}", self.log());
        let after = self.pid()?;
        ensure!(after != before, "{after} is the old one: {verdict:?}");
        Ok(after)
    }

    /// An upgrade that must not, and the process that serves on.
    pub(crate) async fn refused(&self, more: &[&str], code: i32, why: &str) -> Result<()> {
        let before = self.pid()?;
        let verdict = self.upgrade(more).await?;
        ensure!(verdict.status.code() == Some(code), "{verdict:?}");
        ensure!(verdict.output.contains(why), "no {why:?} in {verdict:?}");
        ensure!(self.pid()? == before, "another one serves: {verdict:?}");
        Ok(())
    }

    /// The status of whoever has the admin address.
    pub(crate) async fn status(&mut self) -> Result<Value> {
        let name = self.name();
        self.platform.replica(name)?.status().await
    }

    /// `/api/v1/handover` of whoever has the admin address.
    pub(crate) async fn handover(&mut self) -> Result<Value> {
        let name = self.name();
        let admin = self.platform.replica(name)?.admin();
        http::get(admin, "/api/v1/handover").await?.json()
    }

    /// Waits until this process has the admin address and is ready.
    pub(crate) async fn serves(&mut self, pid: i32) -> Result<()> {
        let status = self.status().await;
        let status = status.with_context(|| self.log())?;
        ensure!(status["pid"] == pid && status["ready"] == true, "{status}");
        Ok(())
    }

    /// Waits until a process is no more.
    pub(crate) async fn gone(&self, pid: i32) -> Result<()> {
        eventually(SOON, "the end of a process", async || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            ensure!(
                stat.is_empty() || stat.contains(") Z "),
                "{stat}\n{}",
                self.log()
            );
            Ok(())
        })
        .await
    }

    /// A program that says and checks what is asked of it, and then does `what` instead of serving.
    pub(crate) fn impostor(&self, what: &str) -> Result<String> {
        let path = self.platform.dir().join("impostor");
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in\n--version) echo impostor 9.9 ;;\ncheck) echo good ;;\n*) {what} ;;\nesac\n"
        );
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path.display().to_string())
    }
}

/// Changes a file in one step.
pub(crate) fn rewrite(path: &Path, change: impl FnOnce(String) -> String) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, change(std::fs::read_to_string(path)?))?;
    Ok(std::fs::rename(&new, path)?)
}
