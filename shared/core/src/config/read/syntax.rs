//! The parser's complaints in the words of someone who writes configuration.
//!
//! A parser names the rule that broke ("mapping values are not allowed in this context"); the writer
//! needs the slip that broke it (a colon in a text, a wrong indentation). The table below maps the one
//! to the other; a complaint that is not in it is shown as it is.

use saphyr_parser::ScanError;

use super::code::Code;
use super::finding::Finding;
use super::path::Path;
use super::source::{Source, Span};

/// A part of the parser's message, what it means, and what to do.
const TABLE: &[(&str, &str, &str)] = &[
    (
        "tab",
        "a tab is used where only spaces may stand",
        "indent with spaces",
    ),
    (
        "mapping values are not allowed",
        "a `: ` cannot stand here",
        "check the indentation of this line and of the one above; put a text that holds `: ` in quotes",
    ),
    (
        "found unknown anchor",
        "this alias has no anchor before it",
        "a text that begins with * must be in quotes, such as \"*.example.com\"",
    ),
    (
        "while scanning an anchor or alias",
        "* and & mark aliases and anchors, which need a name",
        "a text that begins with * or & must be in quotes",
    ),
    (
        "did not find expected key",
        "the indentation of this line fits nothing above it",
        "line it up with the keys that it belongs to",
    ),
    (
        "did not find expected '-' indicator",
        "this line is neither an entry of the list above nor outside it",
        "begin each entry with `- `, all at the same indentation",
    ),
    (
        "block sequence entries are not allowed",
        "a list entry cannot begin here",
        "put the list on its own lines below its key; put a text that begins with `- ` in quotes",
    ),
    (
        "misplaced bracket",
        "this bracket closes nothing",
        "remove it, or open it before",
    ),
    (
        "expected ',' or ']'",
        "a comma or `]` is missing here",
        "put a comma between entries; close the list with `]`",
    ),
    (
        "expected ',' or '}'",
        "a comma or `}` is missing here",
        "put a comma between entries; close the mapping with `}`",
    ),
    (
        "indentation in flow construct",
        "the brackets before this line are not closed",
        "close them, or indent this line more than the key that holds them",
    ),
    (
        "illegal placement of ':'",
        "a `:` cannot stand here",
        "close the bracket or quote before it; put a text that holds `:` in quotes",
    ),
    (
        "unknown escape character",
        "this is no escape of a text in double quotes",
        "double the backslash, or use single quotes, where a backslash is just a backslash",
    ),
    (
        "quoted scalar, found unexpected end",
        "the quote that opens here is never closed",
        "close it",
    ),
    (
        "indentation in quoted scalar",
        "the quote that opens here is not closed on its line",
        "close it; a text of several lines must be indented more than its key",
    ),
    (
        "trailing content after double-quoted",
        "text follows the closing quote",
        "put all of the text inside of the quotes, and write \\\" for a quote in it",
    ),
    (
        "unexpected character: `",
        "a text cannot begin with this character",
        "put the text in quotes",
    ),
    (
        "simple key expect",
        "a key is not followed by `: `",
        "write `key: value`",
    ),
    (
        "unprintable character",
        "a control character stands here",
        "remove it",
    ),
    (
        "the handle wasn't declared",
        "this tag is not known",
        "remove the tag",
    ),
    (
        "recursion limit",
        "brackets are nested too deep",
        "check that each one is closed",
    ),
];

/// For a key that the parser took for the rest of the text above it.
const CONTINUED: (&str, &str) = (
    "this line continues the text of the line above",
    "check its indentation, and that the line above is `key: value`",
);

/// For a bracket whose end is missed on a later line.
const UNCLOSED: (&str, &str) = (
    "this bracket is not closed",
    "close it; what is inside must be indented and have commas between",
);

/// The finding for what stopped the parser. `bracket` is the innermost one that is open.
pub(super) fn explain(
    source: &Source,
    error: &ScanError,
    path: Path,
    bracket: Option<Span>,
) -> Finding {
    let at = error.marker().index();
    let span = source.span(at, at + 1);
    let known = TABLE.iter().find(|(part, ..)| error.info().contains(part));
    let Some(&(part, reason, hint)) = known else {
        let reason = format!("this is not YAML: {}", error.info());
        return Finding::new(span, path, Code::Syntax, reason);
    };
    let (span, reason, hint) = match part {
        "tab" => (tab(source, span).unwrap_or(span), reason, hint),
        "mapping values are not allowed" if continues(source, span) => {
            (span, CONTINUED.0, CONTINUED.1)
        }
        "expected ',' or ']'" | "expected ',' or '}'" | "indentation in flow construct" => {
            // On another line than its bracket, the parser only stumbles over what follows the slip.
            let bracket = bracket.filter(|open| source.place(open.start).0 < error.marker().line());
            bracket.map_or((span, reason, hint), |open| (open, UNCLOSED.0, UNCLOSED.1))
        }
        _ => (span, reason, hint),
    };
    Finding::new(span, path, Code::Syntax, reason).hint(hint.to_owned())
}

/// The first tab in the indentation of the line at `span` or of one below it, where the parser stands
/// at the value before.
fn tab(source: &Source, span: Span) -> Option<Span> {
    let (line, _) = source.place(span.start);
    (line..line + 3).find_map(|line| {
        let text = source.line(line);
        let indent = text.chars().take_while(|c| c.is_whitespace());
        let at = indent.enumerate().find(|&(_, c)| c == '\t')?.0;
        let start = source.start(line)? as usize;
        Some(source.span(start + at, start + at + 1))
    })
}

/// Whether the colon at `span` is the first of its line, so that the line above is what swallowed it.
fn continues(source: &Source, span: Span) -> bool {
    let (line, column) = source.place(span.start);
    let before: String = source.line(line).chars().take(column - 1).collect();
    line > 1 && !before.contains(": ")
}
