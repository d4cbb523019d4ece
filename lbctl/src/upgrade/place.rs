//! The run directory, as it is found.

use super::life::Life;
use crate::failure::{Exit, Failure};
use crate::unix;
use lb_core::status::{Handover, HandoverPhase};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for an answer.
const LIMIT: Duration = Duration::from_secs(3);

/// A run directory in which a process serves.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// The process.
    pub(super) pid: u32,
    /// The same, whoever has its pid later.
    pub(super) life: Life,
}

// === impl Place ===

impl Place {
    /// Finds out who serves, and whether that can be upgraded.
    pub(super) fn look(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let about = fs::symlink_metadata(path).map_err(|error| {
            Failure::new(Exit::Unreachable, format!("no run directory {shown}: {error}"))
                .hint("its path is `run_directory` in the process's configuration; without that key there is no upgrade in place")
        })?;
        let mode = about.mode() & 0o777;
        if !about.is_dir() || mode & 0o077 != 0 {
            let message = format!("{shown} is no directory of mode 0700 (it has {mode:03o})");
            return Err(Failure::new(Exit::Failed, message).hint(format!(
                "whoever enters it can take the traffic over: find out who opened it, then `chmod 700 {shown}`"
            )));
        }
        let path = fs::canonicalize(path)
            .map_err(|error| Failure::new(Exit::Failed, format!("{shown}: {error}")))?;
        let text = fs::read_to_string(path.join("pid")).unwrap_or_default();
        let nobody = |why: String| {
            Failure::new(
                Exit::Unreachable,
                format!("nothing serves from {shown}: {why}"),
            )
            .hint("start the program, without --upgrade; if it runs, try again in 3 s: it puts back what somebody removed")
        };
        let pid: u32 = text
            .trim()
            .parse()
            .map_err(|error| nobody(format!("there is no pid ({error})")))?;
        let life = Life::of(pid).map_err(|error| {
            nobody(format!(
                "process {pid} is dead, and what lies there is stale ({error})"
            ))
        })?;
        let owner = fs::metadata(format!("/proc/{pid}"))
            .map_err(|error| nobody(format!("process {pid} has ended ({error})")))?;
        if owner.uid() != about.uid() {
            return Err(nobody(format!("process {pid} is of another user")));
        }
        let is_socket = |name: String| {
            fs::symlink_metadata(path.join(name)).is_ok_and(|about| about.file_type().is_socket())
        };
        if !is_socket(format!("admin-{pid}.sock")) {
            return Err(nobody(format!("process {pid} has no socket there")));
        }
        if !is_socket("upgrade.sock".to_owned()) {
            let message = format!("process {pid} serves, but there is no upgrade.sock in {shown}");
            return Err(Failure::new(Exit::Failed, message)
                .hint("it is leaving, or somebody removed the socket: a process that serves puts it back within 2 s, so try again"));
        }
        Ok(Self { path, pid, life })
    }

    /// How far a process is.
    pub(super) async fn ask(&self, pid: u32) -> Option<Handover> {
        let (status, body) = self.get(pid, "/api/v1/handover").await.ok()?;
        (status == 200)
            .then(|| serde_json::from_str(&body).ok())
            .flatten()
    }

    /// Whether a process is ready.
    pub(super) async fn is_ready(&self, pid: u32) -> bool {
        let answer = self.get(pid, "/readyz").await;
        answer.is_ok_and(|(status, _)| status == 200)
    }

    /// Status and body of a GET at a process's own socket.
    async fn get(&self, pid: u32, path: &str) -> Result<(u16, String), Failure> {
        let socket = self.path.join(format!("admin-{pid}.sock"));
        unix::ask(&socket.display().to_string(), path, None, LIMIT).await
    }

    /// Makes sure that no upgrade is under way.
    pub(super) async fn idle(&self) -> Result<(), Failure> {
        let pid = self.pid;
        let Some(state) = self.ask(pid).await else {
            let message = format!("process {pid} does not answer at its admin socket");
            return Err(Failure::new(Exit::Unreachable, message));
        };
        let with = state.peer_pid.unwrap_or_default();
        match state.phase {
            HandoverPhase::None => Ok(()),
            HandoverPhase::OnProbation => Err(Failure::new(
                Exit::Failed,
                format!("process {pid} took over from process {with} moments ago"),
            )
            .hint("try again in some seconds")),
            _ => Err(Failure::new(
                Exit::Failed,
                format!("an upgrade of process {pid} by process {with} is under way"),
            )
            .hint("wait for its end; it has a deadline")),
        }
    }
}
