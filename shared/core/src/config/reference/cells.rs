//! The cells of the reference table.

use serde_json::{Map, Value};

/// Text for a cell: one line, with `|` escaped.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// The last part of `#/$defs/Name`.
pub(super) fn type_name(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or(pointer)
}

/// What may stand in the value.
pub(super) fn kind(rule: &Value) -> String {
    if let Some(pointer) = rule.get("$ref").and_then(Value::as_str) {
        return named(type_name(pointer));
    }
    let branches = rule.get("anyOf").and_then(Value::as_array);
    let branch = branches.and_then(|all| all.iter().find(|one| one.get("$ref").is_some()));
    if let Some(branch) = branch {
        return kind(branch);
    }
    let format = rule.get("format").and_then(Value::as_str).unwrap_or("");
    match type_of(rule) {
        "string" if format.is_empty() => "text".to_owned(),
        "string" => format.replace('-', " "),
        "boolean" => "true or false".to_owned(),
        "array" => format!(
            "list of {}",
            rule.get("items").map_or("values".to_owned(), kind)
        ),
        "object" => {
            let of = |key: &str| rule.get(key).map_or("text".to_owned(), kind);
            format!(
                "mapping of {} to {}",
                of("propertyNames"),
                of("additionalProperties")
            )
        }
        name => format!("{name}{}", range(rule, format)),
    }
}

/// What counts when the key is absent.
pub(super) fn default(rule: &Value) -> String {
    match rule.get("default") {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::Object(keys)) if keys.is_empty() => "none".to_owned(),
        Some(Value::Object(_)) => "as below".to_owned(),
        Some(Value::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "`''`".to_owned(),
        Some(value) => format!("`{}`", plain(value)),
    }
}

/// A type by its name: texts by what they hold, others with a link to their section.
fn named(name: &str) -> String {
    match name {
        "DurationText" => "duration".to_owned(),
        "ByteSize" => "size".to_owned(),
        "Percent" => "per cent".to_owned(),
        "AddressRange" => "address range".to_owned(),
        "StatusRange" => "status range".to_owned(),
        name if name.ends_with("Name") => "name".to_owned(),
        name => format!("[{name}](#{})", name.to_lowercase()),
    }
}

fn type_of(rule: &Value) -> &str {
    match rule.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("value")
        }
        _ => "value",
    }
}

/// " 1 to 100"; the bounds of a width of bits are left out where they are beyond use.
fn range(rule: &Value, format: &str) -> String {
    let bound = |key: &str| rule.get(key).filter(|bound| bound.is_number()).map(plain);
    let most = bound("maximum").or((format == "uint16").then(|| "65535".to_owned()));
    match (bound("minimum"), most) {
        (Some(least), Some(most)) => format!(" {least} to {most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    }
}

/// A value on one line, as it would stand in YAML.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(plain).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(keys) => mapping(keys),
        Value::Number(number) => number
            .as_f64()
            .filter(|float| float.fract() == 0.0 && number.is_f64())
            .map_or(number.to_string(), |float| format!("{float:.0}")),
        other => other.to_string(),
    }
}

fn mapping(keys: &Map<String, Value>) -> String {
    let pairs: Vec<String> = keys
        .iter()
        .map(|(key, value)| format!("{key}: {}", plain(value)))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}
