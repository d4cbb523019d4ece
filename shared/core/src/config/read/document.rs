//! A document that was read, kept so that later checks can point into it.

use super::code::Code;
use super::diagnostic::{Diagnostic, Place};
use super::path::Path;
use super::source::Sources;
use super::tree::Item;

/// The texts of a document and the tree of its values with their places.
#[derive(Debug, Clone)]
pub struct Document {
    sources: Sources,
    root: Item,
}

// === impl Document ===

impl Document {
    pub(super) fn new(sources: Sources, root: Item) -> Self {
        Document { sources, root }
    }

    /// The main file as it was named by the caller of [`super::read`].
    #[must_use]
    pub fn file(&self) -> &str {
        self.sources.first().file()
    }

    /// Whether the document itself has a value at `path`, rather than a default standing in for it.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.root.find(path).complete
    }

    /// A fault at `path`. If the document has nothing there (a default is at fault), it points at the
    /// nearest value around it that the document has, and still names `path`.
    #[must_use]
    pub fn fault(
        &self,
        path: &Path,
        at: Place,
        code: Code,
        reason: impl Into<String>,
    ) -> Diagnostic {
        let found = self.root.find(path);
        let value = Some(found.item.span).filter(|span| !span.is_empty());
        let wants_key = at == Place::Key || !found.complete;
        let span = if wants_key {
            found.key.or(value)
        } else {
            value.or(found.key)
        };
        Diagnostic::new(
            &self.sources,
            span.unwrap_or_default(),
            path,
            code,
            reason.into(),
        )
    }
}
