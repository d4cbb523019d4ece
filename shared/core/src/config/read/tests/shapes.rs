//! Shapes of types that the sample does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::{JsonSchema, json_schema};
use serde::Deserialize;

use super::super::{Formats, Layers, read};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Odd {
    tuple: Option<(u8, String)>,
    array: Option<[bool; 2]>,
    by_port: BTreeMap<u16, Light>,
    light: Option<Light>,
    #[schemars(schema_with = "at_most_ten")]
    wrapped: Option<Wrapped>,
    tree: Option<Box<Tree>>,
    anything: Option<serde_json::Value>,
    letter: Option<char>,
    either: Either,
    nested: Option<Option<Light>>,
    #[schemars(schema_with = "open")]
    open: f64,
    negative: i8,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Light {
    Red,
    Green,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Wrapped(#[expect(dead_code, reason = "only read")] u32);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tree {
    #[expect(dead_code, reason = "only read")]
    name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only read")]
    below: Vec<Tree>,
}

/// Text or number, by one schema with two types.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Either(#[expect(dead_code, reason = "only read")] serde_json::Value);

// === impl Either ===

impl JsonSchema for Either {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Either".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": ["string", "integer"], "maximum": 9, "enum": null })
    }
}

/// A rule beside a reference. `#[schemars(range)]` does not write one: it drops rules of wrapped types.
fn at_most_ten(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = generator.subschema_for::<Wrapped>();
    schema.insert("maximum".to_owned(), 10.into());
    schema
}

fn open(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    json_schema!({ "allOf": [{ "type": "number" }, { "exclusiveMinimum": 0.0 }, { "exclusiveMaximum": 1.0 }] })
}

fn odd(text: &str) -> Result<Odd, String> {
    match read::<Odd>(&Layers::one("odd", text), &Formats::new()) {
        Ok((odd, _)) => Ok(odd),
        Err(faults) => {
            super::check_invariants(&faults, text);
            let mut lines = String::new();
            for fault in &faults {
                let _ = writeln!(
                    lines,
                    "{}:{} {} {}",
                    fault.line, fault.column, fault.path, fault.reason
                );
            }
            Err(lines)
        }
    }
}

#[test]
fn accepts_them_all() {
    let text = "tuple: [1, a]\narray: [true, false]\nby_port: { 80: red }\nlight: green\nwrapped: 10\n\
                tree: { name: a, below: [{ name: b, below: [{ name: c }] }] }\nanything: { a: [1, ~] }\n\
                letter: x\neither: 5\nnested: red\nopen: 0.5\nnegative: -128\n";
    let odd = odd(text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(odd.light.is_some() && odd.tree.is_some() && odd.open > 0.0);
    for text in [
        "either: word",
        "light:",
        "light: ~",
        "tree:",
        "anything: 5",
        "nested: ~",
    ] {
        assert!(super::shapes::odd(text).is_ok(), "{text:?}");
    }
}

#[test]
fn finds_what_is_wrong_with_them() {
    let text = "tuple: [a, 1]\narray: [true]\nby_port: { x: red, 80: rde }\nlight: gren\nwrapped: 11\n\
                tree: { name: a, below: [{ nme: b, below: [{ name: 5 }] }] }\n\
                letter: xy\neither: [1]\nnested: blue\nopen: 1.0\nnegative: -129\n";
    insta::assert_snapshot!(odd(text).map(|_| ()).expect_err("faults"));
}

#[test]
fn numbers_at_the_edges() {
    for (text, fits) in [
        ("negative: 127", true),
        ("negative: 128", false),
        ("open: 0", false),
        ("open: 1e-300", true),
        ("open: 1e999", false),
        ("either: 9", true),
        ("either: 10", false),
        (
            "negative: 99999999999999999999999999999999999999999999",
            false,
        ),
        ("wrapped: 0xA", true),
        ("wrapped: 0xB", false),
    ] {
        assert_eq!(odd(text).is_ok(), fits, "{text:?}");
    }
}
