//! From a JSON Schema to shapes.
//!
//! Compiling once resolves the references and builds the regular expressions before the first of perhaps
//! a million values is looked at. A reference is given its place before its target is compiled, so types
//! that contain themselves come to an end.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::rules::{has_rules, implied_type, integer, length, range, text};
use super::shape::{Id, List, Object, Shape, Shapes};
use super::union;

/// The shapes of what `schema` describes.
pub(super) fn compile(schema: &Value) -> Shapes {
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
    let mut shapes = Shapes::new(compiler.list);
    union::classify(&mut shapes);
    shapes
}

struct Compiler<'a> {
    document: &'a Value,
    list: Vec<Shape>,
    known: BTreeMap<&'a str, Id>,
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
