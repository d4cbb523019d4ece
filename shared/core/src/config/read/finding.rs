//! Faults as they are collected, before they are placed and rendered.

use super::code::Code;
use super::diagnostic::{Diagnostic, Faults};
use super::path::Path;
use super::source::{Sources, Span};

/// Beyond this many, faults are only counted: a file with 100,000 servers, each with the same slip,
/// must not cost memory for 100,000 messages.
const COLLECTED: usize = 1000;

/// A fault whose place is still a range of characters.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) span: Span,
    pub(super) path: Path,
    pub(super) code: Code,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
    pub(super) suggestion: Option<String>,
    /// For a repetition: where the first one stands.
    pub(super) first: Option<Span>,
}

/// All findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    omitted: usize,
}

// === impl Finding ===

impl Finding {
    pub(super) fn new(span: Span, path: Path, code: Code, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Finding {
            span,
            path,
            code,
            reason,
            hint: None,
            suggestion: None,
            first: None,
        }
    }

    /// Marks the finding as the repetition of what stands at `first`.
    pub(super) fn after(mut self, first: Span) -> Self {
        self.first = Some(first);
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    pub(super) fn suggest(mut self, suggestion: impl Into<Option<String>>) -> Self {
        self.suggestion = suggestion.into();
        self
    }

    pub(super) fn render(self, sources: &Sources) -> Diagnostic {
        let fault = Diagnostic::new(sources, self.span, &self.path, self.code, self.reason);
        let repeated = self.first.map(|first| {
            let source = sources.of(first);
            let line = source.place(first.start).0;
            if source.file() == &fault.file {
                format!("the first one is in line {line}; keep one of them")
            } else {
                format!(
                    "the first one is in {}:{line}; keep one of them",
                    source.file()
                )
            }
        });
        Diagnostic {
            hint: self.hint.or(repeated),
            suggestion: self.suggestion,
            ..fault
        }
    }
}

// === impl Findings ===

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.list.len() < COLLECTED {
            self.list.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn append(&mut self, other: Findings) {
        self.omitted += other.omitted;
        other
            .list
            .into_iter()
            .for_each(|finding| self.push(finding));
    }

    pub(super) fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// All findings as faults; nothing if there are none.
    pub(super) fn into_faults(mut self, sources: &Sources) -> Option<Faults> {
        let last = self.list.pop()?;
        Some(self.with_last(last, sources))
    }

    /// All findings and `last` as faults.
    pub(super) fn with_last(self, last: Finding, sources: &Sources) -> Faults {
        let rest = self
            .list
            .into_iter()
            .map(|finding| finding.render(sources))
            .collect();
        Faults::with_omitted(last.render(sources), rest, self.omitted)
    }
}
