//! A JSON Schema, compiled for walking: what may stand at each place of a document.
//!
//! The schema comes from the very types that are read (`schemars`), so there is one truth: what the
//! types accept, what the editor completes, and what is checked here. Only what `schemars` 1 writes for derived types is understood; a keyword that is not
//! known here constrains nothing, and serde still judges the value afterwards.

use std::collections::BTreeMap;

use regex::Regex;

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

// === impl Shapes ===

impl Shapes {
    /// The first of `list` is the root.
    pub(super) fn new(list: Vec<Shape>) -> Self {
        Shapes { list }
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
