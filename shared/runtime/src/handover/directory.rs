//! The run directory: who may enter it, and what lies in it.
//!
//! Whoever reaches `upgrade.sock` can take the traffic over, so the directory is the lock: mode 0700, of this process's user, and no
//! symbolic link. It is checked at every start, because a directory under `/tmp` may have been made by somebody else first.

use super::files::{PidFile, SocketFile};
use super::other::Other;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that only this user may enter.
#[derive(Debug, Clone)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    /// The lock of a process that starts here.
    claim: Option<Arc<File>>,
}

/// Why a run directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error(
        "run_directory {path} can't be made: {source}; make its parent, or name another directory"
    )]
    Make { path: PathBuf, source: io::Error },
    #[error("run_directory {0} is no directory")]
    Kind(PathBuf),
    #[error(
        "run_directory {path} belongs to user {owner}, and this process is user {user}: whoever owns it could take the traffic over; \
         name a directory of this user"
    )]
    Owner {
        path: PathBuf,
        owner: u32,
        user: u32,
    },
    #[error(
        "run_directory {path} is open to others (mode {mode:03o}): `chmod 700 {path}`, so that nobody else can take the traffic over"
    )]
    Open { path: PathBuf, mode: u32 },
    #[error(
        "process {pid} serves from run_directory {path}: use `lbctl upgrade`, or stop it first"
    )]
    Taken { path: PathBuf, pid: u32 },
    #[error(
        "another process starts from run_directory {0} at this moment: only one can serve from there"
    )]
    Starting(PathBuf),
    #[error("process {pid} has taken run_directory {path}, which was this process's")]
    Lost { path: PathBuf, pid: u32 },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

// === impl RunDirectory ===

impl RunDirectory {
    /// Makes the directory if there is none, and checks it.
    ///
    /// # Errors
    /// It can't be made, or somebody else may enter it.
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let path = path.to_owned();
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(DirectoryError::Make { path, source }),
        }
        let about = match fs::symlink_metadata(&path) {
            Ok(about) => about,
            Err(source) => return Err(DirectoryError::File { path, source }),
        };
        let user = rustix::process::geteuid().as_raw();
        let mode = about.mode() & 0o777;
        if !about.is_dir() {
            Err(DirectoryError::Kind(path))
        } else if about.uid() != user {
            let owner = about.uid();
            Err(DirectoryError::Owner { path, owner, user })
        } else if mode & 0o077 != 0 {
            Err(DirectoryError::Open { path, mode })
        } else {
            match fs::canonicalize(&path) {
                Ok(path) => Ok(Self { path, claim: None }),
                Err(source) => Err(DirectoryError::File { path, source }),
            }
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the serving process waits for a successor.
    pub(crate) fn upgrade(&self) -> PathBuf {
        self.path.join("upgrade.sock")
    }

    /// The admin socket of a process.
    pub(crate) fn admin(&self, pid: u32) -> PathBuf {
        self.path.join(format!("admin-{pid}.sock"))
    }

    /// Removes what dead processes left, and finds out whether a live one serves. Asked at its admin socket: a connection to
    /// `upgrade.sock` would be an upgrade. Until [`Self::settle`] no other process can claim the directory: this one shows its pid last.
    ///
    /// # Errors
    /// A process serves here, or another one is about to.
    pub(crate) fn claim(&mut self) -> Result<(), DirectoryError> {
        let path = self.path.join("lock");
        let lock = File::options().create(true).append(true).open(&path);
        let lock = lock.map_err(|source| DirectoryError::File { path, source })?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(DirectoryError::Starting(self.path.clone()));
        }
        for pid in self.admins() {
            let socket = self.admin(pid);
            if UnixStream::connect(&socket).is_err() {
                let _ = fs::remove_file(&socket);
            } else if self.pid() == Some(pid) {
                let path = self.path.clone();
                return Err(DirectoryError::Taken { path, pid });
            }
        }
        self.claim = Some(Arc::new(lock));
        Ok(())
    }

    /// This process shows that it serves here: whoever comes now sees it.
    pub(super) fn settle(&mut self) {
        self.claim = None;
    }

    /// The other processes that have an admin socket here, which each has to its end.
    pub(super) fn others(&self) -> Vec<Other> {
        let others = self.admins().into_iter().filter(|pid| {
            *pid != std::process::id() && UnixStream::connect(self.admin(*pid)).is_ok()
        });
        others.filter_map(Other::of).collect()
    }

    /// Whether a process with this pid lives and has an admin socket here. Not asked by a connection: one that hangs would have its
    /// queue filled.
    pub(super) fn has(&self, pid: u32) -> bool {
        let lives = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let lives = lives.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
        lives && self.admin(pid).exists()
    }

    /// Where the serving process's id is.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.path.join("pid")
    }

    /// The process that serves, by its own word.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        text.trim().parse().ok()
    }

    /// This process's id, written under a name that nobody looks at.
    ///
    /// # Errors
    /// It can't be written: the disk is full, or the directory is gone.
    pub(super) fn draft_pid(&self) -> Result<PidFile, DirectoryError> {
        let own = std::process::id();
        let path = self.path.join(format!("pid.{own}"));
        PidFile::draft(path, &format!("{own}\n"))
    }

    /// Removes the pid, if it is this process's.
    pub(crate) fn remove_pid(&self) {
        if self.pid() == Some(std::process::id()) {
            let _ = fs::remove_file(self.pid_file());
        }
    }

    /// A listening socket at `path`, for this user only.
    ///
    /// # Errors
    /// It can't be bound; a path of more than 107 bytes is too long for a socket.
    pub(crate) fn bind(&self, path: PathBuf) -> Result<(UnixListener, SocketFile), DirectoryError> {
        SocketFile::bind(path)
    }

    /// The processes whose admin sockets lie here.
    fn admins(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pid = |name: String| {
            let rest = name.strip_prefix("admin-")?;
            rest.strip_suffix(".sock")?.parse().ok()
        };
        names.filter_map(pid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_a_directory_of_ones_own_is_good() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let made = RunDirectory::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700);
        assert!(RunDirectory::open(&path).is_ok(), "it may be there");
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        let error = RunDirectory::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = RunDirectory::open(&link).unwrap_err();
        assert!(matches!(error, DirectoryError::Kind(_)), "{error}");
        let far = RunDirectory::open(&root.path().join("a/b")).unwrap_err();
        assert!(matches!(far, DirectoryError::Make { .. }), "{far}");
        assert_eq!(made.pid(), None);
    }

    #[test]
    fn a_dead_process_leaves_no_claim() {
        let root = tempfile::tempdir().unwrap();
        let mut directory = RunDirectory::open(&root.path().join("run")).unwrap();
        let pid = directory.draft_pid().unwrap();
        pid.publish(directory.pid_file()).unwrap();
        let own = directory.admin(std::process::id());
        let (listener, file) = directory.bind(own.clone()).unwrap();
        let error = directory.claim().unwrap_err();
        assert!(matches!(error, DirectoryError::Taken { .. }), "{error}");
        assert!(directory.others().is_empty(), "this one is no other");
        assert!(directory.has(std::process::id()));
        std::mem::forget(file);
        drop(listener);
        directory.claim().unwrap();
        assert!(!own.exists(), "a stale socket is removed");
        assert!(!directory.has(std::process::id()));
        directory.remove_pid();
        assert_eq!(directory.pid(), None);
    }

    #[test]
    fn a_socket_that_took_the_place_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(&root.path().join("run")).unwrap();
        let (_old, old) = directory.bind(directory.upgrade()).unwrap();
        let (_new, mut new) = directory.bind(directory.path().join("draft")).unwrap();
        new.rename(directory.upgrade()).unwrap();
        drop(old);
        assert!(directory.upgrade().exists());
        drop(new);
        assert!(!directory.upgrade().exists());
    }

    #[test]
    fn two_that_start_at_once_do_not_both_get_it() {
        let root = tempfile::tempdir().unwrap();
        let mut first = RunDirectory::open(&root.path().join("run")).unwrap();
        let mut second = first.clone();
        first.claim().unwrap();
        let error = second.claim().unwrap_err();
        assert!(matches!(error, DirectoryError::Starting(_)), "{error}");
        first.settle();
        second.claim().unwrap();
        drop(second);
        first.claim().unwrap();
    }

    #[test]
    fn a_dead_one_is_not_waited_for_though_its_pid_and_its_socket_are_there() {
        let root = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(&root.path().join("run")).unwrap();
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (_listener, _file) = directory.bind(directory.admin(child.id())).unwrap();
        let others = directory.others();
        assert!(others.len() == 1 && others.iter().all(Other::goes_on));
        child.kill().unwrap();
        while others.iter().any(Other::goes_on) {
            std::thread::yield_now();
        }
        assert!(directory.has(child.id()), "the control: its pid is taken");
        child.wait().unwrap();
        assert!(directory.others().is_empty());
    }
}
