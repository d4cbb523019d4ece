//! What the kernel tells of the process that serves.

use crate::failure::{Exit, Failure};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// What the kernel adds to the name of a binary that was replaced.
const DELETED: &str = " (deleted)";

/// A running process, as far as its successor has to be like it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    /// Its binary's path; another file may be there by now, which is how packages are upgraded.
    pub(super) binary: PathBuf,
    /// Its arguments, without the program's name.
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) directory: PathBuf,
    group: String,
}

// === impl Running ===

impl Running {
    pub(super) fn of(pid: u32) -> Result<Self, Failure> {
        let read = || -> io::Result<Self> {
            let root = PathBuf::from(format!("/proc/{pid}"));
            let mut arguments = split(fs::read(root.join("cmdline"))?).into_iter();
            let _name = arguments.next();
            let pairs = split(fs::read(root.join("environ"))?).into_iter();
            Ok(Self {
                pid,
                binary: undeleted(fs::read_link(root.join("exe"))?),
                arguments: arguments.collect(),
                environment: pairs.filter_map(pair).collect(),
                directory: fs::read_link(root.join("cwd"))?,
                group: fs::read_to_string(root.join("cgroup")).unwrap_or_default(),
            })
        };
        read().map_err(|error| {
            Failure::new(Exit::Failed, format!("looking at process {pid}: {error}"))
                .hint("be the user of that process, or root")
        })
    }

    /// The binary and its arguments, for people.
    pub(super) fn command(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        let words: Vec<_> = words.collect();
        format!("{} {}", self.binary.display(), words.join(" "))
    }

    /// Where it writes: 1 or 2. None where that can't be opened, as with the journal's socket.
    pub(super) fn output(&self, descriptor: u32) -> Option<String> {
        let path = format!("/proc/{}/fd/{descriptor}", self.pid);
        let target = fs::read_link(&path).ok()?;
        let _is_open = File::options().append(true).open(&path).ok()?;
        Some(target.display().to_string())
    }

    /// Refuses to start a successor outside of the unit of a service: systemd would end it with the predecessor.
    pub(super) fn same_unit(&self) -> Result<(), Failure> {
        let supervised = self
            .environment
            .iter()
            .any(|(name, _)| name == "NOTIFY_SOCKET");
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let Some(unit) = unit(&self.group) else {
            return Ok(());
        };
        if !supervised || self::unit(&own) == Some(unit) {
            return Ok(());
        }
        let message = format!("process {} is a service of systemd", self.pid);
        Err(Failure::new(Exit::Failed, message).hint(format!(
            "`systemctl reload {unit}`: what is started here would not belong to the unit"
        )))
    }
}

fn split(bytes: Vec<u8>) -> Vec<OsString> {
    let words = bytes.split(|byte| *byte == 0);
    words
        .map(|word| OsString::from_vec(word.to_vec()))
        .filter(|word| !word.is_empty())
        .collect()
}

fn pair(text: OsString) -> Option<(OsString, OsString)> {
    let bytes = text.into_vec();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = bytes.split_at(at);
    let value = value.get(1..).unwrap_or_default();
    Some((
        OsString::from_vec(name.to_vec()),
        OsString::from_vec(value.to_vec()),
    ))
}

fn undeleted(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(DELETED)) {
        Some(text) if !path.exists() => PathBuf::from(text),
        _ => path,
    }
}

/// The service that a control group belongs to.
fn unit(group: &str) -> Option<&str> {
    let mut parts = group.lines().flat_map(|line| line.split('/'));
    parts.rfind(|part| part.ends_with(".service") && !part.starts_with("user@"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_was_replaced_keeps_its_path() {
        let path = undeleted(PathBuf::from("/no/such/global-lb (deleted)"));
        assert_eq!(path, PathBuf::from("/no/such/global-lb"));
    }

    #[test]
    fn units_are_found_in_both_hierarchies() {
        let is = "0::/system.slice/global-lb.service\n";
        assert_eq!(unit(is), Some("global-lb.service"));
        let user = "0::/user.slice/user-0.slice/user@0.service/app.slice/lb.service\n";
        assert_eq!(unit(user), Some("lb.service"));
        assert_eq!(unit("1:name=systemd:/\n0::/\n"), None);
    }

    #[test]
    fn an_environment_may_hold_equal_signs() {
        let made = pair("A=b=c".into()).unwrap();
        assert_eq!(made, ("A".into(), "b=c".into()));
    }
}
