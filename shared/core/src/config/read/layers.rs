//! One document out of a main file, the files that it includes, and variables of the environment.
//!
//! **Problem.** What rolls out new processes (listeners, limits of the process) and what changes all day (pools, routes) belong to
//! different hands and lifetimes, so they should be in different files; and a replica's name is its own, while the file is the same
//! for all replicas.
//!
//! **Choice.** The main file names others under `include`. Each is a document of its own, with places of its own; their top-level keys
//! are put together. A key may be in one file only, unless it is a list everywhere: then the entries follow each other, main file first,
//! so that each team can keep its pools in a file of its own. Variables named `LB__A__B` then stand in for the value of `a.b`, whoever
//! gave it. They are read as YAML too, and a fault in one points at it.
//!
//! **Rejected.** Deep merging, where it depends on the order of files which of two values wins, as with Compose's override files; text
//! substitution (`${NAME}`) within files, which breaks quoting and makes a file unreadable for editors and schemas. Includes within
//! includes: nobody can say any more which files are in force.
//!
//! **Limits.** A variable reaches keys of settings in lower case and entries of lists by number or name; not keys of an operator's own
//! in which case matters (header names). The bounds on a document hold for all its texts together.

use super::code::Code;
use super::finding::{Finding, Findings};
use super::load;
use super::path::{Key, Path, Step};
use super::render::quote;
use super::source::{Source, Sources, Span};
use super::tree::{Entry, Item, Kind};
use std::sync::Arc;

/// What a variable's name begins with.
const PREFIX: &str = "LB__";
/// What stands between the keys in a variable's name.
const SEPARATOR: &str = "__";
/// The key that names further files.
const INCLUDE: &str = "include";

/// A text, and what it is called in faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The file's or the variable's name.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// All texts of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// The file that was asked for.
    pub main: Text,
    /// What it includes, in the order in which lists are put together.
    pub included: Vec<Text>,
    /// Variables of the environment, by name.
    pub variables: Vec<Text>,
}

// === impl Layers ===

impl Layers {
    /// A single file. It is only named, never opened.
    #[must_use]
    pub fn one(file: &str, text: &str) -> Self {
        let (name, text) = (file.to_owned(), text.to_owned());
        Self {
            main: Text { name, text },
            included: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Adds those of `variables` that are meant for a configuration: the others are left out.
    #[must_use]
    pub fn with_variables(mut self, variables: impl Iterator<Item = (String, String)>) -> Self {
        let ours = variables.filter(|(name, _)| name.starts_with(PREFIX));
        self.variables
            .extend(ours.map(|(name, text)| Text { name, text }));
        self.variables.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// The patterns of files that the main one includes, as they are written. None where it can't be read: reading it tells why.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        let source = Source::new(&self.main.name, &self.main.text);
        let Ok(root) = load::load(&source, &mut Findings::default()) else {
            return Vec::new();
        };
        let found = root.find(&Path::root().key(INCLUDE));
        let Kind::List(items) = &found.item.kind else {
            return Vec::new();
        };
        let texts = items.iter().filter_map(|item| match &item.kind {
            Kind::Text(text) => Some(text.to_string()),
            _ => None,
        });
        texts.collect()
    }

    /// The texts of the files, for a hash of what operators wrote. Variables are not among them: they differ from replica to replica.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let files = std::iter::once(&self.main).chain(&self.included);
        files.map(|file| &*file.text)
    }

    pub(super) fn bytes(&self) -> usize {
        let variables = self.variables.iter().map(|variable| variable.text.len());
        self.texts().map(str::len).chain(variables).sum()
    }

    /// Puts everything together. Faults that don't stop the reading go to `findings`.
    pub(super) fn read(&self, findings: &mut Findings) -> (Sources, Result<Item, Box<Finding>>) {
        let mut sources = Sources::one(Source::new(&self.main.name, &self.main.text));
        let mut root = load::load(sources.first(), findings);
        for file in &self.included {
            let source = sources.push(Source::new(&file.name, &file.text));
            let item = load::load(source, findings);
            root = root.and_then(|root| Ok(join(root, item?, findings)));
        }
        for variable in &self.variables {
            let source = sources.push(Source::new(&format!("${}", variable.name), &variable.text));
            let item = load::load(source, findings);
            let end = source.span(0, 1);
            root =
                root.and_then(|root| Ok(set_variable(root, &variable.name, item?, end, findings)));
        }
        (sources, root)
    }
}

/// The top-level keys of both.
fn join(root: Item, other: Item, findings: &mut Findings) -> Item {
    let more = match other.kind {
        Kind::Map(more) => more,
        // A file in which all is commented out.
        Kind::Null => return root,
        _ => {
            let reason = "an included file holds keys and values, as the main one does";
            findings.push(Finding::new(
                other.span,
                Path::root(),
                Code::WrongType,
                reason,
            ));
            return root;
        }
    };
    let mut entries = match &root.kind {
        Kind::Map(entries) => entries.to_vec(),
        Kind::Null => Vec::new(),
        _ => return root,
    };
    for entry in more.iter() {
        let path = Path::from_steps(&[Step::Key(Key::Text(entry.key.clone()))]);
        if &*entry.key == INCLUDE {
            let reason = "only the main file can include others";
            let hint = "name the file there".to_owned();
            findings.push(Finding::new(entry.key_span, path, Code::NotAllowed, reason).hint(hint));
            continue;
        }
        let known = entries.iter_mut().find(|known| known.key == entry.key);
        match known.map(|known| (known.key_span, &mut known.value.kind)) {
            None => entries.push(entry.clone()),
            Some((first, kind)) => match (&mut *kind, &entry.value.kind) {
                (Kind::List(before), Kind::List(after)) => {
                    *kind = Kind::List(before.iter().chain(after.iter()).cloned().collect());
                }
                _ => {
                    let reason = format!("the key {} is in another file too", quote(&entry.key));
                    let finding =
                        Finding::new(entry.key_span, path, Code::DuplicateKey, reason).after(first);
                    findings.push(finding);
                }
            },
        }
    }
    Item {
        span: root.span,
        kind: Kind::Map(entries.into()),
    }
}

/// Puts the value of a variable where its name points to.
fn set_variable(
    root: Item,
    name: &str,
    mut value: Item,
    place: Span,
    findings: &mut Findings,
) -> Item {
    if value.span.is_empty() {
        value.span = place;
    }
    let keys = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let keys: Vec<&str> = keys.split(SEPARATOR).collect();
    match set(&root, &keys, &value) {
        Ok(root) => root,
        Err(reason) => {
            findings.push(Finding::new(
                value.span,
                Path::root(),
                Code::UnknownName,
                reason,
            ));
            root
        }
    }
}

/// `item` with `value` at the place that `keys` lead to.
fn set(item: &Item, keys: &[&str], value: &Item) -> Result<Item, String> {
    let Some((key, rest)) = keys.split_first() else {
        return Ok(value.clone());
    };
    let kind = match &item.kind {
        Kind::List(items) => {
            let at = entry_of(items, key)?;
            let mut items = items.to_vec();
            for item in items.iter_mut().skip(at).take(1) {
                *item = set(item, rest, value)?;
            }
            Kind::List(items.into())
        }
        Kind::Map(entries) => Kind::Map(set_key(entries, key, rest, value)?),
        // Whether keys may stand here is for the type to say.
        _ => {
            let kind = Kind::Map(set_key(&[], key, rest, value)?);
            let span = value.span;
            return Ok(Item { span, kind });
        }
    };
    Ok(Item {
        span: item.span,
        kind,
    })
}

fn set_key(
    entries: &[Entry],
    key: &str,
    rest: &[&str],
    value: &Item,
) -> Result<Arc<[Entry]>, String> {
    let mut entries = entries.to_vec();
    if let Some(entry) = entries.iter_mut().find(|entry| &*entry.key == key) {
        entry.value = set(&entry.value, rest, value)?;
        return Ok(entries.into());
    }
    let none = Item {
        span: value.span,
        kind: Kind::Null,
    };
    entries.push(Entry {
        key: key.into(),
        key_span: value.span,
        value: set(&none, rest, value)?,
    });
    Ok(entries.into())
}

/// Which entry of a list a variable means.
fn entry_of(items: &[Item], key: &str) -> Result<usize, String> {
    if let Ok(at) = key.parse::<usize>() {
        let count = items.len();
        let known = Some(at).filter(|at| *at < count);
        return known
            .ok_or_else(|| format!("there is no entry {at}: the list has {count}, from 0 on"));
    }
    let path = Path::root().key("name");
    let called = |item: &Item| match &item.find(&path).item.kind {
        Kind::Text(name) => name.to_lowercase().replace('-', "_") == key,
        _ => false,
    };
    let at = items.iter().position(called);
    at.ok_or_else(|| format!("no entry of the list is called {}", quote(key)))
}
