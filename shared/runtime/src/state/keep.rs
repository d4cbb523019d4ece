//! The file's part in the life of orders: read at the start, written with each order, tried again after a fault.

use super::file::{Content, Found, Keeper};
use super::{Orders, Source};
use crate::clock;
use lb_core::drain::{Book, Record};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// How long a disk may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// How often the file is written though nothing has changed, so that it tells until when its writer lived, in milliseconds.
const ALIVE_MS: u64 = 3_600_000;

/// The file, and how it fares.
#[derive(Debug)]
pub(super) struct Kept {
    keeper: Option<Arc<Keeper>>,
    /// One write at a time, also while a disk hangs.
    writing: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was found at the start.
    found: Vec<String>,
    /// The file must not be touched.
    is_later: bool,
    /// Why the last write failed.
    fault: Option<String>,
    /// The hash of what was written last, and when that was.
    written: Option<(String, u64)>,
}

// === impl Kept ===

impl Kept {
    /// Memory alone.
    pub(super) fn nowhere() -> Self {
        Self::new(None)
    }

    pub(super) fn new(keeper: Option<Keeper>) -> Self {
        Self {
            keeper: keeper.map(Arc::new),
            writing: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// Whether the last write worked.
    pub(super) fn is_good(&self) -> bool {
        let state = self.lock();
        self.keeper.is_some() && state.fault.is_none() && !state.is_later
    }

    /// Whether there is to be a file.
    pub(super) const fn is_configured(&self) -> bool {
        self.keeper.is_some()
    }

    /// What is wrong, for the status.
    pub(super) fn faults(&self) -> Vec<String> {
        let state = self.lock();
        let mut faults = state.found.clone();
        faults.extend(state.fault.clone());
        faults
    }

    /// Reads the file. Blocks: for the start.
    pub(super) fn load(&self) -> Option<Content> {
        let keeper = self.keeper.as_ref()?;
        if let Err(fault) = keeper.acquire() {
            self.note(Some(fault.to_string()));
        }
        let Found {
            content,
            faults,
            is_later,
        } = keeper.load();
        for fault in &faults {
            log::error!("state: {fault}");
        }
        let mut state = self.lock();
        (state.found, state.is_later) = (faults, is_later);
        content
    }

    /// Lets the successor write.
    pub(super) async fn leave(&self) {
        if let Some(keeper) = &self.keeper {
            let _turn = self.writing.lock().await;
            keeper.leave();
        }
    }

    /// Writes again: the successor has died.
    pub(super) async fn resume(&self) {
        if let Some(keeper) = &self.keeper {
            let _turn = self.writing.lock().await;
            keeper.resume();
            // It may have taken orders: the next write reads the file first, and is due now.
            self.lock().written = None;
        }
    }

    fn note(&self, fault: Option<String>) {
        let mut state = self.lock();
        match (&state.fault, &fault) {
            (old, Some(new)) if old.as_ref() != Some(new) => {
                log::error!("state: orders can't be written: {new}");
            }
            (Some(_), None) => log::info!("state: orders are written again"),
            _ => {}
        }
        state.fault = fault;
    }

    async fn turn(&self) -> Result<OwnedMutexGuard<()>, String> {
        let turn = tokio::time::timeout(DEADLINE, self.writing.clone().lock_owned()).await;
        turn.map_err(|_late| "the disk has not taken the last write yet".to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Orders ===

impl Orders {
    /// Writes what is known, with `extra`, which is not in force yet.
    ///
    /// # Errors
    /// Why it is not on disk, with the file's name and what to do.
    pub(super) async fn save(&self, extra: Option<&Record>) -> Result<(), String> {
        let Some(keeper) = self.kept.keeper.clone() else {
            return Err(
                "no state.directory is configured, so orders are kept in memory".to_owned(),
            );
        };
        if self.kept.lock().is_later {
            let path = keeper.path();
            return Err(format!("{} was written by a later version", path.display()));
        }
        let result = self.save_to(keeper, extra).await;
        self.kept.note(result.as_ref().err().cloned());
        result
    }

    async fn save_to(&self, keeper: Arc<Keeper>, extra: Option<&Record>) -> Result<(), String> {
        let turn = self.kept.turn().await?;
        let late = |_| {
            format!(
                "{}: the disk takes longer than {DEADLINE:?}",
                keeper.path().display()
            )
        };
        let asked = keeper.clone();
        // Whoever held the lock may have written since this process has read.
        let acquired = tokio::task::spawn_blocking(move || {
            let is_fresh = asked.acquire().map_err(|fault| fault.to_string())?;
            Ok::<_, String>(is_fresh.then(|| asked.load().content).flatten())
        });
        let acquired = tokio::time::timeout(DEADLINE, acquired)
            .await
            .map_err(late)?;
        if let Some(content) = acquired.map_err(|error| error.to_string())?? {
            self.adopt(content.snapshot.records.into_iter(), Source::Kept);
        }
        let mut book = Book::clone(&self.book.load());
        if let Some(extra) = extra {
            book.take(extra.clone())
                .map_err(|unfit| unfit.to_string())?;
        }
        let (snapshot, now) = (book.snapshot(), clock::unix_millis());
        let written = (super::hash(&snapshot), now);
        let writer = keeper.clone();
        let job = tokio::task::spawn_blocking(move || {
            let result = writer.save(&snapshot, now);
            drop(turn);
            result
        });
        let done = tokio::time::timeout(DEADLINE, job).await.map_err(late)?;
        let done = done.map_err(|error| error.to_string())?;
        done.map_err(|fault| fault.to_string())?;
        self.kept.lock().written = Some(written);
        Ok(())
    }

    /// Takes in what another process has written meanwhile. Blocks: for the start.
    pub(super) fn read_again(&self) {
        let content = self
            .kept
            .keeper
            .as_ref()
            .and_then(|keeper| keeper.load().content);
        if let Some(content) = content {
            self.adopt(content.snapshot.records.into_iter(), Source::Kept);
        }
    }

    /// Writes what changed since the last write, what could not be written then, and once an hour that this replica lives.
    pub(super) async fn catch_up(&self) {
        let (hash, now) = (self.hash(), clock::unix_millis());
        let is_due = {
            let state = self.kept.lock();
            let fresh = |(written, at): &(String, u64)| {
                *written == hash && now.saturating_sub(*at) < ALIVE_MS
            };
            state.fault.is_some() || !state.written.as_ref().is_some_and(fresh)
        };
        if is_due && self.kept.keeper.is_some() {
            // A fault is kept for the status, and has been told.
            let _ = self.save(None).await;
        }
    }
}
