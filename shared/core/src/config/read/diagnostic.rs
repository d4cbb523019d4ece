//! Faults as people and programs read them.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::code::Code;
use super::path::Path;
use super::render::{digits, snippet};
use super::source::{Sources, Span};

/// At most this many faults are kept; the rest is counted.
const SHOWN: usize = 100;

/// Which half of a mapping's entry a fault points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The key; for an entry of a list, its value.
    Key,
    /// The value.
    Value,
}

/// One fault, with its place and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file as it was named by the caller.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters (not bytes, not screen cells).
    pub column: usize,
    /// How many characters of this line are marked, at least 1.
    pub len: usize,
    /// The place in the document, such as `pools[2].name`; empty for the document itself.
    pub path: String,
    /// What kind of fault it is.
    pub code: Code,
    /// What is wrong, in one line without a full stop.
    pub reason: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A text to write in place of the marked one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The source line with its number, and the caret line below it.
    pub snippet: String,
}

/// All faults of a document, by place; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Faults {
    faults: Vec<Diagnostic>,
    /// How many faults were found beyond those that are listed.
    omitted: usize,
}

// === impl Diagnostic ===

impl Diagnostic {
    pub(super) fn new(
        sources: &Sources,
        span: Span,
        path: &Path,
        code: Code,
        reason: String,
    ) -> Self {
        let source = sources.of(span);
        let (line, column) = source.place(span.start);
        let text = source.line(line);
        let room = text.chars().count().saturating_sub(column - 1).max(1);
        let len = (span.end.saturating_sub(span.start) as usize).clamp(1, room);
        Diagnostic {
            file: Arc::clone(source.file()),
            line,
            column,
            len,
            path: path.to_string(),
            code,
            reason,
            hint: None,
            suggestion: None,
            snippet: snippet(text, line, column, len),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a text to write in place of the marked one.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic {
            file,
            line,
            column,
            reason,
            code,
            ..
        } = self;
        writeln!(f, "{file}:{line}:{column}: {reason} [{code}]")?;
        write!(f, "{}", self.snippet)?;
        let margin = " ".repeat(digits(*line) + 1);
        if !self.path.is_empty() {
            write!(f, "\n{margin}= at {}", self.path)?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n{margin}= did you mean `{suggestion}`?")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{margin}= help: {hint}")?;
        }
        Ok(())
    }
}

// === impl Faults ===

impl Faults {
    /// The faults by place, each once; nothing if there are none. At most 100 are kept.
    #[must_use]
    pub fn new(mut faults: Vec<Diagnostic>) -> Option<Self> {
        let last = faults.pop()?;
        Some(Self::with_omitted(last, faults, 0))
    }

    /// `Ok` if there are no faults: the last line of a check.
    ///
    /// # Errors
    /// All faults, if there are any.
    pub fn check(faults: Vec<Diagnostic>) -> Result<(), Self> {
        Self::new(faults).map_or(Ok(()), Err)
    }

    /// [`Faults::check`], with faults that were found but not kept.
    ///
    /// # Errors
    /// All faults, if there are any.
    pub(in crate::config) fn check_counted(
        mut faults: Vec<Diagnostic>,
        omitted: usize,
    ) -> Result<(), Self> {
        match faults.pop() {
            Some(last) => Err(Self::with_omitted(last, faults, omitted)),
            None => Ok(()),
        }
    }

    pub(super) fn with_omitted(last: Diagnostic, rest: Vec<Diagnostic>, omitted: usize) -> Self {
        let mut faults = rest;
        faults.push(last);
        faults.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.code, &a.reason)
                .cmp(&(&b.file, b.line, b.column, b.code, &b.reason))
        });
        // A mapping used through two aliases shows its fault once.
        faults.dedup_by(|a, b| {
            (&a.file, a.line, a.column, a.code, &a.reason)
                == (&b.file, b.line, b.column, b.code, &b.reason)
        });
        let omitted = omitted + faults.len().saturating_sub(SHOWN);
        faults.truncate(SHOWN);
        Faults { faults, omitted }
    }

    /// The faults that are listed, by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.faults.iter()
    }

    /// The number of all faults, listed or not; at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.faults.len() + self.omitted
    }

    /// The listed faults, for adding those of a later check.
    #[must_use]
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.faults
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.faults.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { "\n\n" })?;
            fault.fmt(f)?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\n\n… and {omitted} more"),
        }
    }
}

impl std::error::Error for Faults {}
