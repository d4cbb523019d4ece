//! A document that was read, kept so that later checks can point into it.

use super::code::Code;
use super::diagnostic::{Diagnostic, Place};
use super::path::Path;
use super::source::Source;
use super::tree::Item;

/// The text of a file and the tree of its values with their places.
#[derive(Debug, Clone)]
pub struct Document {
    source: Source,
    root: Item,
}

// === impl Document ===

impl Document {
    pub(super) fn new(source: Source, root: Item) -> Self {
        Document { source, root }
    }

    /// The file as it was named by the caller of [`super::read`].
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.file()
    }

    /// Whether the file itself has a value at `path`, rather than a default standing in for it.
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
            &self.source,
            span.unwrap_or_default(),
            path,
            code,
            reason.into(),
        )
    }
}
