//! Whatever the text is, the answer is a value or faults whose places lie in the text.

use proptest::prelude::*;

use super::super::utf8;
use super::sample;
use super::values::any_root;

/// Pieces that YAML gives a meaning; random text alone seldom gets behind the first line.
const PIECES: &[&str] = &[
    "name",
    "pools",
    "servers",
    "address",
    "weight",
    "check",
    "zones",
    "limits",
    "a",
    "1",
    "0x",
    "-1e9",
    ": ",
    ":",
    "- ",
    "-",
    "\n",
    "\r\n",
    "\r",
    "\n  ",
    "\n    ",
    "\t",
    " ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    "&a ",
    "*a",
    "<<: ",
    "? ",
    "| ",
    ">-",
    "'",
    "\"",
    "\\",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "!",
    "!!str ",
    "!<x>",
    "ä",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{0}",
    "𝄞",
    "~",
    "null",
    "true",
    ".inf",
    "@",
    "`",
];

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        drop(sample(&text));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match utf8("f", &bytes) {
            Ok(text) => drop(sample(text)),
            Err(faults) => prop_assert_eq!(faults.count(), 1),
        }
    }

    #[test]
    fn any_pieces_are_answered(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        drop(sample(&pieces.concat()));
    }

    /// Valid text with some pieces put in, taken out or doubled.
    #[test]
    fn any_slip_is_answered(
        root in any_root(),
        slips in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, prop::sample::select(PIECES)), 1..5),
        block in any::<bool>(),
    ) {
        let json = serde_json::to_string_pretty(&root).expect("serializes");
        let mut text: Vec<char> = if block { super::values::BLOCK.chars().collect() } else { json.chars().collect() };
        for (at, kind, piece) in slips {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + 7).min(text.len());
            match kind {
                0 => drop(text.splice(at..at, piece.chars())),
                1 => drop(text.drain(at..end)),
                2 => drop(text.splice(at..end, piece.chars())),
                _ => {
                    let doubled = text[at..end].to_vec();
                    drop(text.splice(at..at, doubled));
                }
            }
        }
        drop(sample(&text.into_iter().collect::<String>()));
    }
}
