//! The orders on disk: they survive the machine's loss of power, and what is damaged is noticed.
//!
//! # Choice
//! The whole file is written anew, beside the old one, flushed, put in its place by a rename, and the directory is flushed: at each
//! moment there is one whole file. The one before stays as `orders.json.1`. Its first line has a checksum over the rest, so that a
//! torn write, a bad sector and an editor's slip are told from an order; what is damaged is kept aside for people, and the previous
//! copy is used. A lock keeps two processes from writing over each other.
//!
//! # Rejected
//! A log of changes (has to be compacted, and its end is torn after each loss of power); a database (there are a few KiB).
//!
//! # Limits
//! A disk that says that it has flushed and hasn't is believed. While a process that leaves still holds the lock, its successor
//! reads, but doesn't write.

mod format;

pub(crate) use format::Content;

use lb_core::drain::Snapshot;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const NAME: &str = "orders.json";
const LOCK: &str = "orders.lock";
/// Most bytes that are read.
const MOST_BYTES: u64 = 64 << 20;

/// The directory of this replica's orders.
#[derive(Debug)]
pub(crate) struct Keeper {
    directory: PathBuf,
    lock: Mutex<Lock>,
}

#[derive(Debug)]
enum Lock {
    /// Not taken yet.
    Free,
    /// Held for as long as the file is open.
    Held { _file: File },
    /// Let go for the successor.
    Left,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The orders; none when there is no file that can be used.
    pub(crate) content: Option<Content>,
    /// What was wrong with the files.
    pub(crate) faults: Vec<String>,
    /// The file is of a later version and must not be written over.
    pub(crate) is_later: bool,
}

/// Why the orders can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; {remedy}")]
pub(crate) struct FileFault {
    path: String,
    source: io::Error,
    remedy: String,
}

/// How a file reads.
enum Reading {
    Missing,
    Good(Content),
    Later(u32),
    Bad(String),
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            lock: Mutex::new(Lock::Free),
        }
    }

    /// Where the orders are.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Reads what is there. A damaged file is put aside as `.damaged`, and the previous copy is used.
    pub(crate) fn load(&self) -> Found {
        let (current, previous) = (self.path(), self.beside("1"));
        let mut found = Found::default();
        match read(&current) {
            Reading::Good(content) => {
                found.content = Some(content);
                return found;
            }
            Reading::Missing => {}
            Reading::Later(format) => {
                found.is_later = true;
                found.faults.push(format!(
                    "{}: is in format {format} of a later version, and is left alone: upgrade this replica",
                    current.display()
                ));
                return found;
            }
            Reading::Bad(why) => {
                let aside = self.beside("damaged");
                let kept = std::fs::rename(&current, &aside).map_or_else(
                    |error| format!("it can't be put aside: {error}"),
                    |()| format!("it is kept as {}", aside.display()),
                );
                let fault = format!("{}: is damaged ({why}); {kept}", current.display());
                found.faults.push(fault);
            }
        }
        match read(&previous) {
            Reading::Good(content) => {
                let what = if found.faults.is_empty() {
                    "missing"
                } else {
                    "damaged"
                };
                found.faults.push(format!(
                    "the previous copy {} is used, as the last one is {what}",
                    previous.display()
                ));
                found.content = Some(content);
            }
            Reading::Missing => {}
            Reading::Later(format) => found.faults.push(format!(
                "the previous copy {} is in format {format} of a later version",
                previous.display()
            )),
            Reading::Bad(why) => found.faults.push(format!(
                "the previous copy {} is damaged too ({why})",
                previous.display()
            )),
        }
        found
    }

    /// Takes the lock unless it is held. True when it was taken just now: somebody else may have written since the start.
    pub(crate) fn acquire(&self) -> Result<bool, FileFault> {
        let mut lock = self.lock();
        match &*lock {
            Lock::Held { .. } => return Ok(false),
            Lock::Left => {
                let source = io::Error::other("this process leaves, and has let go of it");
                return Err(fault(&self.path(), source));
            }
            Lock::Free => {}
        }
        let directory = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory);
        directory.map_err(|source| fault(&self.directory, source))?;
        let path = self.directory.join(LOCK);
        let file = private().read(true).write(true).truncate(false).open(&path);
        let mut file = file.map_err(|source| fault(&path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&file).take(20).read_to_string(&mut holder);
                return Err(FileFault {
                    path: path.display().to_string(),
                    source: io::Error::other(format!("process {} uses it", holder.trim())),
                    remedy: "give each replica a directory of its own, or wait until that process has ended".to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(fault(&path, source)),
        }
        // For the message above alone: a full disk is told by the write that matters.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        *lock = Lock::Held { _file: file };
        Ok(true)
    }

    /// Lets the successor write; this process doesn't any more.
    pub(crate) fn leave(&self) {
        *self.lock() = Lock::Left;
    }

    /// Writes again: the successor has died.
    pub(crate) fn resume(&self) {
        *self.lock() = Lock::Free;
    }

    /// Writes the orders; they are on disk when this returns.
    pub(crate) fn save(&self, snapshot: &Snapshot, alive_ms: u64) -> Result<(), FileFault> {
        self.acquire()?;
        let (current, fresh) = (self.path(), self.beside("tmp"));
        let text = format::render(snapshot, alive_ms);
        let written = write(&fresh, text.as_bytes());
        if let Err(source) = written {
            // Half a file is of no use to anybody, and takes the room that is missing.
            let _ = std::fs::remove_file(&fresh);
            return Err(fault(&current, source));
        }
        let put = self.keep_previous(&current).and_then(|()| {
            std::fs::rename(&fresh, &current)?;
            File::open(&self.directory)?.sync_all()
        });
        put.map_err(|source| fault(&current, source))
    }

    /// There is a current file at each moment, so the copy is a second name for it.
    fn keep_previous(&self, current: &Path) -> io::Result<()> {
        let (link, previous) = (self.beside("1.tmp"), self.beside("1"));
        let _ = std::fs::remove_file(&link);
        match std::fs::hard_link(current, &link) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A file system without hard links.
            Err(_) => std::fs::copy(current, &link).map(drop)?,
        }
        std::fs::rename(&link, &previous)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{NAME}.{suffix}"))
    }

    fn lock(&self) -> MutexGuard<'_, Lock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private().write(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> Reading {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Reading::Missing,
        Err(error) => Reading::Bad(error.to_string()),
        Ok(_) => match format::parse(&bytes) {
            Ok(content) => Reading::Good(content),
            Err(format::Bad::Later(format)) => Reading::Later(format),
            Err(bad) => Reading::Bad(bad.to_string()),
        },
    }
}

fn fault(path: &Path, source: io::Error) -> FileFault {
    use io::ErrorKind as Kind;
    let remedy = match source.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            "make room on that disk; it is tried again every two seconds"
        }
        Kind::ReadOnlyFilesystem => "mount it for writing, or choose another state.directory",
        Kind::PermissionDenied => {
            "let this program's user write there, or choose another state.directory"
        }
        Kind::NotFound | Kind::NotADirectory => "create the directory that state.directory names",
        _ => "it is tried again every two seconds",
    };
    FileFault {
        path: path.display().to_string(),
        source,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests;
