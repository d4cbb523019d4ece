//! Faults as people and programs read them.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::path::Path;
use super::source::{Source, Span};

/// At most this many faults are kept; the rest is counted.
const SHOWN: usize = 100;
/// At most this many characters of a source line are shown around a fault.
const WINDOW: usize = 100;

/// What kind of fault it is. The name (kebab-case) is stable: programs may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The file is not UTF-8.
    Encoding,
    /// The file is not YAML, or uses a part of YAML that is not supported.
    Syntax,
    /// The file is larger, deeper or more repetitive than is allowed.
    TooLarge,
    /// A mapping holds the same key twice.
    DuplicateKey,
    /// A key that is not known at this place.
    UnknownKey,
    /// A key that must be there and is not.
    MissingKey,
    /// A value of another type than expected.
    WrongType,
    /// A value that is none of the allowed ones.
    NotAllowed,
    /// A number that is too small or too large.
    OutOfRange,
    /// A text, list or mapping that is too short or too long.
    WrongLength,
    /// A text that is not of the expected form.
    BadFormat,
    /// A value that its type refuses for another reason.
    Invalid,
    /// A name that nothing in the document has.
    UnknownName,
    /// A name, address or other identity that is used twice.
    DuplicateName,
    /// Two settings that contradict each other.
    Conflict,
    /// A setting that can never have an effect.
    Unreachable,
    /// A setting that is not safe without an explicit switch.
    Insecure,
    /// A setting that this program does not support.
    Unsupported,
    /// A file named by the document cannot be used.
    BadFile,
}

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

// === impl Code ===

impl Code {
    /// The stable name, such as `unknown-key`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Code::Encoding => "encoding",
            Code::Syntax => "syntax",
            Code::TooLarge => "too-large",
            Code::DuplicateKey => "duplicate-key",
            Code::UnknownKey => "unknown-key",
            Code::MissingKey => "missing-key",
            Code::WrongType => "wrong-type",
            Code::NotAllowed => "not-allowed",
            Code::OutOfRange => "out-of-range",
            Code::WrongLength => "wrong-length",
            Code::BadFormat => "bad-format",
            Code::Invalid => "invalid",
            Code::UnknownName => "unknown-name",
            Code::DuplicateName => "duplicate-name",
            Code::Conflict => "conflict",
            Code::Unreachable => "unreachable",
            Code::Insecure => "insecure",
            Code::Unsupported => "unsupported",
            Code::BadFile => "bad-file",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    pub(super) fn new(
        source: &Source,
        span: Span,
        path: &Path,
        code: Code,
        reason: String,
    ) -> Self {
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

/// User text as it may stand in a message: quoted, short, and without control characters.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn digits(line: usize) -> usize {
    line.to_string().len()
}

/// The line and a caret line, both behind a gutter. Long lines are cut to a window; control characters
/// are replaced, so that a file cannot drive the reader's terminal. Characters two cells wide shift the
/// caret: their width depends on the terminal.
fn snippet(text: &str, line: usize, column: usize, len: usize) -> String {
    let first = if column + len.min(WINDOW / 2) > WINDOW {
        column - WINDOW / 2
    } else {
        0
    };
    let visible = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    let mut shown: String = text.chars().skip(first).take(WINDOW).map(visible).collect();
    if text.chars().nth(first + WINDOW).is_some() {
        shown.push('…');
    }
    let lead = if first > 0 { "…" } else { "" };
    let indent = " ".repeat(column - 1 - first + lead.chars().count());
    let carets = "^".repeat(len.min((first + WINDOW + 1).saturating_sub(column)).max(1));
    let margin = " ".repeat(digits(line));
    format!("{line} | {lead}{shown}\n{margin} | {indent}{carets}").replace(" \n", "\n")
}
