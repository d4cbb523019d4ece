//! What operators ordered: kept, shared with the other replicas, and at hand for whoever decides.
//!
//! # Problem
//! A drain is ordered once, at any replica, and must hold at all of them within a second; it must survive the replica that took it,
//! and hold before a restarted one takes its first request. None of this may ever be in the way of a request.
//!
//! # Choice
//! Every replica has all orders in memory ([`Orders::book`], a snapshot that is swapped), in a file, and at its peers. How they reach
//! each other is the store's affair ([`StateStore`]): peers tell each other by themselves, or an etcd has the last word. Reading needs
//! no store, so a store that is lost changes nothing but the age that is shown; the rules that orders must keep are checked again
//! wherever they are evaluated, so a store need not order writes.
//!
//! # Rejected
//! *Redis*: a failover loses writes that it has acknowledged. *Gossip* (SWIM and the like): wins beyond some dozens of replicas, and is
//! harder to reason about than asking each peer for a few KiB every two seconds. *Raft of our own*: a drain would need a majority of
//! replicas, just when a part of the platform is cut off, and who wants strict order has etcd. A shared disk: one more thing between regions.
//!
//! # Limits
//! Two writes at one moment at two replicas that can't reach each other are both accepted, and the later one holds once they can.
//! Each replica talks to each: about 20 of them are comfortable.

mod embedded;
mod etcd;
mod file;
mod http;
mod keep;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod routes;
mod run;
mod skew;
mod store;
mod submit;
mod value;

pub use submit::SubmitError;

use crate::clock;
use crate::peers::{Peers, identify};
use crate::plan::Identity;
use crate::upstream::Changes;
use arc_swap::{ArcSwap, Guard};
use embedded::Embedded;
use keep::Kept;
use lb_core::config::change::content_hash;
use lb_core::drain::{Ahead, Book, Clock, Record, Snapshot, Stamp, Unfit};
use lb_core::status::{ReplicaIdentity, Sheet, StateStatus};
pub(crate) use routes::{refused, write};
pub(crate) use run::{open, start};
use skew::Trust;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::StateStore;

/// All orders that this replica knows of.
pub struct Orders {
    identity: Arc<Identity>,
    book: ArcSwap<Book>,
    inner: Mutex<Inner>,
    changes: Changes,
    store: Arc<dyn StateStore>,
    kept: Kept,
    /// Whether this replica's clock may say that something ended long ago.
    trust: Trust,
    /// One order at a time, so that each is planned in view of the one before.
    submits: tokio::sync::Mutex<()>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A peer; its clock may be wrong.
    Peer,
    /// What was in force here before, or what a store with the last word says.
    Kept,
}

/// What goes with the book and changes with it.
#[derive(Debug)]
struct Inner {
    clock: Clock,
    hash: String,
}

/// Why what another replica sent is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It belongs to another tier or region.
    #[error("{0} belongs to another tier or region: take it off the list of peers")]
    Foreign(String),
    /// It was written by a later version.
    #[error("orders in format {0} are not understood, {known} is the latest known: upgrade this replica", known = Snapshot::FORMAT)]
    Format(u32),
    /// Its clock is ahead.
    #[error(transparent)]
    Ahead(#[from] Ahead),
    /// A record can't be right.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

// === impl Orders ===

impl Orders {
    /// No orders, kept in memory alone, and shared with nobody.
    #[must_use]
    pub fn in_memory(identity: Arc<Identity>) -> Arc<Self> {
        let peers = Arc::new(Peers::new(&identity));
        let store = Embedded::new(peers, Vec::new(), None);
        Arc::new(Self::new(identity, Arc::new(store), Kept::nowhere()))
    }

    fn new(identity: Arc<Identity>, store: Arc<dyn StateStore>, kept: Kept) -> Self {
        let book = Book::default();
        let inner = Inner {
            clock: Clock::new(identity.replica.clone()),
            hash: hash(&book.snapshot()),
        };
        Self {
            identity,
            book: ArcSwap::from_pointee(book),
            inner: Mutex::new(inner),
            changes: Changes::default(),
            store,
            kept,
            trust: Trust::default(),
            submits: tokio::sync::Mutex::default(),
        }
    }

    /// The orders as they are now. For the data path too: nothing is locked.
    #[must_use]
    pub fn book(&self) -> Guard<Arc<Book>> {
        self.book.load()
    }

    /// Returns when the book has changed since the last time. For one waiter; nothing is lost when it is dropped.
    pub async fn changed(&self) {
        self.changes.next().await;
    }

    /// Takes in what another replica knows; tells how much of it was news.
    ///
    /// # Errors
    /// [`MergeError`] of the first record that is refused, or of the whole; others are taken nevertheless.
    pub fn merge(&self, sheet: &Sheet) -> Result<u32, MergeError> {
        let me = identify(&self.identity, false);
        if (sheet.from.tier, &sheet.from.region) != (me.tier, &me.region) {
            return Err(MergeError::Foreign(sheet.from.replica.clone()));
        }
        if sheet.snapshot.format > Snapshot::FORMAT {
            return Err(MergeError::Format(sheet.snapshot.format));
        }
        self.lock().clock.see(&sheet.stamp, clock::unix_millis())?;
        let (taken, refused) = self.adopt(sheet.snapshot.records.iter().cloned(), Source::Peer);
        refused.map_or(Ok(taken), Err)
    }

    /// Whether it is this process.
    fn is_me(&self, who: &ReplicaIdentity) -> bool {
        let me = identify(&self.identity, false);
        (me.boot_id, &me.replica) == (who.boot_id, &who.replica)
    }

    /// Stands for all that is known here.
    fn hash(&self) -> String {
        self.lock().hash.clone()
    }

    /// All of them, for a peer.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let inner = self.lock();
        Sheet {
            from: identify(&self.identity, false),
            stamp: Stamp {
                wall_ms: clock::unix_millis(),
                counter: 0,
                replica: self.identity.replica.clone(),
            },
            hash: inner.hash.clone(),
            snapshot: self.book.load().snapshot(),
        }
    }

    /// Where they are kept, and who has them.
    #[must_use]
    pub fn status(&self) -> StateStatus {
        let hash = self.hash();
        let look = self.store.look(clock::now());
        let agree = |hash: &Option<String>, mine: &String| hash.as_ref() == Some(mine);
        let applied = look.peers.iter().filter(|peer| agree(&peer.hash, &hash));
        StateStatus {
            store: self.store.kind().as_str().to_owned(),
            durable: self.is_durable(),
            faults: [self.kept.faults(), self.doubts(clock::now()), look.faults].concat(),
            age_ms: u64::try_from(look.age.as_millis()).ok(),
            records: count(self.book.load().iter().count()),
            applied: count(applied.count()),
            peers: look.peers,
            hash,
        }
    }

    /// Whether what is known survives a restart of this replica.
    fn is_durable(&self) -> bool {
        self.store.is_durable() || self.kept.is_good()
    }

    /// Takes in records, and tells how many were news and why the first that was refused was.
    pub(crate) fn adopt(
        &self,
        records: impl Iterator<Item = Record>,
        source: Source,
    ) -> (u32, Option<MergeError>) {
        let now = clock::unix_millis();
        let mut inner = self.lock();
        let mut book = Book::clone(&self.book.load());
        let (mut taken, mut refused) = (0, None);
        // What all others forget must not come back from one that was away.
        let forgets = self.may_forget(clock::now());
        let records = records.filter(|record| !forgets || !record.is_forgotten(now));
        for record in records {
            let mut result = Ok(());
            if let Err(ahead) = inner.clock.see(&record.updated, now) {
                log::warn!("state: the order on {}: {ahead}", record.scope);
                if source == Source::Peer {
                    result = Err(MergeError::from(ahead));
                }
            }
            match result.and_then(|()| Ok(book.take(record)?)) {
                Ok(is_news) => taken += u32::from(is_news),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if taken > 0 {
            self.replace(&mut inner, book);
        }
        (taken, refused)
    }

    /// Whether all others have forgotten a record, as far as this replica's clock can be believed.
    fn forgets(&self, record: &Record) -> bool {
        record.is_forgotten(clock::unix_millis()) && self.may_forget(clock::now())
    }

    /// Forgets what ended long ago, and tells what that was.
    fn forget(&self) -> Vec<Record> {
        if !self.may_forget(clock::now()) {
            return Vec::new();
        }
        let mut inner = self.lock();
        let before = self.book.load_full();
        let mut book = Book::clone(&before);
        if !book.forget(clock::unix_millis()) {
            return Vec::new();
        }
        let gone = before
            .iter()
            .filter(|record| book.get(&record.scope).is_none());
        let gone = gone.cloned().collect();
        self.replace(&mut inner, book);
        gone
    }

    fn replace(&self, inner: &mut Inner, book: Book) {
        inner.hash = hash(&book.snapshot());
        self.book.store(Arc::new(book));
        self.changes.note();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders").finish_non_exhaustive()
    }
}

/// Stands for all that is known: the same at each replica that knows the same.
fn hash(snapshot: &Snapshot) -> String {
    // Records are in the order of their scopes, and fields in that of the type.
    content_hash(&[&serde_json::to_string(snapshot).unwrap_or_default()])
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
