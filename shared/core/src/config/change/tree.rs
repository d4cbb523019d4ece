//! Differences between two trees of plain values, in words.
//!
//! Entries of a list that have a name are told apart by it, so that a server put in front of others is
//! one addition and not a change of all. Values of header edits are never shown: they carry secrets,
//! and these lines go to logs.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// A named list with more changes than this is told by counts.
const TOLD: usize = 8;
/// Longest value that is shown, in characters.
const SHOWN: usize = 60;

/// One line for each difference, in the order of the keys.
pub(super) fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", old, new, &mut lines);
    lines
}

fn walk(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => object(path, old, new, lines),
        (Value::Array(old), Value::Array(new)) => match (by_name(old), by_name(new)) {
            (Some(old_names), Some(new_names)) => named(path, &old_names, &new_names, lines),
            _ => lines.push(match (list(old), list(new)) {
                (Some(old), Some(new)) => format!("{path}: {old} -> {new}"),
                _ => format!("{path}: changed"),
            }),
        },
        _ => lines.push(leaf(path, old, new)),
    }
}

fn object(path: &str, old: &Map<String, Value>, new: &Map<String, Value>, lines: &mut Vec<String>) {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let place = join(path, key);
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => walk(&place, old, new, lines),
            (None, _) => lines.push(format!("{place}: added")),
            (_, None) => lines.push(format!("{place}: removed")),
        }
    }
}

type Named<'a> = Vec<(&'a str, &'a Value)>;

fn named(path: &str, old: &Named<'_>, new: &Named<'_>, lines: &mut Vec<String>) {
    let find_new: HashMap<&str, &Value> = new.iter().copied().collect();
    let find_old: HashMap<&str, &Value> = old.iter().copied().collect();
    let added: Vec<&str> = names(new)
        .filter(|name| !find_old.contains_key(name))
        .collect();
    let removed: Vec<&str> = names(old)
        .filter(|name| !find_new.contains_key(name))
        .collect();
    let changed: Vec<(&str, &Value, &Value)> = old
        .iter()
        .filter_map(|(name, old)| Some((*name, *old, *find_new.get(name)?)))
        .filter(|(_, old, new)| old != new)
        .collect();
    let counts = [added.len(), removed.len(), changed.len()];
    if counts.iter().sum::<usize>() > TOLD {
        let words = ["added", "removed", "changed"];
        let told = counts.iter().zip(words).filter(|(count, _)| **count > 0);
        let told: Vec<String> = told
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        lines.push(format!("{path}: {}", told.join(", ")));
        return;
    }
    lines.extend(
        added
            .iter()
            .map(|name| format!("{}: added", join(path, name))),
    );
    lines.extend(
        removed
            .iter()
            .map(|name| format!("{}: removed", join(path, name))),
    );
    for (name, old, new) in changed {
        walk(&join(path, name), old, new, lines);
    }
    if counts == [0; 3] {
        lines.push(format!("{path}: another order"));
    }
}

fn names<'a>(list: &Named<'a>) -> impl Iterator<Item = &'a str> {
    list.iter().map(|(name, _)| *name)
}

/// The entries with their names, if each has one of its own.
fn by_name(list: &[Value]) -> Option<Named<'_>> {
    let mut seen = std::collections::HashSet::new();
    list.iter()
        .map(|entry| {
            let name = entry.get("name")?.as_str()?;
            seen.insert(name).then_some((name, entry))
        })
        .collect()
}

fn leaf(path: &str, old: &Value, new: &Value) -> String {
    let is_secret = [".set.", ".add."].iter().any(|part| path.contains(part));
    if is_secret || old.is_object() || new.is_object() || old.is_array() || new.is_array() {
        return match (old, new) {
            (Value::Null, _) => format!("{path}: added"),
            (_, Value::Null) => format!("{path}: removed"),
            _ => format!("{path}: changed"),
        };
    }
    format!("{path}: {} -> {}", shown(old), shown(new))
}

/// The entries of a short list of plain values.
fn list(list: &[Value]) -> Option<String> {
    let is_plain = |entry: &Value| !entry.is_object() && !entry.is_array();
    let entries: Vec<String> = list.iter().map(shown).collect();
    let text = format!("[{}]", entries.join(", "));
    (list.iter().all(is_plain) && text.chars().count() <= SHOWN).then_some(text)
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut short: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(SHOWN)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
