//! Checks of values that may have one of several shapes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::code::Code;
use super::expect;
use super::finding::Findings;
use super::path::{Key, Step};
use super::render::quote;
use super::shape::Id;
use super::suggest::suggest;
use super::tree::{Entry, Kind};
use super::walk::{At, Walk};

// === impl Walk ===

impl Walk<'_> {
    /// Takes the first shape that fits, else the one of the right type with the fewest faults.
    pub(super) fn union(&mut self, at: At<'_>, id: Id, null: bool, branches: &[Id]) -> Value {
        if null && at.item.kind == Kind::Null {
            return Value::Null;
        }
        if let [only] = branches {
            return self.check(at, *only);
        }
        let mut best: Option<(usize, Findings)> = None;
        for &branch in branches {
            let before = std::mem::take(&mut self.findings);
            let value = self.check(at, branch);
            let own = std::mem::replace(&mut self.findings, before);
            let count = own.count();
            if count == 0 {
                return value;
            }
            let fits = expect::is_kind(self.shapes.get(branch), &at.item.kind);
            if fits && best.as_ref().is_none_or(|(fewest, _)| count < *fewest) {
                best = Some((count, own));
            }
        }
        match best {
            Some((_, findings)) => {
                self.findings.append(findings);
                Value::Null
            }
            None => self.wrong_type(at, id),
        }
    }

    /// `name`, or a mapping with the one key `name` and its content.
    pub(super) fn external(
        &mut self,
        at: At<'_>,
        id: Id,
        units: &[String],
        variants: &BTreeMap<String, Id>,
    ) -> Value {
        let names = units.iter().chain(variants.keys()).map(String::as_str);
        match &at.item.kind {
            Kind::Text(text) if units.iter().any(|unit| **unit == **text) => at.item.to_json(),
            Kind::Text(text) if variants.contains_key(&**text) => {
                let reason = format!("{} needs settings", quote(text));
                let hint = format!("write `{text}:` and its settings below it");
                self.fault(self.finding(at, Code::NotAllowed, reason).hint(hint));
                Value::Null
            }
            Kind::Text(text) => {
                self.not_allowed(at, text, names);
                Value::Null
            }
            Kind::Map(entries) => self.variant(at, entries, units, variants),
            _ => self.wrong_type(at, id),
        }
    }

    fn variant(
        &mut self,
        at: At<'_>,
        entries: &[Entry],
        units: &[String],
        variants: &BTreeMap<String, Id>,
    ) -> Value {
        let names = || units.iter().chain(variants.keys()).map(String::as_str);
        let mut map = Map::new();
        for entry in entries {
            if let Some(&id) = variants.get(&*entry.key) {
                let inner = At {
                    item: &entry.value,
                    holder: entry.key_span,
                };
                let value = self.below(Step::Key(Key::Text(entry.key.clone())), inner, id);
                map.insert(entry.key.to_string(), value);
                if map.len() > 1 {
                    let reason = format!("only one of {} can be here", expect::list(names()));
                    self.at_key(
                        entry,
                        Code::Conflict,
                        reason,
                        Some("remove the others".to_owned()),
                        None,
                    );
                }
            } else if units.iter().any(|unit| **unit == *entry.key) {
                let reason = format!("{} has no settings", quote(&entry.key));
                let hint = format!("write just `{}`", entry.key);
                self.at_key(entry, Code::WrongType, reason, Some(hint), None);
            } else {
                let reason = format!("unknown key {}", quote(&entry.key));
                let hint = format!("allowed here: {}", expect::list(names()));
                let meant = suggest(&entry.key, names()).map(str::to_owned);
                self.at_key(entry, Code::UnknownKey, reason, Some(hint), meant);
            }
        }
        if entries.is_empty() {
            let reason = format!(
                "found an empty mapping, expected one of {}",
                expect::list(names())
            );
            self.fault(self.finding(at, Code::MissingKey, reason));
        }
        Value::Object(map)
    }

    /// A mapping whose `tag` says which variant it is.
    pub(super) fn internal(
        &mut self,
        at: At<'_>,
        id: Id,
        tag: &str,
        variants: &BTreeMap<String, Id>,
    ) -> Value {
        let names = variants.keys().map(String::as_str);
        let Kind::Map(entries) = &at.item.kind else {
            return self.wrong_type(at, id);
        };
        let Some(entry) = entries.iter().find(|entry| &*entry.key == tag) else {
            let expected = format!("one of {}", expect::list(names));
            match entries
                .iter()
                .find(|entry| suggest(&entry.key, [tag]).is_some())
            {
                Some(entry) => {
                    let reason = format!("unknown key {}", quote(&entry.key));
                    let hint = Some(format!("the key `{tag}:` with {expected} must be here"));
                    self.at_key(entry, Code::UnknownKey, reason, hint, Some(tag.to_owned()));
                }
                None => self.missing_key(at, tag, &expected),
            }
            return Value::Null;
        };
        if let Kind::Text(text) = &entry.value.kind
            && let Some(&variant) = variants.get(&**text)
        {
            return self.check(at, variant);
        }
        let inner = At {
            item: &entry.value,
            holder: entry.key_span,
        };
        self.inside(Step::Key(Key::Text(entry.key.clone())), |walk| {
            let found = expect::found(inner.item, walk.sources);
            match &inner.item.kind {
                Kind::Text(text) => walk.not_allowed(inner, text, names),
                _ => {
                    let reason = format!("found {found}, expected one of {}", expect::list(names));
                    walk.fault(walk.finding(inner, Code::WrongType, reason));
                }
            }
        });
        Value::Null
    }
}
