//! The bounds and names in one JSON Schema object.

use regex::Regex;
use serde_json::{Map, Value};

use super::shape::{Range, Shape, Text};

const NUMBER_RULES: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const TEXT_RULES: [&str; 3] = ["minLength", "maxLength", "pattern"];
const LIST_RULES: [&str; 2] = ["minItems", "maxItems"];

/// Whether a schema demands more than its reference: ranges and lengths beside a `$ref`.
pub(super) fn has_rules(schema: &Value) -> bool {
    let notes = [
        "$ref",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "$defs",
    ];
    let Some(rules) = schema.as_object() else {
        return false;
    };
    rules
        .keys()
        .any(|key| !notes.contains(&key.as_str()) && !key.starts_with("x-"))
}

/// The type meant by rules without a `type`, as they stand beside a reference.
pub(super) fn implied_type(rules: &Map<String, Value>) -> Option<Vec<&'static str>> {
    let has = |keys: &[&str]| keys.iter().any(|key| rules.contains_key(*key));
    if has(&NUMBER_RULES) {
        Some(vec!["number"])
    } else if has(&TEXT_RULES) {
        Some(vec!["string"])
    } else {
        has(&LIST_RULES).then(|| vec!["array"])
    }
}

/// Bounds of an integer: those of its width, narrowed by those of the schema.
pub(super) fn integer(rules: &Map<String, Value>) -> Shape {
    let (mut min, mut max) = match rules.get("format").and_then(Value::as_str) {
        Some("int8") => (i8::MIN.into(), i8::MAX.into()),
        Some("int16") => (i16::MIN.into(), i16::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("int64" | "int") => (i64::MIN.into(), i64::MAX.into()),
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64" | "uint") => (0, u64::MAX.into()),
        _ => (i128::from(i64::MIN), i128::from(u64::MAX)),
    };
    let bound = |key: &str| rules.get(key).and_then(whole);
    min = bound("minimum").map_or(min, |bound| bound.max(min));
    min = bound("exclusiveMinimum").map_or(min, |bound| (bound + 1).max(min));
    max = bound("maximum").map_or(max, |bound| bound.min(max));
    max = bound("exclusiveMaximum").map_or(max, |bound| (bound - 1).min(max));
    Shape::Integer { min, max }
}

fn whole(value: &Value) -> Option<i128> {
    let float = || value.as_f64().map(|float| float as i128);
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from))
        .or_else(float)
}

pub(super) fn range(rules: &Map<String, Value>) -> Range {
    let bound = |key: &str| rules.get(key).and_then(Value::as_f64);
    let [min, max, above, below] = NUMBER_RULES.map(bound);
    Range {
        min,
        max,
        above,
        below,
    }
}

pub(super) fn text(rules: &Map<String, Value>) -> Text {
    let own = |key: &str| rules.get(key).and_then(Value::as_str);
    Text {
        length: length(rules, "minLength", "maxLength"),
        pattern: own("pattern").and_then(|pattern| Regex::new(pattern).ok()),
        format: own("format").map(str::to_owned),
    }
}

pub(super) fn length(
    rules: &Map<String, Value>,
    min: &str,
    max: &str,
) -> (Option<u64>, Option<u64>) {
    let bound = |key: &str| rules.get(key).and_then(Value::as_u64);
    (bound(min), bound(max))
}
