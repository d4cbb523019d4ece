//! Orders in an etcd: one key a record, written only when it is still what its writer had in view.
//!
//! # Choice
//! A write reads the key, compares the version that the order's author had in view, and puts the record in a transaction on the key's
//! modification revision: of two orders at one moment one is refused, at whichever replicas they came in. A watch brings changes at
//! once, from the revision after the last reading; every [`READ`] everything is read anyway, which proves that the store is there,
//! makes good for anything that a watch lost, and is all that a compacted revision, a dropped stream or another endpoint need.
//! What a replica knows and the store doesn't is written to it then: after a loss of its data, or when replicas move here from `embedded`.
//!
//! The client speaks etcd's own JSON gateway (`/v3/kv/…`, `/v3/watch`) through the HTTP library that is here already. *Rejected*: the crate
//! `etcd-client`, which brings a second gRPC stack, and `protoc` for everybody who builds.
//!
//! Peers still tell each other: an order is everywhere before the watch has it, and the receipt says who has it.
//!
//! # Limits
//! While no member answers, or they have no majority, orders are refused, and what is known stays. A key that somebody deletes by hand
//! comes back from the next replica that reads: end an order by an undrain.
//!
//! # Source
//! etcd v3.4, API reference: KV, Watch, Auth.

mod client;
mod tls;
mod watch;
mod wire;

pub(crate) use client::Client;

use super::embedded::Embedded;
use super::store::{Look, StateStore, WriteError};
use super::{Orders, Source, value};
use crate::clock;
use lb_core::config::model::StoreKind;
use lb_core::drain::{Record, Scope};
use lb_core::status::PeerAck;
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::{Kv, Range, Txn, TxnReply};

/// How often everything is read.
const READ: Duration = Duration::from_secs(5);

/// An etcd as a store.
#[derive(Debug)]
pub(crate) struct Etcd {
    client: Client,
    /// What the keys of this tier and region begin with.
    prefix: String,
    peers: Embedded,
    syncs: IntCounterVec,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the store was last heard of, or first looked for.
    at: Instant,
    fault: Option<String>,
    /// Keys that can't be read, each with its reason.
    unread: BTreeMap<String, String>,
}

// === impl Etcd ===

impl Etcd {
    pub(crate) fn new(
        client: Client,
        prefix: &str,
        place: &str,
        peers: Embedded,
        syncs: IntCounterVec,
    ) -> Self {
        let state = State {
            at: clock::now(),
            fault: None,
            unread: BTreeMap::new(),
        };
        Self {
            client,
            prefix: format!("{}/{place}/", prefix.trim_end_matches('/')),
            peers,
            syncs,
            state: Mutex::new(state),
        }
    }

    /// Reads everything, takes in what is news, and writes what the store lacks. Tells the revision that was read.
    async fn read(&self, orders: &Orders) -> Result<u64, String> {
        let range: Range = self
            .client
            .call("/v3/kv/range", &wire::range(&self.prefix))
            .await?;
        let (mut there, mut forgotten) = (BTreeMap::new(), Vec::new());
        self.lock().unread.clear();
        for kv in &range.kvs {
            match self.record(kv) {
                // Nobody was there, or could write, when its time had come.
                Some(record) if orders.forgets(&record) => forgotten.push(kv),
                Some(record) => drop(there.insert(record.scope.clone(), record)),
                None => {}
            }
        }
        orders.adopt(there.values().cloned(), Source::Kept);
        let revision = range.header.revision;
        self.hear();
        self.syncs.with_label_values(&["ok"]).inc();
        let lacks = |record: &&Record| {
            let known = there.get(&record.scope);
            known.is_none_or(|known| known.updated < record.updated)
        };
        let book = orders.book().clone();
        for record in book.iter().filter(lacks) {
            log::info!(
                "state: the store lacks the order on {}; it is written",
                record.scope
            );
            let version = there.get(&record.scope).map_or(0, |known| known.version);
            // Who conflicts is another replica that does the same.
            if let Err(WriteError::Away(error)) = self.put(record, version).await {
                log::warn!("state: the order on {}: {error}", record.scope);
            }
        }
        for kv in forgotten {
            self.delete(&kv.key, kv.mod_revision).await;
        }
        Ok(revision)
    }

    /// The record in a key; none when it can't be read, which is told.
    fn record(&self, kv: &Kv) -> Option<Record> {
        let record = value::read(&kv.value);
        let name = String::from_utf8_lossy(&kv.key).into_owned();
        match record {
            Ok(record) => Some(record),
            Err(why) => {
                if self
                    .lock()
                    .unread
                    .insert(name.clone(), why.clone())
                    .is_none()
                {
                    log::error!("state: etcd key {name} {why}");
                }
                None
            }
        }
    }

    /// Puts a record if the one before it still has `version`, 0 for none.
    async fn put(&self, record: &Record, version: u64) -> Result<(), WriteError> {
        let key = self.key(&record.scope);
        let (current, revision) = self.current(&key).await?;
        if let Some(current) = &current {
            if current.updated == record.updated {
                // The answer to an earlier try was lost.
                return Ok(());
            }
            // What all have forgotten is as good as gone.
            if current.version != version && !current.is_forgotten(clock::unix_millis()) {
                return Err(WriteError::Conflict(Some(Box::new(current.clone()))));
            }
        }
        // A key that is gone was forgotten, or lost with the store's data: nothing speaks against the record.
        let value = value::write(record);
        let txn = Txn::put_if(key.as_bytes(), revision, value.as_bytes());
        let reply: TxnReply = self.client.call("/v3/kv/txn", &txn).await.map_err(away)?;
        if reply.succeeded {
            return Ok(());
        }
        let (current, _) = self.current(&key).await?;
        match current {
            // A member wrote it, and its answer was lost: the next one was asked.
            Some(current) if current.updated == record.updated => Ok(()),
            current => Err(WriteError::Conflict(current.map(Box::new))),
        }
    }

    async fn current(&self, key: &str) -> Result<(Option<Record>, u64), WriteError> {
        let range: Range = self
            .client
            .call("/v3/kv/range", &wire::get(key))
            .await
            .map_err(away)?;
        let Some(kv) = range.kvs.first() else {
            return Ok((None, 0));
        };
        let Some(record) = self.record(kv) else {
            let error = format!("etcd key {key} can't be read, and is not written over");
            return Err(WriteError::Away(error));
        };
        Ok((Some(record), kv.mod_revision))
    }

    /// Takes a key out if it is still of `revision`; whoever comes second deletes nothing.
    async fn delete(&self, key: &[u8], revision: u64) {
        let txn = Txn::delete_if(key, revision);
        let _: Result<TxnReply, _> = self.client.call("/v3/kv/txn", &txn).await;
    }

    fn key(&self, scope: &Scope) -> String {
        format!("{}{scope}", self.prefix)
    }

    fn hear(&self) {
        let mut state = self.lock();
        state.at = clock::now();
        if state.fault.take().is_some() {
            log::info!("state: etcd is there again");
        }
    }

    fn fail(&self, error: String) {
        self.syncs.with_label_values(&["failed"]).inc();
        let mut state = self.lock();
        if state.fault.is_none() {
            log::warn!("state: {error}; what is known stays in force");
        }
        state.fault = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away(error: String) -> WriteError {
    WriteError::Away(error)
}

#[async_trait::async_trait]
impl StateStore for Etcd {
    fn kind(&self) -> StoreKind {
        StoreKind::Etcd
    }

    fn is_durable(&self) -> bool {
        true
    }

    async fn load(&self, orders: &Orders) -> Result<bool, String> {
        let (read, heard) = tokio::join!(self.read(orders), self.peers.load(orders));
        match read {
            Ok(_) => Ok(true),
            Err(error) => {
                self.fail(error);
                heard
            }
        }
    }

    async fn write(&self, record: &Record, version: u64) -> Result<(), WriteError> {
        let done = self.put(record, version).await;
        let Err(WriteError::Away(error)) = done else {
            return done;
        };
        self.fail(error.clone());
        let more = "was it written nevertheless, it comes into force when the store is back";
        Err(WriteError::Away(format!("{error}; {more}")))
    }

    async fn spread(&self, orders: &Orders, record: &Record) -> Vec<PeerAck> {
        self.peers.spread(orders, record).await
    }

    async fn watch(&self, orders: &Orders) {
        tokio::join!(self.peers.watch(orders), self.follow(orders));
    }

    async fn forget(&self, records: &[Record]) {
        for record in records {
            let key = self.key(&record.scope);
            let Ok((Some(current), revision)) = self.current(&key).await else {
                continue;
            };
            if current.updated == record.updated {
                self.delete(key.as_bytes(), revision).await;
            }
        }
    }

    fn look(&self, now: Instant) -> Look {
        let mut look = self.peers.look(now);
        let state = self.lock();
        look.age = now.since(state.at);
        let unread = state
            .unread
            .iter()
            .map(|(key, why)| format!("etcd key {key} {why}"));
        look.tell_time("etcd", self.client.ahead_ms());
        look.faults.extend(state.fault.clone());
        look.faults.extend(unread);
        look
    }
}
