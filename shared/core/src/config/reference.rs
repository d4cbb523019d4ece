//! The configuration for editors (JSON Schema) and for readers (a table of every key), both from the types.
//!
//! One section a type, in the order in which a reader meets them from the top of the file, and each type
//! once: the flat list of all paths that one could print instead repeats listeners and routes for each
//! tier and is four times as long. What the schema does not say, the table can't say either, so keys are
//! explained in the types' own documentation.

use super::model::{Global, Regional};
use super::read::schema_for;
use serde_json::{Map, Value};
use std::fmt::Write as _;

mod cells;

use cells::{default, kind, one_line};

/// The JSON Schema of the regional tier's file.
#[must_use]
pub fn regional_schema() -> Value {
    schema_for::<Regional>("Strata: configuration of regional-lb")
}

/// The JSON Schema of the global tier's file.
#[must_use]
pub fn global_schema() -> Value {
    schema_for::<Global>("Strata: configuration of global-lb")
}

/// A schema as it stands in a file: indented, with a line break at the end.
#[must_use]
pub fn schema_text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// Every key of both tiers with type, default and meaning, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    let mut told = Vec::new();
    for (title, anchor, schema) in [
        ("regional.yaml", "Regional", regional_schema()),
        ("global.yaml", "Global", global_schema()),
    ] {
        let none = Map::new();
        let types = schema
            .get("$defs")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        section(&mut text, title, anchor, &schema);
        let mut next = references(&schema);
        next.reverse();
        while let Some(name) = next.pop() {
            if told.contains(&name) {
                continue;
            }
            if let Some(schema) = types.get(&name).filter(|schema| has_section(schema)) {
                section(&mut text, &name, &name, schema);
                next.extend(references(schema).into_iter().rev());
            }
            told.push(name);
        }
    }
    text
}

/// Whether a type is told in a section of its own; texts with a format are told where they are used.
fn has_section(schema: &Value) -> bool {
    schema.get("properties").is_some() || !choices(schema).is_empty()
}

fn section(text: &mut String, title: &str, anchor: &str, schema: &Value) {
    // Writing to a text can't fail.
    let _ = writeln!(
        text,
        "### <a id=\"{}\"></a>{title}\n",
        anchor.to_lowercase()
    );
    if let Some(about) = schema.get("description").and_then(Value::as_str) {
        let _ = writeln!(text, "{}\n", one_line(about));
    }
    let choices = choices(schema);
    if !choices.is_empty() {
        text.push_str("| value | meaning |\n|---|---|\n");
        for (value, about) in choices {
            let _ = writeln!(text, "| `{value}` | {} |", one_line(about));
        }
    }
    let none = Map::new();
    let keys = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array);
    if keys.is_empty() && schema.get("properties").is_none() {
        text.push('\n');
        return;
    }
    if keys.is_empty() {
        text.push_str("It has no keys: write `{}`.\n\n");
        return;
    }
    text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
    for (key, rule) in keys {
        let is_required = required.is_some_and(|all| all.iter().any(|one| one == key));
        let default = if is_required {
            "**required**".to_owned()
        } else {
            default(rule)
        };
        let about = rule
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or("");
        let _ = writeln!(
            text,
            "| `{key}` | {} | {default} | {} |",
            kind(rule),
            one_line(about)
        );
    }
    text.push('\n');
}

/// The values of an enum with their meaning.
fn choices(schema: &Value) -> Vec<(&str, &str)> {
    let plain = schema
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let plain = plain.filter_map(|value| Some((value.as_str()?, "")));
    let told = schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let told = told.flat_map(|one| {
        let about = one.get("description").and_then(Value::as_str).unwrap_or("");
        let constant = one.get("const").and_then(Value::as_str);
        let several = one
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let values = constant
            .into_iter()
            .chain(several.filter_map(Value::as_str));
        values.map(move |value| (value, about))
    });
    plain.chain(told).collect()
}

/// The types that a type's keys refer to, in the order of the keys.
fn references(schema: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut queue = vec![schema.get("properties").unwrap_or(&Value::Null)];
    while let Some(value) = queue.pop() {
        match value {
            Value::Object(rules) => {
                if let Some(pointer) = rules.get("$ref").and_then(Value::as_str) {
                    names.push(cells::type_name(pointer).to_owned());
                }
                let inner = rules.iter().filter(|(key, _)| *key != "default");
                queue.extend(inner.map(|(_, value)| value).rev());
            }
            Value::Array(list) => queue.extend(list.iter().rev()),
            _ => {}
        }
    }
    names
}
