//! What was expected and what was found, in words.

use super::render::quote;
use super::shape::{Id, Shape, Shapes};
use super::source::{Sources, Span};
use super::tree::{Item, Kind};

/// At most this many names are listed in one message.
const LISTED: usize = 16;

/// "an integer", "a list", "one of a, b".
pub(super) fn expected(shapes: &Shapes, id: Id) -> String {
    describe(shapes, id, 0)
}

/// The whole of a list of names, or its beginning.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names
        .iter()
        .take(LISTED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > LISTED {
        text.push_str(", …");
    }
    text
}

/// "the number 8", "the text \"8o\"", "nothing".
pub(super) fn found(item: &Item, sources: &Sources) -> String {
    match &item.kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Bool(value) => format!("the boolean {value}"),
        Kind::Int(_) | Kind::Float(_) => format!("the number {}", written(item.span, sources)),
        Kind::Text(text) => format!("the text {}", quote(text)),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping".to_owned(),
    }
}

/// A scalar without blanks as it was written, without anchor and tag before it.
pub(super) fn written(span: Span, sources: &Sources) -> String {
    let last = sources
        .slice(span)
        .split_whitespace()
        .next_back()
        .unwrap_or("");
    last.chars().take(60).collect()
}

/// Whether a value is of the type, whatever else is wrong with it.
pub(super) fn is_kind(shape: &Shape, kind: &Kind) -> bool {
    match shape {
        Shape::Any | Shape::All(_) | Shape::Union { .. } => true,
        Shape::Null => matches!(kind, Kind::Null),
        Shape::Bool => matches!(kind, Kind::Bool(_)),
        Shape::Integer { .. } => matches!(kind, Kind::Int(_)),
        Shape::Number(_) => matches!(kind, Kind::Int(_) | Kind::Float(_)),
        Shape::Text(_) | Shape::Choice(_) => matches!(kind, Kind::Text(_)),
        Shape::List(_) => matches!(kind, Kind::List(_)),
        Shape::Object(_) | Shape::Internal { .. } => matches!(kind, Kind::Map(_)),
        Shape::External { .. } => matches!(kind, Kind::Text(_) | Kind::Map(_)),
    }
}

fn describe(shapes: &Shapes, id: Id, depth: usize) -> String {
    match shapes.get(id) {
        Shape::Any => "any value".to_owned(),
        Shape::Null => "nothing".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer { .. } => "an integer".to_owned(),
        Shape::Number(_) => "a number".to_owned(),
        Shape::Text(text) => text
            .format
            .as_deref()
            .map_or_else(|| "text".to_owned(), article),
        Shape::Choice(names) => match names.as_slice() {
            [only] => format!("`{only}`"),
            _ => format!("one of {}", list(names.iter().map(String::as_str))),
        },
        Shape::External { units, variants } => {
            format!(
                "one of {}",
                list(units.iter().chain(variants.keys()).map(String::as_str))
            )
        }
        Shape::List(_) => "a list".to_owned(),
        Shape::Object(_) | Shape::Internal { .. } => "a mapping".to_owned(),
        Shape::All(parts) => match parts.first() {
            Some(&part) if depth < 8 => describe(shapes, part, depth + 1),
            _ => "another value".to_owned(),
        },
        Shape::Union { branches, .. } if depth < 8 => {
            let mut words: Vec<String> = Vec::new();
            for &branch in branches {
                let word = describe(shapes, branch, depth + 1);
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            words.join(" or ")
        }
        Shape::Union { .. } => "another value".to_owned(),
    }
}

/// "a duration", "an IP address", "a byte size".
fn article(format: &str) -> String {
    match format {
        "ip" => return "an IP address".to_owned(),
        "ipv4" => return "an IPv4 address".to_owned(),
        "ipv6" => return "an IPv6 address".to_owned(),
        _ => {}
    }
    let article = if format.starts_with(['a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {}", format.replace(['-', '_'], " "))
}
