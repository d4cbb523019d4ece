//! Child processes that cannot outlive the run.
//!
//! Three ways out, three answers: dropping the guard stops a child and its descendants by their ids
//! (success, failure and Ctrl-C all unwind through it); a SIGKILL of the benchmark is covered by the
//! kernel, which sends the child a SIGTERM when its parent dies (`setpriv --pdeathsig`, prctl(2)).
//! Pinning is `taskset`'s. Both tools replace themselves by the program, so the id stays the same
//! and nothing stands between. Rejected: a `pre_exec` hook, which needs unsafe code.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid as RawPid, Signal, kill_process};

use crate::clock;
use crate::procfs::{self, Pid};

/// How long a child may take to end after SIGTERM. Nothing of value is in flight by then.
const GRACE: Duration = Duration::from_secs(1);
/// How many of the last lines of a log explain a failure.
const LOG_TAIL: usize = 12;

/// What to start, and where.
pub(crate) struct Launch<'a> {
    /// Name for messages.
    pub(crate) name: &'a str,
    /// The program.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// CPUs as `taskset -c` takes them.
    pub(crate) cpus: &'a str,
    /// File that gets standard error, and standard output too unless that is piped.
    pub(crate) log: PathBuf,
    /// Whether standard output is read by us.
    pub(crate) piped: bool,
}

/// A running child; dropping it stops it.
#[must_use = "the process ends when this is dropped"]
pub(crate) struct Managed {
    child: Child,
    name: String,
    log: PathBuf,
}

// === impl Launch ===

impl Launch<'_> {
    /// Starts the program.
    pub(crate) fn start(self) -> anyhow::Result<Managed> {
        let log = File::create(&self.log)
            .with_context(|| format!("creating the log of {}", self.name))?;
        let stdout = if self.piped {
            Stdio::piped()
        } else {
            Stdio::from(log.try_clone()?)
        };
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", self.cpus])
            .arg(self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log)
            .spawn()
            .context("starting `setpriv` (package util-linux)")?;
        Ok(Managed {
            child,
            name: self.name.to_owned(),
            log: self.log,
        })
    }
}

// === impl Managed ===

impl Managed {
    /// The child and its descendants; ask again after it has forked its workers.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        procfs::tree(self.child.id())
    }

    /// The child's standard output, once, if it was piped.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// An error with the end of its log when the child has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.exited() {
            bail!("{} ended with {status}:\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// The last lines that the child wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(LOG_TAIL)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn stop(&mut self) {
        if self.exited().is_some() {
            return;
        }
        let pids = self.pids();
        send(self.child.id(), Signal::TERM);
        let begin = clock::now();
        while self.exited().is_none() && clock::now().saturating_duration_since(begin) < GRACE {
            park_timeout(Duration::from_millis(5));
        }
        // Descendants are all ours: the list was taken while their parent was still alive.
        for pid in pids {
            if Path::new(&format!("/proc/{pid}")).exists() {
                send(pid, Signal::KILL);
            }
        }
        if let Err(error) = self.child.wait() {
            eprintln!("bench: waiting for {}: {error}", self.name);
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A process that is gone already needs no signal, so errors are of no interest.
fn send(pid: Pid, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(RawPid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(script: &str, log: &str) -> Managed {
        let log = std::env::temp_dir().join(format!("strata-bench-{}-{log}", std::process::id()));
        let arguments = vec!["-c".into(), script.into()];
        let program = Path::new("/bin/sh");
        Launch {
            name: "sh",
            program,
            arguments,
            cpus: "0",
            log,
            piped: false,
        }
        .start()
        .unwrap()
    }

    #[test]
    fn dropping_stops_descendants_that_ignore_sigterm() {
        let managed = launch("trap '' TERM; sleep 1000 & wait; wait", "tree");
        let begin = clock::now();
        while managed.pids().len() < 2 && begin.elapsed() < Duration::from_secs(5) {
            park_timeout(Duration::from_millis(5));
        }
        let pids = managed.pids();
        assert!(pids.len() >= 2, "the shell started no child");
        let log = managed.log.clone();
        drop(managed);
        fs::remove_file(log).unwrap();
        for pid in pids {
            // An orphan that nobody has reaped yet keeps its entry but no memory.
            let begin = clock::now();
            while procfs::memory(&[pid]).rss > 0 {
                assert!(begin.elapsed() < Duration::from_secs(5), "{pid} still runs");
                park_timeout(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn an_early_end_is_reported_with_the_log() {
        let mut managed = launch("echo broken config >&2; exit 3", "early");
        let begin = clock::now();
        let error = loop {
            match managed.check() {
                Err(error) => break error.to_string(),
                Ok(()) => assert!(begin.elapsed() < Duration::from_secs(5), "it did not end"),
            }
            park_timeout(Duration::from_millis(5));
        };
        fs::remove_file(&managed.log).unwrap();
        assert!(
            error.contains("broken config") && error.contains('3'),
            "{error}"
        );
    }
}
