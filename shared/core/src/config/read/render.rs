//! Source lines and user text as a terminal may show them.
//!
//! What stands in a file is not trusted here: control characters, also those that turn the direction of
//! writing, never reach the terminal, and no line is longer than a window around the fault.

/// At most this many characters of a source line are shown around a fault.
const WINDOW: usize = 100;

/// User text as it may stand in a message: quoted, short, and without control characters.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

pub(super) fn digits(line: usize) -> usize {
    line.to_string().len()
}

/// The line and a caret line, both behind a gutter. Long lines are cut to a window; control characters
/// are replaced, so that a file cannot drive the reader's terminal. Characters two cells wide shift the
/// caret: their width depends on the terminal.
pub(super) fn snippet(text: &str, line: usize, column: usize, len: usize) -> String {
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
