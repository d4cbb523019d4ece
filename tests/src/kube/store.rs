//! Objects of all kinds, one counter of versions, and what has changed.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::select::Selector;
use super::status::Status;

/// Changes that are remembered without a compaction.
const MOST_CHANGES: usize = 10_000;

/// A kind of object in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// API group; empty for the core's.
    pub group: &'static str,
    /// Such as `v1`.
    pub version: &'static str,
    /// Such as `configmaps`.
    pub plural: &'static str,
    /// Such as `ConfigMap`.
    pub kind: &'static str,
}

#[derive(Debug, Clone)]
pub(super) struct Store {
    objects: BTreeMap<Resource, BTreeMap<Key, Value>>,
    version: u64,
    changes: VecDeque<Change>,
    /// Changes until here are forgotten.
    compacted: u64,
    /// Lists whose pages are not all read.
    snapshots: BTreeMap<(u64, Resource), Vec<Value>>,
    /// How many objects were ever made.
    made: u64,
}

/// Namespace and name.
type Key = (String, String);

/// Something that happened to an object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) resource: Resource,
    pub(super) namespace: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Which page of a list is wanted.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) limit: Option<usize>,
    pub(super) token: Option<String>,
    /// The version that a list must have reached.
    pub(super) version: Option<u64>,
}

// === impl Resource ===

impl Resource {
    /// `v1` ConfigMaps.
    pub const CONFIG_MAPS: Self = Self::new("", "v1", "configmaps", "ConfigMap");
    /// `v1` Services.
    pub const SERVICES: Self = Self::new("", "v1", "services", "Service");
    /// `discovery.k8s.io/v1` EndpointSlices.
    pub const ENDPOINT_SLICES: Self =
        Self::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
    /// `coordination.k8s.io/v1` Leases.
    pub const LEASES: Self = Self::new("coordination.k8s.io", "v1", "leases", "Lease");
    /// All that is served.
    pub const ALL: [Self; 4] = [
        Self::CONFIG_MAPS,
        Self::SERVICES,
        Self::ENDPOINT_SLICES,
        Self::LEASES,
    ];

    const fn new(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self {
            group,
            version,
            plural,
            kind,
        }
    }

    /// As objects have it, such as `discovery.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As messages have it, such as `endpointslices.discovery.k8s.io`.
    pub(super) fn full(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

// === impl Store ===

impl Default for Store {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            version: 1,
            changes: VecDeque::new(),
            compacted: 0,
            snapshots: BTreeMap::new(),
            made: 0,
        }
    }
}

impl Store {
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) const fn compacted(&self) -> u64 {
        self.compacted
    }

    /// The number of the next object that is made.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(super) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Value> {
        let key = (namespace.to_owned(), name.to_owned());
        self.objects.get(resource)?.get(&key)
    }

    /// Objects of a namespace, or of all.
    pub(super) fn all(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Value> {
        let objects = self.objects.get(resource).into_iter().flatten();
        let here = objects.filter(|((at, _), _)| namespace.is_none_or(|wanted| wanted == at));
        here.map(|(_, object)| object.clone()).collect()
    }

    /// Stores an object under the next version; none: takes it out. Tells what is stored, or was.
    pub(super) fn commit(
        &mut self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        after: Option<Value>,
    ) -> Option<Value> {
        let key = (namespace.to_owned(), name.to_owned());
        let objects = self.objects.entry(*resource).or_default();
        let before = objects.get(&key).cloned();
        if after.is_none() && before.is_none() {
            return None;
        }
        self.version += 1;
        let stamped = |mut object: Value| {
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            object
        };
        let after = after.map(stamped);
        match &after {
            Some(object) => drop(objects.insert(key, object.clone())),
            None => drop(objects.remove(&key)),
        }
        self.changes.push_back(Change {
            version: self.version,
            resource: *resource,
            namespace: namespace.to_owned(),
            before: before.clone(),
            after: after.clone(),
        });
        if self.changes.len() > MOST_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.version;
        }
        after.or_else(|| before.map(stamped))
    }

    pub(super) fn remove(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        self.commit(resource, (namespace, name), None)
    }

    /// Changes after a version, which must not be compacted.
    pub(super) fn since(&self, version: u64) -> Vec<Change> {
        let later = self
            .changes
            .iter()
            .filter(|change| change.version > version);
        later.cloned().collect()
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.version;
        self.changes.clear();
        self.snapshots.clear();
    }

    pub(super) fn begin_anew(&mut self) {
        self.version = 1;
        for object in self.objects.values_mut().flat_map(BTreeMap::values_mut) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
        self.compact();
    }

    /// A list, or a page of one. Later pages are of the moment of the first.
    pub(super) fn list(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &Selector,
        page: &Page,
    ) -> Result<Value, Status> {
        if let Some(wanted) = page.version.filter(|wanted| *wanted > self.version) {
            return Err(Status::too_large(wanted, self.version));
        }
        let (version, skipped) = match &page.token {
            None => (self.version, 0),
            Some(token) => position(token)?,
        };
        let all = match &page.token {
            None => {
                let mut all = self.all(resource, namespace);
                all.retain(|object| selector.fits(object));
                all
            }
            Some(_) => {
                let kept = self.snapshots.get(&(version, *resource));
                kept.cloned().ok_or_else(Status::continue_expired)?
            }
        };
        let limit = page.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let items: Vec<Value> = all.iter().skip(skipped).take(limit).map(bare).collect();
        let reached = skipped + items.len();
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if reached < all.len() {
            metadata["continue"] = json!(format!("{version}.{reached}"));
            if selector.is_all() {
                metadata["remainingItemCount"] = json!(all.len() - reached);
            }
            self.snapshots.insert((version, *resource), all);
        }
        Ok(json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": metadata,
            "items": items,
        }))
    }
}

/// An object as it stands in a list: without its type.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

fn position(token: &str) -> Result<(u64, usize), Status> {
    let found = token
        .split_once('.')
        .and_then(|(version, reached)| Some((version.parse().ok()?, reached.parse().ok()?)));
    found.ok_or_else(|| Status::bad("continue key is not valid: illegal base64 data"))
}

// === impl Change ===

impl Change {
    /// The event of a watch with that selector; none when the object was and is none of its.
    pub(super) fn event(&self, selector: &Selector) -> Option<Value> {
        let fits = |object: &&Value| selector.fits(object);
        let before = self.before.as_ref().filter(fits);
        let (kind, object) = match (before, self.after.as_ref().filter(fits)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", after.clone()),
            (Some(_), Some(after)) => ("MODIFIED", after.clone()),
            (Some(before), None) => {
                let mut last = before.clone();
                last["metadata"]["resourceVersion"] = json!(self.version.to_string());
                ("DELETED", last)
            }
        };
        Some(json!({ "type": kind, "object": object }))
    }
}
