//! The admin socket in the run directory.
//!
//! Whatever cleans old files up may remove it under a process that serves for weeks, and without it nobody can upgrade that process. So
//! it can be bound again: the thread that accepts gets its listeners through a channel.

use crate::handover::{DirectoryError, RunDirectory, SocketFile};
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The listeners, one after the other; each ends the one before.
pub(crate) type Listeners = Receiver<UnixListener>;

/// The file of the socket.
#[derive(Debug)]
pub(crate) struct LocalDoor {
    file: Mutex<SocketFile>,
    listeners: Sender<UnixListener>,
}

// === impl LocalDoor ===

impl LocalDoor {
    /// Binds this process's admin socket.
    ///
    /// # Errors
    /// No file can be made in the directory.
    pub(crate) fn open(directory: &RunDirectory) -> Result<(Arc<Self>, Listeners), DirectoryError> {
        let (listener, file) = bind(directory)?;
        let (listeners, receiver) = channel(1);
        // There is room for one.
        let _ = listeners.try_send(listener);
        let file = Mutex::new(file);
        Ok((Arc::new(Self { file, listeners }), receiver))
    }

    /// Whether the socket is where it was put.
    pub(crate) fn is_there(&self) -> bool {
        self.lock().is_there()
    }

    /// Binds it again.
    ///
    /// # Errors
    /// No file can be made in the directory, or the thread that accepts has not taken the listener before.
    pub(crate) fn reopen(&self, directory: &RunDirectory) -> Result<(), DirectoryError> {
        let room = self.listeners.try_reserve();
        let room = room.map_err(|_full| DirectoryError::File {
            path: directory.admin(std::process::id()),
            source: io::ErrorKind::WouldBlock.into(),
        })?;
        let (listener, file) = bind(directory)?;
        *self.lock() = file;
        room.send(listener);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, SocketFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(directory: &RunDirectory) -> Result<(UnixListener, SocketFile), DirectoryError> {
    directory.bind(directory.admin(std::process::id()))
}
