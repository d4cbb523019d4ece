//! Child processes that cannot outlive their test.
//!
//! **Problem.** A test that fails, panics or is killed must leave nothing behind, and its message must contain what
//! the program said. The workspace forbids `unsafe`, hence `pre_exec`.
//!
//! **Choice.** Each child runs in its own process group; dropping [`Process`] kills the group and reaps the child. For a
//! test process that is itself killed, the child is started through `setpriv --pdeathsig KILL` (util-linux), which
//! sets the flag and then becomes the program, so the pid is the program's. That flag fires when the *thread* that
//! forked ends, therefore one thread that lives as long as the process starts all children.
//! Output goes straight to a file: no pipe can fill up, and the file is there after any death.
//!
//! **Limits.** Children of children get only the group kill, not the flag: run programs in the foreground, single
//! process. `STRATA_KEEP=1` keeps output files for reading.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
pub use nix::sys::signal::Signal;
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;
use regex::Regex;
use tempfile::TempDir;

use crate::wait::eventually;

type Request = (Command, SyncSender<io::Result<Child>>);

const TAIL_LINES: usize = 30;

/// What to start: a program with its arguments, environment and directory.
#[derive(Debug)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
}

/// A running child, killed with its process group on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    log: PathBuf,
    keep: Option<TempDir>,
}

/// What the kernel accounts to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time so far, in the kernel's ticks of 10 ms.
    pub cpu: Duration,
    /// Resident memory in KiB that is no file's: pages of the binary come with the code that runs.
    pub anonymous_kib: u64,
    /// Open file descriptors.
    pub open_files: usize,
    /// Threads.
    pub threads: usize,
}

// === impl Launch ===

impl Launch {
    /// Starts describing a child; `name` is used in messages and for the output file.
    pub fn new(name: impl Into<String>, program: impl AsRef<Path>) -> Self {
        Self {
            name: name.into(),
            program: program.as_ref().to_path_buf(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<Path>) -> Self {
        self.args.push(arg.as_ref().to_string_lossy().into_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the child's environment, which otherwise is inherited.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Working directory of the child.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_path_buf());
        self
    }

    /// Starts the child with its output in a file that disappears with it.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(self) -> Result<Process> {
        let keep = tempfile::Builder::new().prefix("strata-").tempdir()?;
        let log = keep.path().join(format!("{}.log", self.name));
        let mut process = self.start_logging_to(&log)?;
        process.keep = Some(keep);
        Ok(process)
    }

    /// Starts the child with stdout and stderr appended to `log`.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the program cannot be started.
    pub fn start_logging_to(self, log: &Path) -> Result<Process> {
        let out = File::options().create(true).append(true).open(log)?;
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command
                    .args(["--pdeathsig", "KILL", "--"])
                    .arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(&self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let child = spawn(command)
            .with_context(|| format!("cannot start {}: {}", self.name, self.program.display()))?;
        Ok(Process {
            name: self.name,
            child,
            status: None,
            log: log.to_path_buf(),
            keep: None,
        })
    }

    /// Runs the child to its end and gives back its status and output.
    ///
    /// # Errors
    ///
    /// When it cannot be started or has not ended within `deadline`.
    pub async fn run(self, deadline: Duration) -> Result<(ExitStatus, String)> {
        let mut process = self.start()?;
        let status = process.wait_exit(deadline).await?;
        Ok((status, process.output()))
    }

    /// Runs the child to a successful end and gives back its output.
    ///
    /// # Errors
    ///
    /// As [`Launch::run`], and when the status is not success.
    pub async fn run_ok(self, deadline: Duration) -> Result<String> {
        let what = format!("{} {}", self.name, self.args.join(" "));
        let (status, output) = self.run(deadline).await?;
        ensure!(
            status.success(),
            "{what}: {status}\n{}",
            last_lines(&output, TAIL_LINES)
        );
        Ok(output)
    }
}

// === impl Process ===

impl Process {
    /// The name given at launch.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id of the program itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(
            self.is_running(),
            "{} has ended, cannot get {signal}",
            self.name
        );
        kill(self.target()?, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Ends it at once with SIGKILL, together with its group, and reaps it.
    pub fn kill(&mut self) {
        if let Ok(pid) = self.target()
            && self.status.is_none()
        {
            // Fails only when the group is gone already, which is what we want.
            let _ = killpg(pid, Signal::SIGKILL);
            self.status = self.child.wait().ok();
        }
    }

    /// Asks it to end with SIGTERM and waits for that.
    ///
    /// # Errors
    ///
    /// When it still runs after `deadline`.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_exit(deadline).await
    }

    /// Stops it with SIGSTOP: its sockets stay open, and nothing answers. Returns once the kernel shows it stopped.
    ///
    /// # Errors
    ///
    /// When it has ended or is not stopped within 5 s.
    pub async fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        self.wait_state(|state| state == 'T', "frozen").await
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub async fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::SIGCONT)?;
        self.wait_state(|state| state != 'T', "thawed").await
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_none()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it still runs after `deadline`.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("end of {}", self.name);
        let waited = eventually(deadline, &what, async || {
            let running = self.is_running();
            self.status.filter(|_| !running).context("still running")
        });
        waited.await.map_err(|e| self.with_tail(e))
    }

    /// Waits until a line of the output matches `pattern`; gives back its first group, or the whole match.
    ///
    /// # Errors
    ///
    /// When there is none within `deadline`, when the process ends before that, or for a bad pattern.
    pub async fn wait_line(&mut self, pattern: &str, deadline: Duration) -> Result<String> {
        let regex = Regex::new(&format!("(?m){pattern}"))?;
        let what = format!("line /{pattern}/ of {}", self.name);
        self.until(deadline, &what, async |output| {
            let found = regex.captures(&output).context("no such line")?;
            let group = found
                .get(1)
                .or_else(|| found.get(0))
                .context("empty match")?;
            Ok(group.as_str().to_owned())
        })
        .await
    }

    /// Waits until `check`, which gets the output so far, returns `Ok`; fails at once when the process ends.
    ///
    /// # Errors
    ///
    /// As [`eventually`], with the end of the output.
    pub async fn until<T, F>(&mut self, deadline: Duration, what: &str, mut check: F) -> Result<T>
    where
        F: AsyncFnMut(String) -> Result<T>,
    {
        let waited = eventually(deadline, what, async || {
            let running = self.is_running();
            match check(self.output()).await {
                Ok(value) => Ok(Ok(value)),
                Err(_) if !running => Ok(Err(anyhow!("{what}: {}", self.ending()))),
                Err(e) => Err(e),
            }
        });
        waited
            .await
            .and_then(|inner| inner)
            .map_err(|e| self.with_tail(e))
    }

    /// Waits until something accepts TCP connections at `address`.
    ///
    /// # Errors
    ///
    /// As [`Process::until`].
    pub async fn wait_tcp(
        &mut self,
        address: std::net::SocketAddr,
        deadline: Duration,
    ) -> Result<()> {
        let what = format!("{} listening on {address}", self.name);
        self.until(deadline, &what, async |_| {
            tokio::net::TcpStream::connect(address)
                .await
                .map(drop)
                .map_err(Into::into)
        })
        .await
    }

    /// Waits until `GET path` at `address` is answered with `status`.
    ///
    /// # Errors
    ///
    /// As [`Process::until`].
    pub async fn wait_http(
        &mut self,
        address: std::net::SocketAddr,
        path: &str,
        status: u16,
        deadline: Duration,
    ) -> Result<()> {
        let what = format!("{}: GET http://{address}{path} = {status}", self.name);
        self.until(deadline, &what, async |_| {
            let answer = crate::http::get(address, path).await?;
            ensure!(
                answer.status == status,
                "{} {}",
                answer.status,
                answer.text()
            );
            Ok(())
        })
        .await
    }

    /// All output so far.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of the output, for messages.
    pub fn tail(&self) -> String {
        last_lines(&self.output(), TAIL_LINES)
    }

    /// Adds the end of the output to an error.
    pub fn with_tail(&self, error: anyhow::Error) -> anyhow::Error {
        anyhow!(
            "{error:#}\n--- last output of {} ---\n{}\n---",
            self.name,
            self.tail()
        )
    }

    /// CPU time, memory and descriptors so far.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.pid()).with_context(|| format!("usage of {}", self.name))
    }

    fn ending(&self) -> String {
        let status = self
            .status
            .map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        format!("{} ended ({status})", self.name)
    }

    async fn wait_state(&mut self, wanted: impl Fn(char) -> bool, what: &str) -> Result<()> {
        let pid = self.pid();
        let what = format!("{} {what}", self.name);
        eventually(Duration::from_secs(5), &what, async || {
            let state = state(pid)?;
            ensure!(wanted(state), "state {state}");
            Ok(())
        })
        .await
    }

    fn target(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.pid())?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- last output of {} ---\n{}\n---", self.name, self.tail());
        }
        if std::env::var_os("STRATA_KEEP").is_some()
            && let Some(dir) = self.keep.take()
        {
            eprintln!("{}: output kept in {}", self.name, dir.keep().display());
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}

fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| crate::tools::find("setpriv"))
        .as_deref()
}

fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<SyncSender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests): (_, Receiver<Request>) = sync_channel(16);
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                // The receiver is gone only when its thread panicked; the child then dies with the process.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = sync_channel(1);
    if spawner.send((command, answer)).is_err() {
        bail!("the thread that starts children has ended");
    }
    Ok(child.recv()??)
}

/// Fields of `/proc/PID/stat` after the command name, the only one that may contain spaces.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text
        .rsplit_once(") ")
        .context("/proc stat without a command name")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn state(pid: u32) -> Result<char> {
    stat(pid)?
        .first()
        .and_then(|s| s.chars().next())
        .context("/proc stat without a state")
}

fn usage(pid: u32) -> Result<Usage> {
    let fields = stat(pid)?;
    let field = |index: usize| -> Result<u64> {
        Ok(fields
            .get(index)
            .context("/proc stat is short")?
            .parse::<u64>()?)
    };
    let ticks = field(11)? + field(12)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let anonymous_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no RssAnon")?
        .parse()?;
    Ok(Usage {
        cpu: Duration::from_millis(ticks * 10),
        anonymous_kib,
        open_files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
        threads: usize::try_from(field(17)?)?,
    })
}
