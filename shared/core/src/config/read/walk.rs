//! Checks a tree against the shape of a type, finding every fault, and makes the JSON value for serde.
//!
//! One pass does both, because what an empty value means depends on the shape: `limits:` with nothing
//! behind it stands for "no such key" where the key may be absent, and for an empty mapping where it may
//! not. The walk goes as deep as the tree, which the loader has bounded; where it must try several
//! shapes for one value, the number of all steps is bounded too.

use serde_json::{Map, Value};

use super::diagnostic::{Code, quote};
use super::expect;
use super::finding::{Finding, Findings};
use super::formats::Formats;
use super::path::{Key, Path, Step};
use super::shape::{Id, List, Object, Shape, Shapes};
use super::source::{Source, Span};
use super::suggest::suggest;
use super::tree::{Entry, Item, Kind};

/// Most steps of one walk: each value is met once, and untagged enums meet theirs again per variant.
const MAX_STEPS: usize = 16_000_000;

/// The state of one walk.
pub(super) struct Walk<'a> {
    pub(super) source: &'a Source,
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
        source: &'a Source,
        shapes: &'a Shapes,
        formats: &'a Formats,
        findings: Findings,
    ) -> Self {
        Walk {
            source,
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
                let reason = format!("{} is in the list twice", expect::found(item, self.source));
                self.inside(Step::Index(index), |walk| {
                    walk.fault(walk.finding(inner, Code::DuplicateName, reason));
                });
            }
            values.push(value);
        }
        Value::Array(values)
    }

    fn object(&mut self, at: At<'_>, id: Id, rules: &Object) -> Value {
        let entries: &[Entry] = match &at.item.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => return self.wrong_type(at, id),
        };
        self.length(at, "key", "keys", entries.len(), rules.length);
        let mut map = Map::new();
        let mut meant: Vec<&str> = Vec::new();
        for entry in entries {
            self.key_name(entry, rules);
            let known = rules.properties.get(&*entry.key).copied();
            let matching = || {
                rules
                    .patterns
                    .iter()
                    .find(|(p, _)| p.is_match(&entry.key))
                    .map(|p| p.1)
            };
            let Some(id) = known.or_else(matching).or(rules.others) else {
                meant.extend(self.unknown_key(entry, entries, rules));
                continue;
            };
            if entry.value.kind == Kind::Null && self.is_absent(entry, id, rules) {
                continue;
            }
            let inner = At {
                item: &entry.value,
                holder: entry.key_span,
            };
            let value = self.below(Step::Key(Key::Text(entry.key.clone())), inner, id);
            map.insert(entry.key.to_string(), value);
        }
        for name in &rules.required {
            let there = entries.iter().any(|entry| *entry.key == **name);
            if !there && !meant.contains(&name.as_str()) {
                self.missing_key(at, name, rules.properties.get(name).copied());
            }
        }
        Value::Object(map)
    }

    /// Whether an empty value stands for an absent key: it may be absent, and would hold settings.
    fn is_absent(&self, entry: &Entry, id: Id, rules: &Object) -> bool {
        let optional = !rules.required.iter().any(|name| **name == *entry.key);
        optional && matches!(self.shapes.get(id), Shape::Object(_))
    }

    fn key_name(&mut self, entry: &Entry, rules: &Object) {
        let Some(id) = rules.names else { return };
        let item = Item {
            span: entry.key_span,
            kind: Kind::Text(entry.key.clone()),
        };
        let at = At {
            item: &item,
            holder: entry.key_span,
        };
        self.below(Step::Key(Key::Text(entry.key.clone())), at, id);
    }

    /// Reports the key, and returns the one that was probably meant.
    fn unknown_key<'k>(
        &mut self,
        entry: &Entry,
        present: &[Entry],
        rules: &'k Object,
    ) -> Option<&'k str> {
        let free = |name: &&str| !present.iter().any(|other| *other.key == **name);
        let names = || rules.properties.keys().map(String::as_str);
        let meant = suggest(&entry.key, names().filter(free));
        let reason = match rules.patterns.first() {
            Some((pattern, _)) if rules.properties.is_empty() => {
                format!(
                    "the key {} does not match the pattern {pattern}",
                    quote(&entry.key)
                )
            }
            _ => format!("unknown key {}", quote(&entry.key)),
        };
        let hint = (!rules.properties.is_empty())
            .then(|| format!("allowed here: {}", expect::list(names())));
        self.at_key(
            entry,
            Code::UnknownKey,
            reason,
            hint,
            meant.map(str::to_owned),
        );
        meant
    }

    pub(super) fn at_key(
        &mut self,
        entry: &Entry,
        code: Code,
        reason: String,
        hint: Option<String>,
        suggestion: Option<String>,
    ) {
        self.inside(Step::Key(Key::Text(entry.key.clone())), |walk| {
            let finding = Finding::new(entry.key_span, walk.path(), code, reason);
            walk.fault(finding.hint(hint).suggest(suggestion));
        });
    }

    pub(super) fn missing_key(&mut self, at: At<'_>, name: &str, id: Option<Id>) {
        let expected = id.map_or_else(
            || "a value".to_owned(),
            |id| expect::expected(self.shapes, id),
        );
        let reason = format!("the key {} is missing", quote(name));
        self.inside(Step::Key(Key::Text(name.into())), |walk| {
            let finding = Finding::new(at.holder, walk.path(), Code::MissingKey, reason);
            walk.fault(finding.hint(format!("add `{name}:` with {expected}")));
        });
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
        let bound = match (min, max) {
            (Some(min), _) if count < min => format!("at least {} must be", words(min)),
            (_, Some(max)) if count > max => format!("at most {} may be", words(max)),
            _ => return,
        };
        let are = if count == 1 { "is" } else { "are" };
        let reason = format!("{bound} here, but there {are} {count}");
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

    fn path(&self) -> Path {
        Path::from_steps(&self.steps)
    }
}
