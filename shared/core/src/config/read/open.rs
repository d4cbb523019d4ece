//! Lists and mappings while they are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::source::Span;
use super::tree::{Entry, Item, Kind};

/// A finished value, with what it counts and how deep it is.
#[derive(Clone)]
pub(super) struct Sized {
    pub(super) item: Item,
    pub(super) cost: usize,
    pub(super) height: usize,
}

/// A list or mapping that is still open.
pub(super) struct Frame {
    pub(super) span: Span,
    pub(super) anchor: usize,
    pub(super) cost: usize,
    pub(super) height: usize,
    pub(super) body: Body,
}

pub(super) enum Body {
    List(Vec<Item>),
    Map(OpenMap),
}

#[derive(Default)]
pub(super) struct OpenMap {
    pub(super) entries: Vec<Entry>,
    pub(super) seen: BTreeMap<Arc<str>, Span>,
    /// The key whose value comes next.
    pub(super) key: Option<(Arc<str>, Span)>,
    /// Whether `key` is the merge key `<<`.
    pub(super) merging: bool,
    pub(super) merged: Vec<Item>,
    /// The first key as it is written, also if it is a merge key.
    pub(super) first: Option<Span>,
}

// === impl OpenMap ===

impl OpenMap {
    /// Adds the value of the current key. A key that is there already keeps its first value, and comes
    /// back with its place and that of the first.
    pub(super) fn add(&mut self, value: Item) -> Option<(Arc<str>, Span, Span)> {
        let (key, key_span) = self.key.take()?;
        if std::mem::take(&mut self.merging) {
            self.merged.push(value);
            return None;
        }
        if let Some(first) = self.seen.get(&key) {
            return Some((key, key_span, *first));
        }
        self.seen.insert(Arc::clone(&key), key_span);
        self.entries.push(Entry {
            key,
            key_span,
            value,
        });
        None
    }

    /// The entries with those of the merge keys, which never override the mapping's own, and the places
    /// of what was to be merged and is no mapping.
    pub(super) fn close(self) -> (Vec<Entry>, Vec<Span>) {
        let OpenMap {
            mut entries,
            mut seen,
            merged,
            ..
        } = self;
        let mut misplaced = Vec::new();
        for item in merged {
            let parts = match &item.kind {
                Kind::List(items) => items.to_vec(),
                _ => vec![item],
            };
            for part in parts {
                let Kind::Map(added) = &part.kind else {
                    misplaced.push(part.span);
                    continue;
                };
                let mut is_new = |e: &&Entry| seen.insert(Arc::clone(&e.key), e.key_span).is_none();
                entries.extend(added.iter().filter(|entry| is_new(entry)).cloned());
            }
        }
        (entries, misplaced)
    }
}
