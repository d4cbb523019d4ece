//! The text of a file, and where its characters stand.
//!
//! The parser counts characters, people count lines and columns, and Rust slices bytes. A file that
//! is one long line must not make each look-up walk that line, so the byte position of each 256th
//! character is kept: every translation costs at most 256 steps, in a fixed 1.6 % of extra memory.
//!
//! A configuration may be in several files. Their characters are counted on, as if one file stood behind the other
//! ([`Sources`]), so that a place is one number wherever it is, and a tree may be put together from several of them.

use std::sync::Arc;

const STRIDE: usize = 256;

/// A range of characters, end exclusive. 32 bits suffice, as documents are bounded to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A file name, its text without a byte order mark, and the tables to find places in it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Arc<str>,
    text: Arc<str>,
    /// Character index at which each line starts; never empty.
    lines: Vec<u32>,
    /// Byte index of each `STRIDE`-th character.
    strides: Vec<u32>,
    chars: u32,
    /// How many characters stand in the sources before this one.
    base: u32,
}

/// All texts of one document, in the order in which their characters are counted. Never empty.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    first: Source,
    others: Vec<Source>,
}

// === impl Span ===

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            start: narrow(start),
            end: narrow(end.max(start)),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

// === impl Source ===

impl Source {
    /// `text` must be at most 4 GiB; the reader refuses more than 16 MiB before.
    pub(super) fn new(file: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut lines, mut strides) = (vec![0], Vec::with_capacity(text.len() / STRIDE + 1));
        let mut count = 0_usize;
        let mut chars = text.char_indices().peekable();
        while let Some((byte, c)) = chars.next() {
            if count.is_multiple_of(STRIDE) {
                strides.push(narrow(byte));
            }
            count += 1;
            let next = chars.peek().map(|&(_, c)| c);
            if c == '\n' || (c == '\r' && next != Some('\n')) {
                lines.push(narrow(count));
            }
        }
        Source {
            file: file.into(),
            text: text.into(),
            lines,
            strides,
            chars: narrow(count),
            base: 0,
        }
    }

    /// A range of this text, by its own characters.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let base = self.base as usize;
        Span::new(base + start, base + end)
    }

    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Line and column, from 1, in characters. A place behind the end is the end.
    pub(super) fn place(&self, at: u32) -> (usize, usize) {
        let at = at.saturating_sub(self.base).min(self.chars);
        let line = self.lines.partition_point(|&start| start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        (line, (at - start) as usize + 1)
    }

    /// The character of this text at which a line (from 1) starts.
    pub(super) fn start(&self, line: usize) -> Option<u32> {
        self.lines.get(line.checked_sub(1)?).copied()
    }

    /// The text of a line (from 1) without its line break; empty when there is no such line.
    pub(super) fn line(&self, line: usize) -> &str {
        let Some(start) = self.start(line) else {
            return "";
        };
        let end = self.lines.get(line).copied().unwrap_or(self.chars);
        self.chars(start, end).trim_end_matches(['\n', '\r'])
    }

    pub(super) fn slice(&self, span: Span) -> &str {
        let own = |at: u32| at.saturating_sub(self.base);
        self.chars(own(span.start), own(span.end))
    }

    fn chars(&self, start: u32, end: u32) -> &str {
        self.text
            .get(self.byte(start)..self.byte(end))
            .unwrap_or("")
    }

    fn byte(&self, at: u32) -> usize {
        let at = at as usize;
        let Some(&base) = self.strides.get(at / STRIDE) else {
            return self.text.len();
        };
        let base = base as usize;
        let rest = self.text.get(base..).unwrap_or("");
        rest.char_indices()
            .nth(at % STRIDE)
            .map_or(self.text.len(), |(byte, _)| base + byte)
    }
}

// === impl Sources ===

impl Sources {
    /// A document in one text.
    pub(super) fn one(source: Source) -> Self {
        Sources {
            first: source,
            others: Vec::new(),
        }
    }

    /// Counts on behind the last one.
    pub(super) fn push(&mut self, source: Source) -> &Source {
        let last = self.others.last().unwrap_or(&self.first);
        // One more, so that the end of a text is not the beginning of the next.
        let base = last.base.saturating_add(last.chars).saturating_add(1);
        self.others.push(Source { base, ..source });
        self.others.last().unwrap_or(&self.first)
    }

    /// The main one.
    pub(super) fn first(&self) -> &Source {
        &self.first
    }

    /// The one in which a range stands.
    pub(super) fn of(&self, span: Span) -> &Source {
        let behind = self
            .others
            .partition_point(|source| source.base <= span.start);
        let at = behind.checked_sub(1).and_then(|at| self.others.get(at));
        at.unwrap_or(&self.first)
    }

    pub(super) fn slice(&self, span: Span) -> &str {
        self.of(span).slice(span)
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_in_every_line_ending() {
        let source = Source::new("f", "\u{feff}é: 1\r\nb: ü\rc\n");
        assert_eq!(
            source.place(0),
            (1, 1),
            "the byte order mark takes no column"
        );
        assert_eq!(source.place(3), (1, 4));
        assert_eq!(source.place(6), (2, 1), "CRLF is one break");
        assert_eq!(source.place(9), (2, 4));
        assert_eq!(source.place(11), (3, 1), "a lone CR is a break");
        assert_eq!(source.place(u32::MAX), (4, 1), "behind the end is the end");
        assert_eq!(
            (source.line(1), source.line(2), source.line(3)),
            ("é: 1", "b: ü", "c")
        );
        assert_eq!((source.line(0), source.line(9)), ("", ""));
    }

    #[test]
    fn slices_far_into_one_long_line() {
        let text: String = "äb".repeat(5000);
        let source = Source::new("f", &text);
        assert_eq!(source.slice(Span::new(9998, 10_000)), "äb");
        assert_eq!(source.slice(Span::new(256, 258)), "äb");
        assert_eq!(source.slice(Span::new(9999, 20_000)), "b");
    }
}
