//! What is asked of the store, and following the ConfigMap.

use super::content::{Content, Entry};
use super::{Kubernetes, WRITE};
use crate::clock;
use crate::kubernetes::{Change, Fault, Follow, Pace};
use crate::state::store::{Look, StateStore, WriteError};
use crate::state::{Orders, Source};
use k8s_openapi::api::core::v1::ConfigMap;
use lb_core::config::model::StoreKind;
use lb_core::drain::Record;
use lb_core::status::PeerAck;
use lb_core::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// A sign of life every ten seconds; everything once a minute.
const PACE: Pace = Pace {
    watch: Duration::from_secs(10),
    list: Duration::from_secs(60),
};

// === impl Kubernetes ===

impl Kubernetes {
    /// Follows for ever.
    async fn follow(&self, orders: &Orders) {
        let (access, namespace) = (self.access.clone(), self.namespace.clone());
        let mut follow = Follow::<ConfigMap>::named(access, namespace, &self.name, PACE);
        let mut is_tried = false;
        loop {
            match follow.next().await {
                Change::All(maps) => {
                    self.syncs.with_label_values(&["ok"]).inc();
                    self.see(orders, maps.first(), &mut is_tried).await;
                }
                Change::Applied(map) => self.see(orders, Some(&map), &mut is_tried).await,
                Change::Deleted(_) => self.see(orders, None, &mut is_tried).await,
                Change::Heard => self.hear(),
                Change::Broken(fault) => {
                    is_tried = false;
                    self.fail(self.of_it(&fault.to_string()));
                }
            }
            orders.catch_up().await;
        }
    }

    /// Takes in a ConfigMap, none when there is none; tells what it has.
    fn take(&self, orders: &Orders, map: Option<&ConfigMap>) -> Result<Content, String> {
        let read = Content::read(map, &self.place).map_err(|why| self.of_it(&why));
        let (strange, unread) = match &read {
            Ok(content) => (None, content.unread()),
            Err(why) => (Some(why.clone()), BTreeMap::new()),
        };
        {
            let mut state = self.lock();
            for (key, why) in &unread {
                if !state.unread.contains_key(key) {
                    log::error!("state: entry {key} of ConfigMap {} {why}", self.name);
                }
            }
            if let Some(why) = strange.as_ref().filter(|_| state.strange != strange) {
                log::error!("state: {why}");
            }
            (state.strange, state.unread) = (strange, unread);
        }
        let content = read?;
        orders.adopt(content.records().cloned(), Source::Kept);
        Ok(content)
    }

    async fn see(&self, orders: &Orders, map: Option<&ConfigMap>, is_tried: &mut bool) {
        self.hear();
        if let Ok(content) = self.take(orders, map) {
            self.restore(orders, &content).await;
            // Nobody was there, or could write, when their time had come.
            let forgotten = content.records().filter(|record| orders.forgets(record));
            let forgotten: Vec<_> = forgotten.cloned().collect();
            if !forgotten.is_empty() {
                self.forget(&forgotten).await;
            }
        }
        // Rights may be granted or taken while nobody orders anything.
        if !*is_tried || self.lock().unwritten.is_some() {
            *is_tried = true;
            self.try_out(map).await;
        }
    }

    async fn read(&self, orders: &Orders) -> Result<(), String> {
        let api = self.api().await.map_err(|fault: Fault| fault.to_string())?;
        let found = self.access.within(api.get_opt(&self.name)).await;
        let found = found.map_err(|fault| self.of_it(&fault.to_string()))?;
        self.hear();
        self.take(orders, found.as_ref()).map(drop)
    }
}

#[async_trait::async_trait]
impl StateStore for Kubernetes {
    fn kind(&self) -> StoreKind {
        StoreKind::Kubernetes
    }

    fn is_durable(&self) -> bool {
        true
    }

    async fn load(&self, orders: &Orders) -> Result<bool, String> {
        let (read, heard) = tokio::join!(self.read(orders), self.peers.load(orders));
        match read {
            Ok(()) => Ok(true),
            Err(error) => {
                self.fail(error);
                heard
            }
        }
    }

    async fn write(&self, record: &Record, version: u64) -> Result<(), WriteError> {
        let edit = |content: &mut Content| match content.get(&record.scope) {
            Some(Entry::Unread(_)) => Err(WriteError::Away(self.of_it(&format!(
                "its entry for {} can't be read, and is not written over",
                record.scope
            )))),
            // The answer to an earlier try was lost.
            Some(Entry::Record(known)) if known.updated == record.updated => Ok(false),
            // What all have forgotten is as good as gone.
            Some(Entry::Record(known))
                if known.version != version && !known.is_forgotten(clock::unix_millis()) =>
            {
                Err(WriteError::Conflict(Some(known.clone())))
            }
            // One that is gone was forgotten, or lost with the store's data: nothing speaks against the record.
            _ => {
                content.put(record);
                Ok(true)
            }
        };
        let done = timeout(WRITE, self.change(&edit)).await;
        let late = || WriteError::Away(self.of_it(&format!("no answer within {WRITE:?}")));
        let done = done.unwrap_or_else(|_| Err(late()));
        done.map_err(|error| match error {
            WriteError::Away(error) => WriteError::Away(format!(
                "{error}; was it written nevertheless, it comes into force when the store is back"
            )),
            conflict => conflict,
        })
    }

    async fn spread(&self, orders: &Orders, record: &Record) -> Vec<PeerAck> {
        self.peers.spread(orders, record).await
    }

    async fn watch(&self, orders: &Orders) {
        tokio::join!(self.peers.watch(orders), self.follow(orders));
    }

    async fn forget(&self, records: &[Record]) {
        let edit = |content: &mut Content| Ok(content.forget(records));
        // Whoever comes second deletes nothing; who can't tries again with the next that ends.
        let _ = timeout(WRITE, self.change(&edit)).await;
    }

    fn look(&self, now: Instant) -> Look {
        let mut look = self.peers.look(now);
        let state = self.lock();
        look.age = now.since(state.at);
        let unread = state.unread.iter();
        let unread = unread.map(|(key, why)| self.of_it(&format!("entry {key} {why}")));
        look.faults.extend(state.fault.clone());
        look.faults.extend(state.unwritten.clone());
        look.faults.extend(state.strange.clone());
        look.faults.extend(unread);
        look
    }
}
