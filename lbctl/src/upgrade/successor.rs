//! A successor that was started: whether it lives, and how it ended.

use super::life::Life;
use super::plan::Plan;
use super::running::Running;
use crate::failure::{Exit, Failure};
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// Time for the process in between, which has next to nothing to do.
const PROMPT: Duration = Duration::from_secs(5);
/// How often the end of a process that was killed is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// A successor that was started.
#[derive(Debug)]
pub(super) struct Successor {
    pid: u32,
    life: Life,
    /// Its parent, until it is let go.
    starter: Option<Starter>,
    end: Option<End>,
    /// Where it writes.
    pub(super) log: String,
}

/// How a successor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By its parent's word.
    Known(ExitStatus),
    /// Its parent is process 1, or was killed.
    Unknown,
}

/// The process in between; see [`super::starter`].
#[derive(Debug)]
struct Starter {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

// === impl Successor ===

impl Successor {
    /// Starts it, with the predecessor's output.
    ///
    /// # Errors
    /// It can't be started.
    pub(super) async fn start(plan: &Plan, running: &Running) -> Result<Self, Failure> {
        let failed = |why: String| {
            let message = format!("starting {}: {why}", plan.binary.display());
            Failure::new(Exit::Failed, message).hint("nothing has changed: the old process serves")
        };
        let mut starter =
            Starter::start(plan, running).map_err(|error| failed(error.to_string()))?;
        let said = starter.hear().await;
        let pid = match said.as_deref().and_then(|said| said.split_once(' ')) {
            Some(("pid", pid)) => pid.parse().map_err(|_bad| failed(format!("pid {pid}?")))?,
            Some((_, why)) => return Err(failed(why.to_owned())),
            None => return Err(failed("the process that starts it has ended".to_owned())),
        };
        // Its parent does not wait for it yet, so this pid can't be another's.
        let life = Life::of(pid).map_err(|error| failed(format!("watching {pid}: {error}")))?;
        let gone = starter.input.write_all(b"\n").await;
        gone.map_err(|error| failed(error.to_string()))?;
        let log = running.output(2);
        Ok(Self {
            pid,
            life,
            starter: Some(starter),
            end: None,
            log: log.unwrap_or_else(|| "this terminal".to_owned()),
        })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    pub(super) async fn ended(&mut self) -> Option<End> {
        if self.life.goes_on() {
            return None;
        }
        if self.end.is_none() {
            let known = match &mut self.starter {
                Some(starter) => starter.status().await,
                None => None,
            };
            self.end = Some(known.map_or(End::Unknown, End::Known));
        }
        self.end
    }

    /// Gives it to process 1. From now on nobody tells how it ends.
    pub(super) async fn release(&mut self) {
        if let Some(Starter {
            mut child, input, ..
        }) = self.starter.take()
        {
            drop(input);
            // One that does not end is none of the successor's business: killed, it leaves an orphan just as well.
            if timeout(PROMPT, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }

    /// Ends it. The predecessor serves on.
    pub(super) async fn kill(&mut self) {
        self.life.kill();
        let end = async {
            while self.life.goes_on() {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(PROMPT, end).await;
    }
}

// === impl End ===

impl End {
    /// Its exit code, where it had one.
    pub(super) fn code(self) -> Option<i32> {
        match self {
            Self::Known(status) => status.code(),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(status) => write!(f, "ended ({status})"),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

// === impl Starter ===

impl Starter {
    fn start(plan: &Plan, running: &Running) -> io::Result<Self> {
        let mut command = Command::from(plan.starter(running.pid));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let lines = BufReader::new(output).lines();
        Ok(Self {
            child,
            input,
            lines,
        })
    }

    /// What it says next; none when it has ended, or hangs.
    async fn hear(&mut self) -> Option<String> {
        let line = timeout(PROMPT, self.lines.next_line()).await;
        line.ok()?.ok()?
    }

    /// How the successor ended.
    async fn status(&mut self) -> Option<ExitStatus> {
        let line = self.hear().await?;
        let raw = line.strip_prefix("ended ")?.parse().ok()?;
        Some(ExitStatus::from_raw(raw))
    }
}
