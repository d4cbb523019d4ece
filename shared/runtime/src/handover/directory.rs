//! The run directory: who may enter it, and what lies in it.
//!
//! Whoever reaches `upgrade.sock` can take the traffic over, so the directory is the lock: mode 0700, of this process's user, and no
//! symbolic link. It is checked at every start, because a directory under `/tmp` may have been made by somebody else first.

use rustix::process::Pid;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A directory that only this user may enter.
#[derive(Debug, Clone)]
pub(crate) struct RunDirectory {
    path: PathBuf,
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
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

/// A socket file that goes with its owner, unless somebody else's has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
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
                Ok(path) => Ok(Self { path }),
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
    /// `upgrade.sock` would be an upgrade.
    ///
    /// # Errors
    /// A process serves here.
    pub(crate) fn claim(&self) -> Result<(), DirectoryError> {
        for pid in self.admins() {
            let socket = self.admin(pid);
            if UnixStream::connect(&socket).is_err() {
                let _ = fs::remove_file(&socket);
            } else if self.pid() == Some(pid) {
                let path = self.path.clone();
                return Err(DirectoryError::Taken { path, pid });
            }
        }
        Ok(())
    }

    /// The other processes that have an admin socket here, which each has to its end.
    pub(crate) fn others(&self) -> Vec<u32> {
        let mut pids = self.admins();
        pids.retain(|pid| {
            *pid != std::process::id() && UnixStream::connect(self.admin(*pid)).is_ok()
        });
        pids
    }

    /// Whether one of them is still there. Not asked by a connection: one that hangs would have its queue filled.
    pub(crate) fn has(&self, pid: u32) -> bool {
        let lives = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let lives = lives.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
        lives && self.admin(pid).exists()
    }

    /// The process that serves, by its own word.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path.join("pid")).ok()?;
        text.trim().parse().ok()
    }

    /// Writes this process's id.
    pub(crate) fn write_pid(&self) -> Result<(), DirectoryError> {
        let own = std::process::id();
        let draft = self.path.join(format!("pid.{own}"));
        let written = fs::write(&draft, format!("{own}\n"))
            .and_then(|()| fs::rename(&draft, self.path.join("pid")));
        written.map_err(|source| DirectoryError::File {
            path: self.path.join("pid"),
            source,
        })
    }

    /// Removes the pid, if it is this process's.
    pub(crate) fn remove_pid(&self) {
        if self.pid() == Some(std::process::id()) {
            let _ = fs::remove_file(self.path.join("pid"));
        }
    }

    /// A listening socket at `path`, for this user only.
    ///
    /// # Errors
    /// It can't be bound; a path of more than 107 bytes is too long for a socket.
    pub(crate) fn bind(&self, path: PathBuf) -> Result<(UnixListener, SocketFile), DirectoryError> {
        let _ = fs::remove_file(&path);
        let bound = UnixListener::bind(&path).and_then(|listener| {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            let inode = fs::symlink_metadata(&path)?.ino();
            Ok((listener, inode))
        });
        match bound {
            Ok((listener, inode)) => Ok((listener, SocketFile { path, inode })),
            Err(source) => Err(DirectoryError::File { path, source }),
        }
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

// === impl SocketFile ===

impl SocketFile {
    /// Gives the socket another name, in place of what has it.
    pub(crate) fn rename(&mut self, path: PathBuf) -> Result<(), DirectoryError> {
        match fs::rename(&self.path, &path) {
            Ok(()) => {
                self.path = path;
                Ok(())
            }
            Err(source) => Err(DirectoryError::File { path, source }),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|about| about.ino() == self.inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let directory = RunDirectory::open(&root.path().join("run")).unwrap();
        directory.write_pid().unwrap();
        let own = directory.admin(std::process::id());
        let (listener, file) = directory.bind(own.clone()).unwrap();
        let error = directory.claim().unwrap_err();
        assert!(matches!(error, DirectoryError::Taken { .. }), "{error}");
        assert_eq!(directory.others(), [0; 0], "this one is no other");
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
}
