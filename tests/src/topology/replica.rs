//! One process of ours: started, killed, frozen, restarted and reconfigured by name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http;
use crate::process::{Launch, Process, Signal, Usage};
use crate::tools;

const READY: Duration = Duration::from_secs(15);

/// Which program a replica runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// `global-lb`.
    Global,
    /// `regional-lb`.
    Regional,
}

/// A replica of a tier, running or not.
#[derive(Debug)]
pub struct Replica {
    tier: Tier,
    name: String,
    address: SocketAddr,
    admin: SocketAddr,
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

// === impl Tier ===

impl Tier {
    /// Name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Global => "global-lb",
            Self::Regional => "regional-lb",
        }
    }
}

// === impl Replica ===

impl Replica {
    pub(super) fn new(
        tier: Tier,
        name: &str,
        address: SocketAddr,
        admin: SocketAddr,
        dir: &Path,
    ) -> Self {
        Self {
            tier,
            name: name.to_owned(),
            address,
            admin,
            program: PathBuf::new(),
            config: dir.join(format!("{name}.yaml")),
            log: dir.join(format!("{name}.log")),
            arguments: Vec::new(),
            environment: Vec::new(),
            process: None,
        }
    }

    /// With more arguments and variables.
    pub(super) fn with(mut self, arguments: &[String], environment: &[(String, String)]) -> Self {
        self.arguments = arguments.to_vec();
        self.environment = environment.to_vec();
        self
    }

    pub(super) fn launched(mut self, config: &str, programs: Option<&Path>) -> Result<Self> {
        let name = self.tier.program();
        self.program = match programs {
            Some(dir) => dir.join(name),
            None => tools::program(name)?,
        };
        std::fs::write(&self.config, config)?;
        self.launch()?;
        Ok(self)
    }

    /// The next restart is one of the programs of this build, wherever those of the topology came from.
    ///
    /// # Errors
    ///
    /// When it is not built.
    pub fn use_own_program(&mut self) -> Result<()> {
        self.program = tools::program(self.tier.program())?;
        Ok(())
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tier.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Where it takes traffic.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The process, for anything not offered here.
    ///
    /// # Errors
    ///
    /// When it was killed and not restarted.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .with_context(|| format!("{} is not running", self.name))
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end with SIGTERM and waits for that.
    ///
    /// # Errors
    ///
    /// When it still runs after `deadline`.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.process()?.terminate(deadline).await
    }

    /// Sends a signal, such as SIGHUP for a reload.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process()?.signal(signal)
    }

    /// Stops it with SIGSTOP; the kernel still accepts connections for it.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn freeze(&mut self) -> Result<()> {
        self.process()?.freeze().await
    }

    /// Lets it go on after [`Replica::freeze`].
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn thaw(&mut self) -> Result<()> {
        self.process()?.thaw().await
    }

    /// Kills it if it runs, starts it again with the same file, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it is not ready in time.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch()?;
        self.wait_ready().await
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    ///
    /// When it does not within 15 s, or the process ends; the message holds its output.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let admin = self.admin;
        self.process()?
            .wait_http(admin, "/readyz", 200, READY)
            .await
    }

    /// Replaces the configuration file in one step (write beside it, then rename).
    ///
    /// # Errors
    ///
    /// When it cannot be read or written.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let text = change(std::fs::read_to_string(&self.config)?);
        let new = self.config.with_extension("new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(&new, &self.config)?)
    }

    /// `GET path` on the admin listener.
    ///
    /// # Errors
    ///
    /// When there is no answer, or its status is not 200.
    pub async fn admin_get(&self, path: &str) -> Result<http::Answer> {
        let answer = http::get(self.admin, path).await?;
        ensure!(
            answer.status == 200,
            "{path} of {}: {}",
            self.name,
            answer.status
        );
        Ok(answer)
    }

    /// `/metrics`, as text.
    ///
    /// # Errors
    ///
    /// As [`Replica::admin_get`].
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.admin_get("/metrics").await?.text())
    }

    /// Sum of all samples of a metric whose line contains each of `labels`; 0 when there is none.
    ///
    /// # Errors
    ///
    /// As [`Replica::admin_get`].
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.metrics().await?;
        let is_wanted = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or("x");
            (rest.starts_with('{') || rest.starts_with(' '))
                && labels.iter().all(|label| rest.contains(label))
        };
        let samples = text.lines().filter(is_wanted);
        Ok(samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// `/api/v1/status`, as JSON.
    ///
    /// # Errors
    ///
    /// As [`Replica::admin_get`], or when it is no JSON.
    pub async fn status(&self) -> Result<Value> {
        self.admin_get("/api/v1/status").await?.json()
    }

    /// CPU time, memory and descriptors.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn usage(&mut self) -> Result<Usage> {
        self.process()?.usage()
    }

    /// Its output over all its lives.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn launch(&mut self) -> Result<()> {
        let mut launch = Launch::new(&self.name, &self.program);
        for (name, value) in &self.environment {
            launch = launch.env(name, value);
        }
        let launch = launch
            .args(["run", "--config"])
            .arg(&self.config)
            .args(self.arguments.clone());
        self.process = Some(launch.start_logging_to(&self.log)?);
        Ok(())
    }
}
