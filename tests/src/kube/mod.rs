//! An API server of Kubernetes that misbehaves on command.
//!
//! **Problem.** What follows an API server must survive what a real one does seldom: compacted versions, streams cut in the middle of an
//! object, a restart with older data, answers of a proxy before it. A real one can't be told to, and needs an etcd and root.
//!
//! **Choice.** The part of the API that clients of objects see, by the documents and the source of Kubernetes 1.33: LIST with pages of one
//! moment, WATCH from a version with bookmarks and 410, optimistic writes, tokens and roles, errors as `Status` objects word by word.
//! Objects are JSON and know of their type only what the API checks before it stores. One counter gives resource versions. The crate
//! `kube` with its own `watcher` is content with it, which the suite `state` checks.
//!
//! **Limits.** No admission, no defaults, no server-side apply, no protobuf, no table format. Any namespace exists. A watch from
//! a version that isn't reached yet is silent until then, as the real watch cache is.
//!
//! # Source
//! kubernetes.io, "API concepts"; k8s.io/apiserver: `storage/cacher`, `registry/generic/registry/store.go`, `apimachinery/pkg/api/errors`.

mod access;
mod faults;
mod route;
mod select;
mod serve;
mod status;
mod store;
mod streams;
mod write;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::rustls::ServerConfig;

use crate::ports;

pub use self::access::{Rule, User};
pub use self::faults::{Fault, Verb};
pub use self::store::Resource;

/// A running API server; dropping it closes the port and all connections.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    state: Mutex<State>,
    /// Changes whenever a watch has something to look at.
    news: watch::Sender<u64>,
    /// Connections, which end with the acceptor.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct State {
    store: store::Store,
    access: access::Access,
    faults: faults::Faults,
    counts: faults::Counts,
    /// Which round of watches is alive, and how those before end.
    round: u64,
    cut: streams::Cut,
    /// When all watches are told how far they are.
    mark: u64,
}

// === impl ApiServer ===

impl ApiServer {
    /// Begins to listen, in plain text; anybody may do anything until [`ApiServer::allow`].
    ///
    /// # Errors
    ///
    /// When no address is free.
    pub async fn start() -> Result<Self> {
        Self::start_with(None).await
    }

    /// Begins to listen with TLS.
    ///
    /// # Errors
    ///
    /// When no address is free.
    pub async fn start_tls(config: Arc<ServerConfig>) -> Result<Self> {
        Self::start_with(Some(config)).await
    }

    async fn start_with(tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let server = Self {
            shared: Arc::new(Shared {
                address: ports::free()?,
                state: Mutex::default(),
                news: watch::Sender::new(0),
                tasks: Mutex::default(),
            }),
            tls,
            acceptor: Mutex::default(),
        };
        server.listen().await?;
        Ok(server)
    }

    /// Listens again after [`ApiServer::stop`], on the same port and with the same objects.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn listen(&self) -> Result<()> {
        let listener = serve::listen(self.shared.address)?;
        let task = tokio::spawn(serve::accept(
            listener,
            self.shared.clone(),
            self.tls.clone(),
        ));
        *lock(&self.acceptor) = Some(task);
        Ok(())
    }

    /// Closes the port and breaks all connections off.
    pub async fn stop(&self) {
        let acceptor = lock(&self.acceptor).take();
        if let Some(acceptor) = acceptor {
            acceptor.abort();
            // The port is free when the listener is gone.
            let _ = acceptor.await;
        }
        let mut tasks = std::mem::take(&mut *lock(&self.shared.tasks));
        tasks.shutdown().await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Where it listens, as a kubeconfig has it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.shared.address)
    }

    /// Writes a kubeconfig for a namespace; `user` is the inner text of its user, such as `tokenFile: token`, and `ca` a PEM file.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn kubeconfig(
        &self,
        path: &Path,
        namespace: &str,
        user: &str,
        ca: Option<&Path>,
    ) -> Result<PathBuf> {
        self.kubeconfig_at(&self.url(), path, namespace, user, ca)
    }

    /// As [`ApiServer::kubeconfig`], by way of another address, such as a relay's.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn kubeconfig_at(
        &self,
        url: &str,
        path: &Path,
        namespace: &str,
        user: &str,
        ca: Option<&Path>,
    ) -> Result<PathBuf> {
        let ca = ca.map_or_else(String::new, |ca| {
            format!(", certificate-authority: \"{}\"", ca.display())
        });
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             clusters: [{{ name: it, cluster: {{ server: \"{url}\"{ca} }} }}]\n\
             users: [{{ name: it, user: {{ {user} }} }}]\n\
             contexts: [{{ name: it, context: {{ cluster: it, user: it, namespace: \"{namespace}\" }} }}]\n",
        );
        std::fs::write(path, text)?;
        Ok(path.to_owned())
    }

    /// From now on only who shows a known token is let in, and may do what its rules say. A token that is known already gets others.
    pub fn allow(&self, token: &str, user: User) {
        self.state().access.allow(token, user);
    }

    /// The token is no longer known.
    pub fn forbid(&self, token: &str) {
        self.state().access.forbid(token);
    }

    /// Puts an object in the store as an administrator would, over whatever is there. Its `metadata.name` says where.
    ///
    /// # Errors
    ///
    /// When the API would not store it.
    pub fn put(&self, resource: &Resource, namespace: &str, object: Value) -> Result<Value> {
        let put = self.state().store.put(resource, namespace, object);
        self.tell();
        put.map_err(|status| anyhow::anyhow!("{}", status.message))
    }

    /// Takes an object out as an administrator would; tells what it was.
    pub fn remove(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        let gone = self.state().store.remove(resource, namespace, name);
        self.tell();
        gone
    }

    /// All objects of a kind in a namespace, by name.
    pub fn objects(&self, resource: &Resource, namespace: &str) -> Vec<Value> {
        self.state().store.all(resource, Some(namespace))
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.state().store.version()
    }

    /// Forgets all changes until now: who wants to watch from before gets a 410, and so does who is in the middle of a list's pages.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// Begins its versions anew, as after a restore from an older copy; objects stay, streams break off.
    pub fn begin_anew(&self) {
        self.state().store.begin_anew();
        self.cut(true);
    }

    /// Ends all watches: in the middle of an object, or where the protocol allows it.
    pub fn drop_watches(&self, in_the_middle: bool) {
        self.cut(in_the_middle);
    }

    /// Tells all watches that asked for bookmarks how far they are.
    pub fn bookmark(&self) {
        self.state().mark += 1;
        self.tell();
    }

    /// Answers requests like this until [`ApiServer::heal`]; without a verb all requests.
    pub fn fault(&self, verb: Option<Verb>, fault: Fault) {
        self.state().faults.set(verb, fault);
    }

    /// Answers as it should.
    pub fn heal(&self) {
        self.state().faults.heal();
    }

    /// How many requests of a kind have come in, whatever their answer.
    pub fn asked(&self, verb: Verb) -> u64 {
        self.state().counts.asked(verb)
    }

    /// How many requests got this answer.
    pub fn answered(&self, status: u16) -> u64 {
        self.state().counts.answered(status)
    }

    /// Watches that are open now.
    pub fn watching(&self) -> usize {
        self.state().counts.watching()
    }

    fn cut(&self, in_the_middle: bool) {
        let mut state = self.state();
        state.round += 1;
        state.cut = if in_the_middle {
            streams::Cut::Middle
        } else {
            streams::Cut::Between
        };
        drop(state);
        self.tell();
    }

    fn tell(&self) {
        self.shared.tell();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(acceptor) = lock(&self.acceptor).take() {
            acceptor.abort();
        }
        lock(&self.shared.tasks).abort_all();
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn tell(&self) {
        self.news.send_modify(|turn| *turn += 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
