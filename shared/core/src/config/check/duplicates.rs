//! Names and addresses that must occur once.

use super::report::Report;
use crate::config::read::Path;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// First places of values, to tell the second one.
#[derive(Debug)]
pub(super) struct Seen<K, P>(HashMap<K, P>);

// === impl Seen ===

impl<K: Eq + Hash, P: Clone> Seen<K, P> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Remembers `key` at `place`; if it was seen before, tells where.
    pub(super) fn again(&mut self, key: K, place: P) -> Option<P> {
        match self.0.entry(key) {
            Entry::Occupied(first) => Some(first.get().clone()),
            Entry::Vacant(slot) => {
                slot.insert(place);
                None
            }
        }
    }
}

/// Reports each name that was given before. `list` is the path of the list whose entries have a `name`.
pub(super) fn names<'n>(
    report: &mut Report<'_>,
    list: &Path,
    what: &str,
    scope: &str,
    names: impl Iterator<Item = &'n str>,
) {
    let mut seen = Seen::new();
    for (at, name) in names.enumerate() {
        if let Some(first) = seen.again(name, at) {
            report.repeated(
                &list.index(at).key("name"),
                &list.index(first).key("name"),
                format!("the {what} name \"{name}\" is used twice{scope}"),
                &format!("give each {what} a name of its own"),
            );
        }
    }
}
