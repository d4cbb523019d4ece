//! Which objects are followed.

use kube::api::{ListParams, WatchParams};

/// A choice among the objects of a kind and namespace.
#[derive(Debug, Clone)]
pub(super) enum Which {
    /// Those with labels, by a selector; empty: all.
    #[allow(dead_code, reason = "for followers of more than one object")]
    Labels(String),
    /// The one of that name.
    Name(String),
}

// === impl Which ===

impl Which {
    pub(super) fn list(&self) -> ListParams {
        match self {
            Self::Labels(labels) => ListParams::default().labels(labels),
            Self::Name(name) => ListParams::default().fields(&format!("metadata.name={name}")),
        }
    }

    pub(super) fn watch(&self) -> WatchParams {
        match self {
            Self::Labels(labels) => WatchParams::default().labels(labels),
            Self::Name(name) => WatchParams::default().fields(&format!("metadata.name={name}")),
        }
    }
}
