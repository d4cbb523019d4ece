//! A JSON Schema, compiled for walking: what may stand at each place of a document.
//!
//! The schema comes from the very types that are read (`schemars`), so there is one truth: what the
//! types accept, what the editor completes, and what is checked here. Compiling once resolves the
//! references and builds the regular expressions before the first of perhaps a million values is
//! looked at. Only what `schemars` 1 writes for derived types is understood; a keyword that is not
//! known here constrains nothing, and serde still judges the value afterwards.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::union;

/// The place of a shape in [`Shapes`].
pub(super) type Id = usize;

/// All shapes of a type; the root is the first.
#[derive(Debug)]
pub(super) struct Shapes {
    list: Vec<Shape>,
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    Any,
    Null,
    Bool,
    Integer {
        min: i128,
        max: i128,
    },
    Number(Range),
    Text(Text),
    /// One of these texts.
    Choice(Vec<String>),
    List(List),
    Object(Object),
    /// All of these at once.
    All(Vec<Id>),
    /// Any one of these; `null` says that nothing is accepted too.
    Union {
        null: bool,
        branches: Vec<Id>,
    },
    /// An enum as `name` or `name: content`.
    External {
        units: Vec<String>,
        variants: BTreeMap<String, Id>,
    },
    /// An enum told apart by the text under `tag`.
    Internal {
        tag: String,
        variants: BTreeMap<String, Id>,
    },
}

/// Bounds of a number; exclusive ones where marked.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) above: Option<f64>,
    pub(super) below: Option<f64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    /// In characters.
    pub(super) length: (Option<u64>, Option<u64>),
    pub(super) pattern: Option<Regex>,
    pub(super) format: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct List {
    pub(super) prefix: Vec<Id>,
    pub(super) items: Option<Id>,
    pub(super) length: (Option<u64>, Option<u64>),
    pub(super) unique: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub(super) properties: BTreeMap<String, Id>,
    pub(super) required: Vec<String>,
    pub(super) patterns: Vec<(Regex, Id)>,
    /// The shape of other keys' values; nothing if there may be none.
    pub(super) others: Option<Id>,
    /// The shape of every key.
    pub(super) names: Option<Id>,
    pub(super) length: (Option<u64>, Option<u64>),
}

struct Compiler<'a> {
    document: &'a Value,
    list: Vec<Shape>,
    known: BTreeMap<&'a str, Id>,
}

// === impl Shapes ===

impl Shapes {
    pub(super) fn compile(schema: &Value) -> Self {
        let known = BTreeMap::from([("#", 0)]);
        let mut compiler = Compiler {
            document: schema,
            list: vec![Shape::Any],
            known,
        };
        let root = compiler.shape(schema);
        if let Some(first) = compiler.list.first_mut() {
            *first = root;
        }
        let mut shapes = Shapes {
            list: compiler.list,
        };
        union::classify(&mut shapes);
        shapes
    }

    pub(super) fn get(&self, id: Id) -> &Shape {
        self.list.get(id).unwrap_or(&Shape::Any)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn set(&mut self, id: Id, shape: Shape) {
        if let Some(slot) = self.list.get_mut(id) {
            *slot = shape;
        }
    }

    pub(super) fn add(&mut self, shape: Shape) -> Id {
        self.list.push(shape);
        self.list.len() - 1
    }
}

// === impl Compiler ===

impl<'a> Compiler<'a> {
    /// The place of the shape of `schema`; references lead to one shape each, so cycles end.
    fn id(&mut self, schema: &'a Value) -> Id {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(pointer) if !has_rules(schema) => self.reference(pointer),
            _ => {
                let shape = self.shape(schema);
                self.list.push(shape);
                self.list.len() - 1
            }
        }
    }

    fn reference(&mut self, pointer: &'a str) -> Id {
        if let Some(&id) = self.known.get(pointer) {
            return id;
        }
        let id = self.list.len();
        self.list.push(Shape::Any);
        self.known.insert(pointer, id);
        let target = pointer
            .strip_prefix('#')
            .and_then(|path| self.document.pointer(path));
        if let Some(target) = target {
            let shape = self.shape(target);
            if let Some(slot) = self.list.get_mut(id) {
                *slot = shape;
            }
        }
        id
    }

    /// Everything that a schema demands at once.
    fn shape(&mut self, schema: &'a Value) -> Shape {
        let Some(rules) = schema.as_object() else {
            return Shape::Any;
        };
        let mut parts = Vec::new();
        if let Some(pointer) = rules.get("$ref").and_then(Value::as_str) {
            let id = self.reference(pointer);
            parts.push(Shape::All(vec![id]));
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(branches) = rules.get(key).and_then(Value::as_array) {
                parts.push(self.union(branches));
            }
        }
        if let Some(all) = rules.get("allOf").and_then(Value::as_array) {
            parts.push(Shape::All(all.iter().map(|part| self.id(part)).collect()));
        }
        if let Some(choice) = self.choice(rules) {
            parts.push(choice);
        } else if let Some(own) = self.typed(rules) {
            parts.push(own);
        }
        if parts.len() <= 1 {
            return parts.pop().unwrap_or(Shape::Any);
        }
        Shape::All(parts.into_iter().map(|part| self.add(part)).collect())
    }

    fn union(&mut self, branches: &'a [Value]) -> Shape {
        let mut null = false;
        let mut ids = Vec::new();
        for branch in branches {
            if branch.get("type").and_then(Value::as_str) == Some("null") {
                null = true;
            } else {
                ids.push(self.id(branch));
            }
        }
        Shape::Union {
            null,
            branches: ids,
        }
    }

    /// `const` or `enum` of texts, with or without null; other constants are left to serde.
    fn choice(&mut self, rules: &Map<String, Value>) -> Option<Shape> {
        let values: Vec<&Value> = match (rules.get("const"), rules.get("enum")) {
            (Some(value), _) => vec![value],
            (None, Some(Value::Array(values))) => values.iter().collect(),
            _ => return None,
        };
        let texts = values.iter().filter(|value| !value.is_null());
        let texts: Option<Vec<_>> = texts
            .map(|value| value.as_str().map(str::to_owned))
            .collect();
        let (choice, null) = (
            Shape::Choice(texts?),
            values.iter().any(|value| value.is_null()),
        );
        Some(if null {
            Shape::Union {
                null,
                branches: vec![self.add(choice)],
            }
        } else {
            choice
        })
    }

    /// The shape that `type` names, or several of them.
    fn typed(&mut self, rules: &'a Map<String, Value>) -> Option<Shape> {
        let names: Vec<&str> = match rules.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if rules.contains_key("properties") => vec!["object"],
            _ => implied_type(rules)?,
        };
        let null = names.contains(&"null");
        let mut shapes = Vec::new();
        for name in names.iter().filter(|name| **name != "null") {
            shapes.push(match *name {
                "boolean" => Shape::Bool,
                "integer" => integer(rules),
                "number" => Shape::Number(range(rules)),
                "string" => Shape::Text(text(rules)),
                "array" => Shape::List(self.list_shape(rules)),
                "object" => Shape::Object(self.object(rules)),
                _ => Shape::Any,
            });
        }
        match (shapes.len(), null) {
            (0, true) => Some(Shape::Null),
            (1, false) => shapes.pop(),
            _ => {
                let branches = shapes.into_iter().map(|shape| self.add(shape)).collect();
                Some(Shape::Union { null, branches })
            }
        }
    }

    fn list_shape(&mut self, rules: &'a Map<String, Value>) -> List {
        let prefix = rules.get("prefixItems").and_then(Value::as_array);
        List {
            prefix: prefix
                .into_iter()
                .flatten()
                .map(|item| self.id(item))
                .collect(),
            items: rules
                .get("items")
                .filter(|items| items.is_object())
                .map(|items| self.id(items)),
            length: length(rules, "minItems", "maxItems"),
            unique: rules.get("uniqueItems") == Some(&Value::Bool(true)),
        }
    }

    fn object(&mut self, rules: &'a Map<String, Value>) -> Object {
        let map = |key: &str| {
            rules
                .get(key)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
        };
        let properties = map("properties")
            .map(|(name, rule)| (name.clone(), self.id(rule)))
            .collect();
        let patterns = map("patternProperties")
            .filter_map(|(pattern, rule)| Some((Regex::new(pattern).ok()?, self.id(rule))))
            .collect();
        let required = rules
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let others = match rules.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(rule) => Some(self.id(rule)),
            None => Some(self.add(Shape::Any)),
        };
        Object {
            properties,
            required: required
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            patterns,
            others,
            names: rules.get("propertyNames").map(|rule| self.id(rule)),
            length: length(rules, "minProperties", "maxProperties"),
        }
    }

    fn add(&mut self, shape: Shape) -> Id {
        self.list.push(shape);
        self.list.len() - 1
    }
}

const NUMBER_RULES: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const TEXT_RULES: [&str; 3] = ["minLength", "maxLength", "pattern"];
const LIST_RULES: [&str; 2] = ["minItems", "maxItems"];

/// Whether a schema demands more than its reference: ranges and lengths beside a `$ref`.
fn has_rules(schema: &Value) -> bool {
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
fn implied_type(rules: &Map<String, Value>) -> Option<Vec<&'static str>> {
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
fn integer(rules: &Map<String, Value>) -> Shape {
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

fn range(rules: &Map<String, Value>) -> Range {
    let bound = |key: &str| rules.get(key).and_then(Value::as_f64);
    let [min, max, above, below] = NUMBER_RULES.map(bound);
    Range {
        min,
        max,
        above,
        below,
    }
}

fn text(rules: &Map<String, Value>) -> Text {
    let own = |key: &str| rules.get(key).and_then(Value::as_str);
    Text {
        length: length(rules, "minLength", "maxLength"),
        pattern: own("pattern").and_then(|pattern| Regex::new(pattern).ok()),
        format: own("format").map(str::to_owned),
    }
}

fn length(rules: &Map<String, Value>, min: &str, max: &str) -> (Option<u64>, Option<u64>) {
    let bound = |key: &str| rules.get(key).and_then(Value::as_u64);
    (bound(min), bound(max))
}
