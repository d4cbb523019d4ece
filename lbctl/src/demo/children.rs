//! The processes of the demo: starting, watching, stopping.
//!
//! Each child belongs to one task, which alone waits for it and alone signals it: a pid is only ever
//! signalled while its process has not been waited for, so that it can't be another's by then.

use super::topology::{Process, Role, Topology};
use crate::failure::{Exit, Failure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// Where the programs are.
pub(super) struct Programs {
    own: PathBuf,
    directory: PathBuf,
}

/// A process that ended by itself.
pub(super) struct Gone {
    pub(super) name: String,
    pub(super) log: PathBuf,
    pub(super) how: String,
}

/// All processes.
pub(super) struct Fleet {
    topology: Topology,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<()>,
    report: mpsc::Sender<Gone>,
    gone: mpsc::Receiver<Gone>,
}

// === impl Programs ===

impl Programs {
    /// Looks in `directory`, or beside this program.
    pub(super) fn find(directory: Option<&Path>) -> Result<Self, Failure> {
        let own = std::env::current_exe()
            .map_err(|error| Failure::new(Exit::Failed, format!("where am I? {error}")))?;
        let directory = directory
            .or_else(|| own.parent())
            .unwrap_or_else(|| Path::new("."))
            .to_owned();
        let programs = Self { own, directory };
        for role in [Role::GlobalLb, Role::RegionalLb] {
            let path = programs.path(role);
            if !path.is_file() {
                let message = format!("there is no {}", path.display());
                return Err(Failure::new(Exit::Failed, message)
                    .hint("build it with `cargo build`, or say where it is with --bin-dir"));
            }
        }
        Ok(programs)
    }

    fn path(&self, role: Role) -> PathBuf {
        match role {
            Role::Server => self.own.clone(),
            role => self.directory.join(role.as_str()),
        }
    }

    fn command(&self, process: &Process) -> Command {
        let mut command = Command::new(self.path(process.role));
        match &process.config {
            Some(config) => command.args(["run", "--config"]).arg(config),
            None => command
                .args(["demo-server", "--name", &process.name])
                .args(["--region", process.region.unwrap_or_default()])
                .args(["--address", &process.address.to_string()]),
        };
        command.arg("--exit-with-parent");
        command
    }
}

// === impl Fleet ===

impl Fleet {
    /// A fleet of which nothing runs yet.
    pub(super) fn new(topology: Topology) -> Self {
        // Each process is reported once, so that a report never waits for room.
        let (report, gone) = mpsc::channel(topology.processes.len().max(1));
        Self {
            topology,
            tasks: Vec::new(),
            stop: watch::Sender::new(()),
            report,
            gone,
        }
    }

    /// Starts all processes.
    pub(super) fn start(&mut self, programs: &Programs) -> Result<(), Failure> {
        for process in &mut self.topology.processes {
            let child = spawn(programs, process).map_err(|error| {
                Failure::new(
                    Exit::Failed,
                    format!("can't start {}: {error}", process.name),
                )
            })?;
            process.pid = child.id().unwrap_or_default();
            let gone = Gone {
                name: process.name.clone(),
                log: process.log.clone(),
                how: String::new(),
            };
            let task = supervise(child, gone, self.stop.subscribe(), self.report.clone());
            self.tasks.push(tokio::spawn(task));
        }
        Ok(())
    }

    /// What was planned, with the pids of what was started.
    pub(super) const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Processes that were started.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Waits for a process that ends by itself.
    pub(super) async fn next_gone(&mut self) -> Gone {
        match self.gone.recv().await {
            Some(gone) => gone,
            None => std::future::pending().await,
        }
    }

    /// Stops all processes: SIGTERM, and SIGKILL to those that are left after a grace.
    pub(super) async fn stop(self) {
        self.stop.send_replace(());
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

// === impl Gone ===

impl Gone {
    /// The last lines of its log.
    pub(super) fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

/// The last lines of a log.
pub(super) fn log_tail(path: &Path) -> String {
    const LINES: usize = 15;
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(LINES);
    lines
        .iter()
        .skip(first)
        .map(|line| format!("    {line}\n"))
        .collect()
}

fn spawn(programs: &Programs, process: &Process) -> std::io::Result<Child> {
    let log = std::fs::File::create(&process.log)?;
    programs
        .command(process)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn supervise(
    mut child: Child,
    mut gone: Gone,
    mut stop: watch::Receiver<()>,
    report: mpsc::Sender<Gone>,
) {
    // Waiting for a child closes its standard input, which is its life line: keep it out of there.
    let life_line = child.stdin.take();
    tokio::select! {
        status = child.wait() => {
            gone.how = status.map_or_else(|error| error.to_string(), how);
            let _ = report.send(gone).await;
            return;
        }
        _ = stop.changed() => {}
    }
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    drop(life_line);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(number), _) => {
            let name = Signal::try_from(number).map_or("an unknown signal", Signal::as_str);
            format!("killed by {name}")
        }
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
