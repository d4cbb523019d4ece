//! Orders in a ConfigMap of Kubernetes: one entry a record, written only when nobody else has written meanwhile.
//!
//! # Choice
//! One ConfigMap for all orders of a tier and region. A write reads it, compares the version that the order's author had in view, and
//! replaces it if its resource version is still the one that was read; who comes second reads and compares again, so that of two orders for one
//! region at one moment one is refused, and two for different regions both go through. A watch brings changes at once; a sign of life
//! comes every ten seconds, and everything is listed once a minute. What a replica knows and the ConfigMap doesn't is written to it
//! then: after a loss of its data, or when replicas move here from another store. Peers still tell each other.
//!
//! Why one object: it has a name that is known before, and so the role of the replicas can be restricted to it. Whoever may write *any* ConfigMap of
//! a namespace may rewrite the load balancer's own configuration, which is one, and has taken over the platform; whoever
//! has a replica's token has only its orders.
//!
//! # Rejected
//! *A ConfigMap an order*: no limit for all together and no conflict between different orders, but names that nobody knows before, and
//! `create` can't be restricted at all: the role would have to allow all ConfigMaps, and a namespace of its own to make that harmless.
//! *A custom resource*: as narrow a role and the best to look at, but its definition holds for all of a Kubernetes, is its administrator's to install, and has to be kept in
//! step with the versions that run. *A Lease*: meant for elections; its annotations hold a quarter of the bytes, and a role for it
//! breaks others' elections. *A merge patch for one entry*: can't say "only if that entry is still this one".
//!
//! # Limits
//! All orders together have to fit into 1 MiB, some 1,500 with their reasons, counting those that ended within the day: beyond,
//! orders are refused. While the API server is away orders are refused, and what is known stays. An entry that somebody deletes by hand comes back from the next
//! replica that sees it: end an order by an undrain. An API server is one failure domain: don't let one span regions.
//!
//! # Source
//! Kubernetes documentation: ConfigMaps; RBAC (`resourceNames`); API concepts (`resourceVersion`).

mod content;
mod watch;

use super::Orders;
use super::embedded::Embedded;
use super::store::WriteError;
use crate::clock;
use crate::kubernetes::{Access, Fault, Kind};
use content::{Content, Entry};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use lb_core::config::model::Kubernetes as Settings;
use lb_core::drain::Record;
use lb_core::time::Instant;
use prometheus::IntCounterVec;
use rand::RngExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How often a write is tried when others write at the same time.
const TRIES: u32 = 8;
/// Time for all of them: less than `lbctl` waits for an answer.
const WRITE: Duration = Duration::from_millis(2500);
/// Longest pause before the next, to let others finish; and when it failed for another reason.
const APART: Duration = Duration::from_millis(60);
const MOST_APART: Duration = Duration::from_millis(600);

/// A ConfigMap as a store.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    access: Access,
    namespace: Option<String>,
    name: String,
    /// The tier and region whose orders it has.
    place: String,
    peers: Embedded,
    syncs: IntCounterVec,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the store was last heard of, or first looked for.
    at: Instant,
    /// Why it isn't heard of.
    fault: Option<String>,
    /// Why it can't be written.
    unwritten: Option<String>,
    /// Why none of it is read.
    strange: Option<String>,
    /// Entries that can't be read, each with its reason.
    unread: BTreeMap<String, String>,
}

/// What becomes of a ConfigMap's content: false when nothing is to be written.
type Edit<'a> = &'a (dyn Fn(&mut Content) -> Result<bool, WriteError> + Sync);

// === impl Kubernetes ===

impl Kubernetes {
    /// Keeps orders of a `tier`, and `region` where there is one, where `settings` say; relative paths start at `base`.
    pub(crate) fn new(
        settings: &Settings,
        base: &Path,
        (tier, region): (&str, Option<&str>),
        peers: Embedded,
        syncs: IntCounterVec,
    ) -> Self {
        let parts = [Some("strata-orders"), Some(tier), region];
        let default = parts.into_iter().flatten().collect::<Vec<_>>().join("-");
        let state = State {
            at: clock::now(),
            fault: None,
            unwritten: None,
            strange: None,
            unread: BTreeMap::new(),
        };
        Self {
            access: Access::new(settings.kubeconfig.as_ref().map(|path| base.join(path))),
            namespace: settings.namespace.clone(),
            name: settings
                .name
                .clone()
                .unwrap_or_else(|| content::fit(&default)),
            place: format!("{tier}/{}", region.unwrap_or("-")),
            peers,
            syncs,
            state: Mutex::new(state),
        }
    }

    async fn api(&self) -> Result<Api<ConfigMap>, Fault> {
        let client = self.access.client().await?;
        Ok(match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        })
    }

    /// Reads, edits and writes, again when somebody else has written meanwhile.
    async fn change(&self, edit: Edit<'_>) -> Result<(), WriteError> {
        let api = self.api().await.map_err(away)?;
        let mut last = Fault::new("others change it all the time");
        let ends = clock::now() + WRITE;
        for turn in 0..TRIES {
            if turn > 0 {
                let most = match last.kind() {
                    Kind::Conflict => APART,
                    _ => MOST_APART,
                };
                let pause = most.mul_f64(clock::with_rng(|rng| rng.random_range(0.1..1.0)));
                let pause = pause.max(last.wait());
                if clock::now() + pause > ends {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            let found = self.access.within(api.get_opt(&self.name)).await;
            let found = found.map_err(|fault| self.refused(&fault))?;
            let read = Content::read(found.as_ref(), &self.place);
            let mut content = read.map_err(|why| WriteError::Away(self.of_it(&why)))?;
            if !edit(&mut content)? {
                return Ok(());
            }
            let map = content.write(&self.name, found.as_ref());
            let map = map.map_err(|why| WriteError::Away(self.of_it(&why)))?;
            match self.put(&api, &map, found.is_some(), false).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.kind() == Kind::Denied => return Err(self.refused(&fault)),
                // Another one was quicker, or the answer was lost: what is there now tells.
                Err(fault) => last = fault,
            }
        }
        Err(self.refused(&last))
    }

    async fn put(
        &self,
        api: &Api<ConfigMap>,
        map: &ConfigMap,
        is_there: bool,
        dry_run: bool,
    ) -> Result<(), Fault> {
        let params = PostParams {
            dry_run,
            ..PostParams::default()
        };
        if is_there {
            let put = api.replace(&self.name, &params, map);
            self.access.within(put).await?;
        } else {
            let created = self.access.within(api.create(&params, map)).await;
            created.map_err(|fault| {
                fault.with("there is none of that name: make it by `kubectl create configmap`, or let this account create it")
            })?;
        }
        if self.lock().unwritten.take().is_some() {
            log::info!("state: ConfigMap {} can be written again", self.name);
        }
        Ok(())
    }

    /// Finds out whether orders could be written, before there is one: in an emergency it is too late to grant a right.
    async fn try_out(&self, map: Option<&ConfigMap>) {
        let tried = async {
            let api = self.api().await?;
            let content = Content::read(map, &self.place).unwrap_or_default();
            match content.write(&self.name, map) {
                Ok(same) => self.put(&api, &same, map.is_some(), true).await,
                Err(_) => Ok(()),
            }
        };
        if let Err(fault) = tried.await
            && matches!(fault.kind(), Kind::Denied | Kind::Missing)
        {
            self.refused(&fault);
        }
    }

    /// Writes what this replica knows and the store lacks.
    async fn restore(&self, orders: &Orders, there: &Content) {
        let book = orders.book().clone();
        let lacks = |content: &Content, record: &Record| match content.get(&record.scope) {
            None => true,
            Some(Entry::Record(known)) => known.updated < record.updated,
            // Told already, and left to whoever wrote it.
            Some(Entry::Unread(_)) => false,
        };
        if !book.iter().any(|record| lacks(there, record)) {
            return;
        }
        log::info!(
            "state: ConfigMap {} lacks orders; they are written",
            self.name
        );
        let edit = |content: &mut Content| {
            let missing: Vec<_> = book
                .iter()
                .filter(|record| lacks(content, record))
                .collect();
            for record in &missing {
                content.put(record);
            }
            Ok(!missing.is_empty())
        };
        let done = timeout(WRITE, self.change(&edit)).await;
        if let Ok(Err(WriteError::Away(error))) = done {
            log::warn!("state: {error}");
        }
    }

    fn hear(&self) {
        let mut state = self.lock();
        state.at = clock::now();
        if state.fault.take().is_some() {
            log::info!("state: ConfigMap {} is there again", self.name);
        }
    }

    fn fail(&self, error: String) {
        self.syncs.with_label_values(&["failed"]).inc();
        let mut state = self.lock();
        if state.fault.as_ref() != Some(&error) {
            log::warn!("state: {error}; what is known stays in force");
        }
        state.fault = Some(error);
    }

    /// Why a write isn't possible; remembered when that lasts.
    fn refused(&self, fault: &Fault) -> WriteError {
        let error = self.of_it(&fault.to_string());
        if fault.kind() == Kind::Denied {
            let mut state = self.lock();
            if state.unwritten.as_ref() != Some(&error) {
                log::error!("state: orders can't be written: {error}");
            }
            state.unwritten = Some(error.clone());
        }
        WriteError::Away(error)
    }

    fn of_it(&self, why: &str) -> String {
        format!("ConfigMap {}: {why}", self.name)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away(fault: Fault) -> WriteError {
    WriteError::Away(fault.to_string())
}
