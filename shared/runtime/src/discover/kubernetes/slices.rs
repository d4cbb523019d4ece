//! The slices that are known.

use super::convert::slice;
use crate::kubernetes::Change;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use lb_core::discovery::Slice;
use std::collections::BTreeMap;

/// Slices by name, and whether a list is still to be made of them.
#[derive(Debug, Default)]
pub(super) struct Slices {
    known: BTreeMap<String, Slice>,
    is_changed: bool,
}

// === impl Slices ===

impl Slices {
    /// Takes in what was heard. What says the same as before is no change: a slice's times and versions don't matter.
    pub(super) fn take(&mut self, change: Change<EndpointSlice>) {
        match change {
            Change::All(all) => {
                let all = all.into_iter().map(slice);
                self.known = all.map(|slice| (slice.name.clone(), slice)).collect();
                self.is_changed = true;
            }
            Change::Applied(one) => {
                let one = slice(one);
                if self.known.get(&one.name) != Some(&one) {
                    self.known.insert(one.name.clone(), one);
                    self.is_changed = true;
                }
            }
            Change::Deleted(one) => {
                let name = one.metadata.name.unwrap_or_default();
                self.is_changed |= self.known.remove(&name).is_some();
            }
            Change::Heard | Change::Broken(_) => {}
        }
    }

    pub(super) const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// A list was made.
    pub(super) const fn settle(&mut self) {
        self.is_changed = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slice> {
        self.known.values()
    }
}
