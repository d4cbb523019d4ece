//! Processes that a test started without being their parent.
//!
//! **Problem.** A successor in an upgrade is started by the operator's tool and has a session of its own: neither the kill of a process
//! group nor a parent's death reaches it.
//!
//! **Choice.** What belongs to a test has the path of its temporary directory in its command line. Dropping the guard kills just
//! those, each by its pid. For a test process that is itself killed, such programs are started with `--exit-with-pid`.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills what is left of a directory's processes on drop.
#[derive(Debug)]
pub struct Strays {
    dir: PathBuf,
}

// === impl Strays ===

impl Strays {
    /// Those with a path below `dir` in their command line.
    pub fn in_directory(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    /// The processes that are there now.
    pub fn pids(&self) -> Vec<i32> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let dir = self.dir.to_string_lossy().into_owned();
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_ours = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            *pid != own && String::from_utf8_lossy(&line).contains(&dir)
        };
        numbers.filter(is_ours).collect()
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        for pid in self.pids() {
            // It may end by itself in the meantime.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
