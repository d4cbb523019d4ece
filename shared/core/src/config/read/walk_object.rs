//! Checks of mappings and their keys.

use serde_json::{Map, Value};

use super::code::Code;
use super::expect;
use super::finding::Finding;
use super::path::{Key, Step};
use super::render::quote;
use super::shape::{Id, Object, Shape};
use super::suggest::suggest;
use super::tree::{Entry, Item, Kind};
use super::walk::{At, Walk};

// === impl Walk ===

impl Walk<'_> {
    pub(super) fn object(&mut self, at: At<'_>, id: Id, rules: &Object) -> Value {
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
                let expected = match rules.properties.get(name) {
                    Some(&id) => expect::expected(self.shapes, id),
                    None => "a value".to_owned(),
                };
                self.missing_key(at, name, &expected);
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

    /// Reports a key that must be in the mapping at `at`, and is to be what `expected` says.
    pub(super) fn missing_key(&mut self, at: At<'_>, name: &str, expected: &str) {
        let reason = format!("the key {} is missing", quote(name));
        self.inside(Step::Key(Key::Text(name.into())), |walk| {
            let finding = Finding::new(at.holder, walk.path(), Code::MissingKey, reason);
            walk.fault(finding.hint(format!("add `{name}:` with {expected}")));
        });
    }
}
