//! Following a kind of object: a list, then a watch from there on, until something breaks.
//!
//! # Choice
//! A watch is asked to end after a few seconds, and the next goes on where it ended. So nothing is heard for longer than that only when
//! something is wrong, which a stream that merely hangs would hide for as long as TCP likes. Whatever is not such an end, a stream that
//! breaks, a fault, a 410, is followed by a pause and a new list, rather than by an attempt to go on: an API server that was restored
//! from an older copy begins its resource versions anew, and would never tell what it does before it gets beyond the old ones. For the
//! same reason, and for whatever else a watch may lose, everything is listed now and then anyway.

use super::bound::Bound;
use super::client::Access;
use super::fault::{Fault, Kind};
use super::pace::Pace;
use super::pause::{self, Pauses};
use super::which::Which;
use crate::clock;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::api::WatchEvent;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use lb_core::time::Instant;
use rand::RngExt;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// How long a client is used, and with it the token that was read for it.
const RENEW: Duration = Duration::from_secs(60);
/// How much later than asked a stream may end. One that ends this much too early has ended in time too.
const GRACE: Duration = Duration::from_secs(3);

/// Something that was heard.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// All that there is, at the start and now and then; what isn't among it is gone.
    All(Vec<K>),
    /// An object that is new, or not what it was.
    Applied(K),
    /// An object that is gone, as it was last.
    Deleted(K),
    /// Nothing has changed until now.
    Heard,
    /// The API server can't be heard. After a pause it is asked again, and [`Change::All`] follows when that works.
    Broken(Fault),
}

/// Follows objects of one kind in one namespace, for as long as it is asked.
pub(crate) struct Follow<K> {
    access: Access,
    /// Without one, the access's own.
    namespace: Option<String>,
    which: Which,
    pace: Pace,
    client: Option<(Client, Instant)>,
    at: At<K>,
    listed: Instant,
    pauses: Pauses,
    bound: Option<Bound<K>>,
}

enum At<K> {
    /// Everything is to be listed.
    List,
    /// The same, after a pause that ends then.
    Pause(Instant),
    /// A watch is to begin after a resource version.
    Open(String),
    Watch {
        stream: BoxStream<'static, kube::Result<WatchEvent<K>>>,
        version: String,
        since: Instant,
        /// When it is to end.
        ends: Instant,
    },
}

// === impl Follow ===

impl<K> Follow<K>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    #[allow(dead_code, reason = "for followers of more than one object")]
    /// Objects with `labels`, a selector such as `app=x`; empty: all of them.
    pub(crate) fn new(
        access: Access,
        namespace: Option<String>,
        labels: impl Into<String>,
        pace: Pace,
    ) -> Self {
        Self::of(access, namespace, Which::Labels(labels.into()), pace)
    }

    /// The one object of that name; a role may be restricted to it by `resourceNames`.
    pub(crate) fn named(
        access: Access,
        namespace: Option<String>,
        name: impl Into<String>,
        pace: Pace,
    ) -> Self {
        Self::of(access, namespace, Which::Name(name.into()), pace)
    }

    fn of(access: Access, namespace: Option<String>, which: Which, pace: Pace) -> Self {
        Self {
            access,
            namespace,
            which,
            pace,
            client: None,
            at: At::List,
            listed: Instant::ZERO,
            pauses: Pauses::new(),
            bound: None,
        }
    }

    /// Refuses longer lists, as soon as their pages are too many.
    pub(crate) fn bounded(mut self, bound: Bound<K>) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Breaks off, as if the API server had failed so: after a pause everything is listed again.
    pub(crate) fn give_up(&mut self, fault: Fault) -> Fault {
        drop(self.break_off(fault.clone()));
        fault
    }

    /// Waits for what is heard next. Dropped before it returns, it loses nothing but has to list or open again.
    pub(crate) async fn next(&mut self) -> Change<K> {
        loop {
            match self.step().await {
                Ok(Some(change)) => return change,
                Ok(None) => {}
                Err(fault) => return self.break_off(fault),
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Change<K>>, Fault> {
        match &mut self.at {
            At::Pause(until) => {
                tokio::time::sleep(clock::now().until(*until)).await;
                self.at = At::List;
                Ok(None)
            }
            At::List => self.list().await.map(Some),
            At::Open(version) => {
                let version = version.clone();
                self.open(version).await.map(Some)
            }
            At::Watch { .. } => self.hear().await,
        }
    }

    /// After a fault: a pause, then everything again, with a new client.
    fn break_off(&mut self, fault: Fault) -> Change<K> {
        if let At::Watch { since, .. } = &self.at
            && clock::now().since(*since) > pause::MOST
        {
            // Who was well for long is not made to wait for what was before.
            self.pauses = Pauses::new();
        }
        let pause = clock::with_rng(|rng| self.pauses.next(fault.wait(), rng));
        let was_listing = matches!(self.at, At::List);
        self.at = At::Pause(clock::now() + pause);
        self.client = None;
        if fault.kind() == Kind::Gone && !was_listing {
            // It answers, and says that time has passed.
            return Change::Heard;
        }
        Change::Broken(fault)
    }

    async fn api(&mut self) -> Result<Api<K>, Fault> {
        let now = clock::now();
        let client = match &self.client {
            Some((client, made)) if now.since(*made) < RENEW => client.clone(),
            _ => {
                let client = self.access.client().await?;
                self.client = Some((client.clone(), now));
                client
            }
        };
        Ok(match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        })
    }

    /// Reads all pages of one moment.
    async fn list(&mut self) -> Result<Change<K>, Fault> {
        let api = self.api().await?;
        let mut params = self.which.list().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.access.within(api.list(&params)).await?;
            all.extend(page.items);
            if let Some(bound) = &self.bound {
                bound.check(&all)?;
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_some() {
                continue;
            }
            let version = page.metadata.resource_version.unwrap_or_default();
            if version.is_empty() {
                return Err(Fault::new("the API server's list has no resourceVersion"));
            }
            self.at = At::Open(version);
            self.listed = clock::now();
            return Ok(Change::All(all));
        }
    }

    async fn open(&mut self, version: String) -> Result<Change<K>, Fault> {
        let api = self.api().await?;
        // Not all replicas at one moment.
        let factor = clock::with_rng(|rng| rng.random_range(0.8..=1.0));
        let length = self.pace.watch.mul_f64(factor).max(Duration::from_secs(1));
        let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
        let params = self.which.watch().timeout(seconds);
        let stream = self.access.within(api.watch(&params, &version)).await?;
        let since = clock::now();
        self.at = At::Watch {
            stream: stream.boxed(),
            version,
            since,
            ends: since + Duration::from_secs(seconds.into()),
        };
        Ok(Change::Heard)
    }

    /// The next word of a watch; nothing when it has ended as it should.
    async fn hear(&mut self) -> Result<Option<Change<K>>, Fault> {
        let At::Watch {
            stream,
            version,
            since,
            ends,
        } = &mut self.at
        else {
            return Ok(None);
        };
        let left = clock::now().until(*ends + GRACE);
        let said = tokio::time::timeout(left, stream.next()).await;
        let said = said.map_err(|_late| Fault::new("the API server's watch hangs"))?;
        let (change, reached) = match said {
            None => {
                let (now, version) = (clock::now(), std::mem::take(version));
                let lived = now.since(*since);
                // One that was asked to last for a second only has no time to end too early in.
                if lived + GRACE.min(ends.since(*since) / 2) < ends.since(*since) {
                    return Err(Fault::new(format!(
                        "the API server ended the watch after {lived:.1?}"
                    )));
                }
                self.pauses = Pauses::new();
                self.at = if now.since(self.listed) < self.pace.list {
                    At::Open(version)
                } else {
                    At::List
                };
                return Ok(None);
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(WatchEvent::Error(status))) => return Err((*status).into()),
            Some(Ok(WatchEvent::Bookmark(mark))) => {
                (Change::Heard, Some(mark.metadata.resource_version))
            }
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                let reached = object.meta().resource_version.clone();
                (Change::Applied(object), reached)
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                let reached = object.meta().resource_version.clone();
                (Change::Deleted(object), reached)
            }
        };
        match reached.filter(|reached| !reached.is_empty()) {
            Some(reached) => *version = reached,
            None => return Err(Fault::new("the API server's watch has no resourceVersion")),
        }
        Ok(Some(change))
    }
}

impl<K> Debug for Follow<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("which", &self.which)
            .finish_non_exhaustive()
    }
}
