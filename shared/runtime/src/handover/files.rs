//! Files of the run directory that go with their owner.
//!
//! Each is made under a name that nobody looks at, and renamed to its place: what can fail (a full disk, a path that is too long)
//! fails before anybody depends on it, and there is no moment at which the place is empty or holds half a file.

use super::DirectoryError;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A socket file that goes with its owner, unless somebody else's has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// A written file that goes with its owner until it is put in its place.
#[derive(Debug)]
pub(super) struct PidFile {
    draft: PathBuf,
}

// === impl SocketFile ===

impl SocketFile {
    /// A listening socket at `path`, for this user only.
    pub(super) fn bind(path: PathBuf) -> Result<(UnixListener, Self), DirectoryError> {
        let _ = fs::remove_file(&path);
        let bound = UnixListener::bind(&path).and_then(|listener| {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            let inode = fs::symlink_metadata(&path)?.ino();
            Ok((listener, inode))
        });
        match bound {
            Ok((listener, inode)) => Ok((listener, Self { path, inode })),
            Err(source) => Err(DirectoryError::File { path, source }),
        }
    }

    /// Gives the socket another name, in place of what has it.
    pub(super) fn rename(&mut self, path: PathBuf) -> Result<(), DirectoryError> {
        rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Whether it is where it was put.
    pub(crate) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|about| about.ino() == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

// === impl PidFile ===

impl PidFile {
    pub(super) fn draft(draft: PathBuf, text: &str) -> Result<Self, DirectoryError> {
        let file = Self { draft };
        fs::write(&file.draft, text).map_err(|source| DirectoryError::File {
            path: file.draft.clone(),
            source,
        })?;
        Ok(file)
    }

    /// Puts it in its place.
    pub(super) fn publish(self, path: PathBuf) -> Result<(), DirectoryError> {
        rename(&self.draft, &path)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nothing is there once it is in its place.
        let _ = fs::remove_file(&self.draft);
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), DirectoryError> {
    fs::rename(from, to).map_err(|source| DirectoryError::File {
        path: to.to_owned(),
        source,
    })
}
