//! What a document may not exceed, and what is checked before the parser sees it.
//!
//! The parser holds back all tokens of a bracket until it is closed, as the whole could still turn out
//! to be a key. A file of 16 MiB of commas in one bracket made it hold 3 GB, so the characters that make
//! tokens are counted first. Real files are far below: 100,000 servers with ten settings have 1.1 million
//! in block style, and 2.2 million as JSON.

use super::code::Code;
use super::finding::Finding;
use super::path::Path;
use super::source::Source;

/// Largest document, in bytes: some 100,000 servers with ten settings each.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting of lists and mappings; configuration has less than ten.
pub(super) const MAX_DEPTH: usize = 64;
/// Most values after aliases are expanded. Each 64 bytes of text count as one more.
pub(super) const MAX_ITEMS: usize = 2_000_000;
/// Most characters that can each make a token; see above.
pub(super) const MAX_MARKS: usize = 3_000_000;

/// The first thing that keeps `source` from the parser, if there is one.
pub(super) fn refuse(source: &Source) -> Option<Finding> {
    unprintable(source).or_else(|| crowded(source))
}

/// The first character that YAML forbids, if there is one. The parser would take a NUL for the end of
/// the file and drop the rest in silence.
fn unprintable(source: &Source) -> Option<Finding> {
    let forbidden = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        c => c.is_control(),
    };
    let (at, c) = source
        .text()
        .chars()
        .enumerate()
        .find(|&(_, c)| forbidden(c))?;
    let reason = format!("the control character U+{:04X} stands here", u32::from(c));
    let finding = Finding::new(source.span(at, at + 1), Path::root(), Code::Syntax, reason);
    Some(finding.hint("remove it, or write it as an escape in double quotes".to_owned()))
}

/// The character that is one mark too many.
fn crowded(source: &Source) -> Option<Finding> {
    let is_mark = |c: char| matches!(c, ',' | ':' | '?' | '[' | '{' | '&' | '*' | '!');
    // Bytes are counted first, as they are fast: the marks are ASCII.
    let count = source
        .text()
        .bytes()
        .filter(|&b| is_mark(char::from(b)))
        .count();
    if count <= MAX_MARKS {
        return None;
    }
    let mut marks = source
        .text()
        .chars()
        .enumerate()
        .filter(|&(_, c)| is_mark(c));
    let (at, _) = marks.nth(MAX_MARKS)?;
    let reason = format!("the document has more than {MAX_MARKS} commas, colons and brackets");
    Some(Finding::new(
        source.span(at, at + 1),
        Path::root(),
        Code::TooLarge,
        reason,
    ))
}
