//! Checks a tree against the shape of a type, finding every fault, and makes the JSON value for serde.
//!
//! One pass does both, because what an empty value means depends on the shape: `limits:` with nothing
//! behind it stands for "no such key" where the key may be absent, and for an empty mapping where it may
//! not. The walk goes as deep as the tree, which the loader has bounded; where it must try several
//! shapes for one value, the number of all steps is bounded too.

use serde_json::Value;

use super::code::Code;
use super::expect;
use super::finding::{Finding, Findings};
use super::formats::Formats;
use super::path::{Path, Step};
use super::shape::{Id, List, Shape, Shapes};
use super::source::{Sources, Span};
use super::tree::{Item, Kind};

/// Most steps of one walk: each value is met once, and untagged enums meet theirs again per variant.
const MAX_STEPS: usize = 16_000_000;

/// The state of one walk.
pub(super) struct Walk<'a> {
    pub(super) sources: &'a Sources,
    pub(super) shapes: &'a Shapes,
    pub(super) formats: &'a Formats,
    pub(super) findings: Findings,
    steps: Vec<Step>,
    taken: usize,
}

/// A value to check, and what to point at when it is empty or lacks something: its key, if it has one.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) item: &'a Item,
    pub(super) holder: Span,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    pub(super) fn new(
        sources: &'a Sources,
        shapes: &'a Shapes,
        formats: &'a Formats,
        findings: Findings,
    ) -> Self {
        Walk {
            sources,
            shapes,
            formats,
            findings,
            steps: Vec::new(),
            taken: 0,
        }
    }

    /// The value at `at` as JSON. Where it does not fit, findings are added and the value is void.
    pub(super) fn check(&mut self, at: At<'_>, id: Id) -> Value {
        if !self.step_taken(at) {
            return Value::Null;
        }
        match self.shapes.get(id) {
            Shape::Any => at.item.to_json(),
            Shape::Null if at.item.kind == Kind::Null => Value::Null,
            Shape::Bool if matches!(at.item.kind, Kind::Bool(_)) => at.item.to_json(),
            Shape::Integer { min, max } => self.integer(at, id, *min, *max),
            Shape::Number(range) => self.number(at, id, range),
            Shape::Text(rules) => self.text(at, id, rules),
            Shape::Choice(names) => self.choice(at, id, names),
            Shape::List(rules) => self.list(at, id, rules),
            Shape::Object(rules) => self.object(at, id, rules),
            Shape::All(parts) => self.all(at, parts),
            Shape::Union { null, branches } => self.union(at, id, *null, branches),
            Shape::External { units, variants } => self.external(at, id, units, variants),
            Shape::Internal { tag, variants } => self.internal(at, id, tag, variants),
            Shape::Null | Shape::Bool => self.wrong_type(at, id),
        }
    }

    /// Checks the value under `key` or at an index.
    pub(super) fn below(&mut self, step: Step, at: At<'_>, id: Id) -> Value {
        self.inside(step, |walk| walk.check(at, id))
    }

    /// Does `work` one step down.
    pub(super) fn inside<T>(&mut self, step: Step, work: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(step);
        let result = work(self);
        self.steps.pop();
        result
    }

    fn step_taken(&mut self, at: At<'_>) -> bool {
        self.taken += 1;
        if self.taken == MAX_STEPS {
            let reason = "the document has too many ways to be read";
            self.fault(self.finding(at, Code::TooLarge, reason));
        }
        self.taken < MAX_STEPS
    }

    fn list(&mut self, at: At<'_>, id: Id, rules: &List) -> Value {
        let Kind::List(items) = &at.item.kind else {
            return self.wrong_type(at, id);
        };
        self.length(at, "entry", "entries", items.len(), rules.length);
        let mut values: Vec<Value> = Vec::with_capacity(items.len());
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let inner = At {
                item,
                holder: item.span,
            };
            let value = match rules.prefix.get(index).copied().or(rules.items) {
                Some(id) => self.below(Step::Index(index), inner, id),
                None => item.to_json(),
            };
            if rules.unique && !seen.insert(value.to_string()) {
                let reason = format!("{} is in the list twice", expect::found(item, self.sources));
                self.inside(Step::Index(index), |walk| {
                    walk.fault(walk.finding(inner, Code::DuplicateName, reason));
                });
            }
            values.push(value);
        }
        Value::Array(values)
    }

    fn all(&mut self, at: At<'_>, parts: &[Id]) -> Value {
        let before = self.findings.count();
        let mut first = None;
        for &part in parts {
            let value = self.check(at, part);
            first.get_or_insert(value);
            if self.findings.count() > before {
                break;
            }
        }
        first.unwrap_or_else(|| at.item.to_json())
    }

    pub(super) fn length(
        &mut self,
        at: At<'_>,
        one: &str,
        many: &str,
        count: usize,
        (min, max): (Option<u64>, Option<u64>),
    ) {
        let count = count as u64;
        let words = |n: u64| format!("{n} {}", if n == 1 { one } else { many });
        let reason = match (min, max) {
            (Some(min), _) if count < min => {
                format!("found {}, expected at least {min}", words(count))
            }
            (_, Some(max)) if count > max => {
                format!("found {}, expected at most {max}", words(count))
            }
            _ => return,
        };
        self.fault(self.finding(at, Code::WrongLength, reason));
    }

    /// A finding at the value, or at its key if the value is empty.
    pub(super) fn finding(&self, at: At<'_>, code: Code, reason: impl Into<String>) -> Finding {
        let span = if at.item.span.is_empty() {
            at.holder
        } else {
            at.item.span
        };
        Finding::new(span, self.path(), code, reason)
    }

    pub(super) fn fault(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn path(&self) -> Path {
        Path::from_steps(&self.steps)
    }
}
