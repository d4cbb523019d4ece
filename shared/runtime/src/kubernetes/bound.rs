//! How much is followed: an API server that lists without an end takes no memory without an end.

use super::fault::Fault;

/// What a list may weigh.
#[derive(Debug, Clone)]
pub(crate) struct Bound<K> {
    /// At most so much.
    pub(crate) most: usize,
    /// How much an object weighs.
    pub(crate) weigh: fn(&K) -> usize,
    /// What is said of more.
    pub(crate) refusal: String,
}

// === impl Bound ===

impl<K> Bound<K> {
    /// Refuses what weighs too much.
    pub(super) fn check(&self, all: &[K]) -> Result<(), Fault> {
        let weight: usize = all.iter().map(self.weigh).sum();
        if weight > self.most {
            return Err(Fault::new(&*self.refusal));
        }
        Ok(())
    }
}
