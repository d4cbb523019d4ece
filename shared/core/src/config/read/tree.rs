//! The document as it was written: values with the place of each, and of each key.
//!
//! Containers are shared, so an alias costs no copy: what it would expand to is counted, not built.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::path::{Path, Step};
use super::source::Span;

/// A value and where it stands. For a block mapping that is its first key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// Integers beyond 128 bits are the largest or smallest of them, which no type accepts.
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    List(Arc<[Item]>),
    Map(Arc<[Entry]>),
}

/// One entry of a mapping; keys are text, whatever they look like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Arc<str>,
    pub(super) key_span: Span,
    pub(super) value: Item,
}

/// What [`Item::find`] came to.
pub(super) struct Found<'a> {
    pub(super) item: &'a Item,
    /// The key that holds the item, if it is in a mapping.
    pub(super) key: Option<Span>,
    /// Whether the whole path exists; otherwise `item` is the nearest ancestor that does.
    pub(super) complete: bool,
}

// === impl Item ===

impl Item {
    /// Follows `path` as far as the document goes.
    pub(super) fn find(&self, path: &Path) -> Found<'_> {
        let mut found = Found {
            item: self,
            key: None,
            complete: true,
        };
        for step in path.steps() {
            let next = match (step, &found.item.kind) {
                (Step::Key(key), Kind::Map(entries)) => entries
                    .iter()
                    .find(|entry| &*entry.key == key.as_str())
                    .map(|entry| (&entry.value, Some(entry.key_span))),
                (Step::Index(index), Kind::List(items)) => items.get(*index).map(|i| (i, None)),
                _ => None,
            };
            let Some((item, key)) = next else {
                found.complete = false;
                break;
            };
            (found.item, found.key) = (item, key);
        }
        found
    }

    /// The value as JSON. Numbers that JSON cannot hold become null; the walk refuses them before.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => int_to_json(*value),
            Kind::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Kind::Text(text) => Value::String(text.to_string()),
            Kind::List(items) => Value::Array(items.iter().map(Item::to_json).collect()),
            Kind::Map(entries) => {
                let pairs = entries
                    .iter()
                    .map(|e| (e.key.to_string(), e.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }
}

/// The integer as JSON; beyond 64 bits it is a float.
pub(super) fn int_to_json(value: i128) -> Value {
    if let Ok(value) = i64::try_from(value) {
        Value::from(value)
    } else if let Ok(value) = u64::try_from(value) {
        Value::from(value)
    } else {
        Value::from(value as f64)
    }
}
