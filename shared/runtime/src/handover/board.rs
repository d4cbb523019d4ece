//! What the serving process shows in its run directory: its pid, the socket for successors, its admin socket.
//!
//! # Problem
//! These files decide whether the process can be upgraded, and others can remove them: whatever cleans `/tmp` up takes a pid file that
//! was not touched for days, an operator removes what looks stale, and a successor that fails after it has put its own files in place leaves
//! those of nobody. A process that serves for months must not learn that on the day of its upgrade.
//!
//! # Choice
//! It looks every [`KEEP`] whether its files are there (by inode, the pid by its content: three system calls), and puts them back. What
//! another live process has put there stays, and is told: two of them would take it from each other for ever.
//!
//! # Rejected
//! *inotify*: it tells of files and not of a directory that was removed with them, and a lost event would be a lost upgrade. A lock held for
//! life: it would have to go to the successor, which an older version does not take.

use super::files::{PidFile, SocketFile};
use super::{DirectoryError, RunDirectory};
use crate::admin::LocalDoor;
use arc_swap::ArcSwap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// How often it is looked whether the files are there.
pub(super) const KEEP: Duration = Duration::from_secs(2);

/// What a process shows.
#[derive(Debug)]
pub(super) struct Board {
    directory: RunDirectory,
    door: Option<Arc<LocalDoor>>,
    post: ArcSwap<Post>,
    /// The directory is free for another.
    withdrawn: AtomicBool,
    /// That the files can't be put back was told.
    told: AtomicBool,
}

/// The same, before it is put in its place.
#[derive(Debug)]
pub(crate) struct Draft {
    directory: RunDirectory,
    door: Option<Arc<LocalDoor>>,
    post: Post,
    pid: PidFile,
}

/// A socket for successors. Its file goes first: as long as it is bound, no other has its inode.
#[derive(Debug)]
struct Post {
    file: SocketFile,
    listener: UnixListener,
}

// === impl Draft ===

impl Draft {
    /// Makes the files under names that nobody looks at. Whatever can fail fails here. Needs an event loop.
    ///
    /// # Errors
    /// No file can be made in the directory.
    pub(crate) fn new(
        directory: RunDirectory,
        door: Option<Arc<LocalDoor>>,
    ) -> Result<Self, DirectoryError> {
        let name = format!("upgrade-{}.sock", std::process::id());
        let path = directory.path().join(name);
        let pid = directory.draft_pid()?;
        let (listener, file) = directory.bind(path.clone())?;
        let listener = UnixListener::from_std(listener)
            .map_err(|source| DirectoryError::File { path, source })?;
        Ok(Self {
            directory,
            door,
            post: Post { file, listener },
            pid,
        })
    }

    /// Puts them in place.
    ///
    /// # Errors
    /// A file can't be renamed: somebody has removed it.
    pub(super) fn put(self) -> Result<Board, DirectoryError> {
        let Self {
            mut directory,
            door,
            mut post,
            pid,
        } = self;
        post.file.rename(directory.upgrade())?;
        pid.publish(directory.pid_file())?;
        directory.settle();
        Ok(Board {
            directory,
            door,
            post: ArcSwap::from_pointee(post),
            withdrawn: AtomicBool::new(false),
            told: AtomicBool::new(false),
        })
    }
}

// === impl Board ===

impl Board {
    pub(super) const fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// The next connection of a successor. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        let post = self.post.load_full();
        let (stream, _) = post.listener.accept().await?;
        Ok(stream)
    }

    /// This process leaves: the directory is free for another.
    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Relaxed);
        self.directory.remove_pid();
    }

    /// Takes the directory back from a successor that failed, whatever that has put there.
    pub(super) fn take_back(&self) {
        let draft = Draft::new(self.directory.clone(), None);
        match draft.and_then(Draft::put) {
            Ok(board) => self.post.store(board.post.into_inner()),
            Err(error) => log::error!(
                "no upgrade is possible for now, which is tried again every {KEEP:?}: {error}"
            ),
        }
    }

    /// Puts back what somebody has removed, unless another process has the directory by now.
    pub(super) fn keep(&self) {
        if self.withdrawn.load(Relaxed) || self.is_in_place() {
            return;
        }
        let path = self.directory.path().display();
        match self.put_back() {
            Ok(()) => {
                self.told.store(false, Relaxed);
                log::warn!(
                    "somebody has removed what lay in run_directory {path}; it is there again"
                );
            }
            Err(error) if !self.told.swap(true, Relaxed) => {
                log::error!("this process can't be upgraded: {error}");
            }
            Err(_) => {}
        }
    }

    fn is_in_place(&self) -> bool {
        self.directory.pid() == Some(std::process::id())
            && self.post.load().file.is_there()
            && self.door.as_ref().is_none_or(|door| door.is_there())
    }

    fn put_back(&self) -> Result<(), DirectoryError> {
        let path = self.directory.path();
        let pid = self.directory.pid();
        if let Some(pid) = pid.filter(|pid| *pid != std::process::id() && self.directory.has(*pid))
        {
            let path = path.to_owned();
            return Err(DirectoryError::Lost { path, pid });
        }
        // It may be gone itself, and the one that is there must be nobody else's.
        let directory = RunDirectory::open(path)?;
        if let Some(door) = self.door.as_ref().filter(|door| !door.is_there()) {
            door.reopen(&directory)?;
        }
        let board = Draft::new(directory, None)?.put()?;
        self.post.store(board.post.into_inner());
        Ok(())
    }
}
