//! The process that is to serve: what it will be, and whether it can.

use super::running::Running;
use crate::args::UpgradeArgs;
use crate::failure::{Exit, Failure};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Time for `--version` and for `check`.
const CHECK: Duration = Duration::from_secs(20);
/// How the programs say that a configuration is at fault.
const INVALID: i32 = 3;

/// What will be started.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) binary: PathBuf,
    pub(super) config: PathBuf,
    arguments: Vec<OsString>,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

// === impl Plan ===

impl Plan {
    /// The predecessor's command line, with what is to be different.
    pub(super) fn new(running: &Running, args: &UpgradeArgs) -> Result<Self, Failure> {
        let (config, mut arguments) = without_upgrade(&running.arguments)?;
        let config = match &args.config {
            Some(config) => absolute(config)?,
            None => running.directory.join(config),
        };
        let binary = match &args.binary {
            Some(binary) => absolute(binary)?,
            None => running.binary.clone(),
        };
        if !binary.is_file() {
            let message = format!("there is no {}", binary.display());
            return Err(Failure::new(Exit::Failed, message).hint("--binary names the one to start"));
        }
        arguments.extend(["--config".into(), config.clone().into_os_string()]);
        arguments.push("--upgrade".into());
        let limit = format!("{}ms", args.ready_timeout.as_millis());
        arguments.extend(["--upgrade-timeout".into(), limit.into()]);
        Ok(Self {
            binary,
            config,
            arguments,
            directory: running.directory.clone(),
            environment: running.environment.clone(),
        })
    }

    /// The command line, for people.
    pub(super) fn command(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        let words: Vec<_> = words.collect();
        format!("{} {}", self.binary.display(), words.join(" "))
    }

    /// What the binary says that it is.
    pub(super) async fn version(&self) -> Result<String, Failure> {
        let output = self.ask(&["--version".into()]).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && !text.trim().is_empty() {
            return Ok(text.trim().to_owned());
        }
        let message = format!("{} --version: {}", self.binary.display(), output.status);
        Err(Failure::new(Exit::Failed, message).hint(told(&output)))
    }

    /// Lets the new binary check the new configuration.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let config = self.config.clone().into_os_string();
        let output = self
            .ask(&["check".into(), "--config".into(), config])
            .await?;
        if output.status.success() {
            return Ok(());
        }
        let exit = match output.status.code() {
            Some(INVALID) => Exit::Config,
            _ => Exit::Failed,
        };
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        let message = format!("{} is refused by the new binary", self.config.display());
        Err(Failure::new(exit, message).hint("nothing has changed: the old process serves"))
    }

    /// Program, arguments, directory and environment of the process that starts it; see [`super::starter`].
    pub(super) fn starter(&self, like: u32) -> Command {
        // This program's own file, also where another lies at its path by now.
        let mut command = Command::new("/proc/self/exe");
        self.dress(&mut command);
        command
            .arg0("lbctl")
            .args(["upgrade-start", "--like", &like.to_string(), "--"])
            .arg(&self.binary)
            .args(&self.arguments);
        command
    }

    async fn ask(&self, arguments: &[OsString]) -> Result<Output, Failure> {
        let failed = |why: String| {
            let message = format!("running {}: {why}", self.binary.display());
            Failure::new(Exit::Failed, message).hint("nothing has changed: the old process serves")
        };
        let mut command = tokio::process::Command::from(self.bare());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match tokio::time::timeout(CHECK, command.output()).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no end within {CHECK:?}"))),
        }
    }

    fn bare(&self) -> Command {
        let mut command = Command::new(&self.binary);
        self.dress(&mut command);
        command
    }

    fn dress(&self, command: &mut Command) {
        let pairs = self.environment.iter().map(|(name, value)| (name, value));
        command.current_dir(&self.directory).env_clear().envs(pairs);
    }
}

/// The configuration that a command line names, and the rest of it without what belongs to one upgrade.
fn without_upgrade(arguments: &[OsString]) -> Result<(PathBuf, Vec<OsString>), Failure> {
    let (mut config, mut rest) = (None, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        match text.split_once('=') {
            Some(("--config", value)) => config = Some(PathBuf::from(value)),
            Some(("--upgrade-timeout", _)) => {}
            _ if text == "--config" => config = words.next().map(PathBuf::from),
            _ if text == "--upgrade-timeout" => drop(words.next()),
            _ if text == "--upgrade" => {}
            _ => rest.push(word.clone()),
        }
    }
    match config {
        Some(config) => Ok((config, rest)),
        None => Err(Failure::new(
            Exit::Failed,
            "the process that serves has no --config in its command line",
        )
        .hint("is it one of ours?")),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{} is no path: {error}", path.display()),
        )
    })
}

fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    match text.trim() {
        "" => "it said nothing; the old process serves".to_owned(),
        text => format!("it said: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_upgrade_is_not_passed_on() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let line = words("run --config a.yaml --upgrade --upgrade-timeout 60s --other x");
        let (config, rest) = without_upgrade(&line).unwrap();
        assert_eq!(config, PathBuf::from("a.yaml"));
        assert_eq!(rest, words("run --other x"));
        let (config, rest) = without_upgrade(&words("run --config=b --upgrade")).unwrap();
        assert_eq!((config, rest), (PathBuf::from("b"), words("run")));
        assert!(without_upgrade(&words("run")).is_err());
    }
}
