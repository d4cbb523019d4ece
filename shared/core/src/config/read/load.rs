//! From text to a tree, within bounds.
//!
//! The parser is iterative and hands out events, so nothing here recurses on hostile input. Three
//! bounds hold: the bytes of a document, the depth of its values, and the number of its values *after*
//! aliases are expanded. The last one stops "billion laughs", where ten lines expand to 10^9 values:
//! an alias is charged with all it stands for at the moment it is met, and nothing is built for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, Tag};

use super::diagnostic::{Code, quote};
use super::finding::{Finding, Findings};
use super::path::{Key, Path, Step};
use super::scalar;
use super::source::{Source, Span};
use super::syntax;
use super::tree::{Entry, Item, Kind};

/// Largest document, in bytes: some 100,000 servers with ten settings each.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting of lists and mappings; configuration has less than ten.
pub(super) const MAX_DEPTH: usize = 64;
/// Most values after aliases are expanded. Each 64 bytes of text count as one more.
pub(super) const MAX_ITEMS: usize = 2_000_000;

/// Reads the one document of `source`. Faults that do not stop the reading go to `findings`.
pub(super) fn load(source: &Source, findings: &mut Findings) -> Result<Item, Box<Finding>> {
    let mut loader = Loader {
        findings,
        frames: Vec::new(),
        anchors: BTreeMap::new(),
        total: 0,
        root: None,
    };
    for event in Parser::new_from_str(source.text()) {
        match event {
            Ok((event, marks)) => loader.on_event(event, span(marks))?,
            Err(error) => return Err(Box::new(loader.syntax(source, &error))),
        }
    }
    Ok(loader.root.map_or(
        Item {
            span: Span::default(),
            kind: Kind::Null,
        },
        |root| root.item,
    ))
}

/// A finished value, with what it counts and how deep it is.
#[derive(Clone)]
struct Sized {
    item: Item,
    cost: usize,
    height: usize,
}

/// A list or mapping that is still open.
struct Frame {
    span: Span,
    anchor: usize,
    cost: usize,
    height: usize,
    body: Body,
}

enum Body {
    List(Vec<Item>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    seen: BTreeMap<Arc<str>, Span>,
    /// The key whose value comes next.
    key: Option<(Arc<str>, Span)>,
    /// Whether `key` is the merge key `<<`.
    merging: bool,
    merged: Vec<Item>,
}

struct Loader<'a> {
    findings: &'a mut Findings,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Sized>,
    total: usize,
    root: Option<Sized>,
}

type Outcome = Result<(), Box<Finding>>;

// === impl Loader ===

impl Loader<'_> {
    fn on_event(&mut self, event: Event<'_>, span: Span) -> Outcome {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let hint = "keep one document per file; remove the `---` between them".to_owned();
                Err(self.fatal(span, Code::Syntax, "a second document begins here", hint))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.on_scalar(&text, style, anchor, tag.as_deref(), span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), Body::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), Body::Map(OpenMap::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.on_alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn on_scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Outcome {
        self.charge(1 + text.len() / 64, span)?;
        if let Some(map) = self.awaiting_key() {
            map.merging = text == "<<" && style == ScalarStyle::Plain;
            map.key = Some((text.into(), span));
            if anchor != 0 {
                let hint = "put the anchor on a value".to_owned();
                return Err(self.fatal(span, Code::Syntax, "a key cannot carry an anchor", hint));
            }
            return Ok(());
        }
        let kind = scalar::resolve(text, style, tag).unwrap_or_else(|reason| {
            self.fault(
                span,
                Code::Syntax,
                reason,
                Some("remove the tag".to_owned()),
            );
            Kind::Text(text.into())
        });
        let sized = Sized {
            item: Item { span, kind },
            cost: 1 + text.len() / 64,
            height: 0,
        };
        self.finish(sized, anchor);
        Ok(())
    }

    fn on_alias(&mut self, anchor: usize, span: Span) -> Outcome {
        if self.awaiting_key().is_some() {
            let hint = "write the key out".to_owned();
            return Err(self.fatal(span, Code::Syntax, "an alias cannot be a key", hint));
        }
        let Some(known) = self.anchors.get(&anchor).cloned() else {
            let hint = "an alias can only repeat a value that ends before it".to_owned();
            return Err(self.fatal(
                span,
                Code::Syntax,
                "this alias refers to a value it is in",
                hint,
            ));
        };
        self.charge(known.cost, span)?;
        self.deepen(known.height, span)?;
        let item = Item {
            span,
            kind: known.item.kind,
        };
        self.finish(Sized { item, ..known }, 0);
        Ok(())
    }

    fn open(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, body: Body) -> Outcome {
        if self.awaiting_key().is_some() {
            let hint =
                "if this is a template such as {{ name }}, fill it in first or put it in quotes";
            return Err(self.fatal(span, Code::Syntax, "a key must be text", hint.to_owned()));
        }
        self.charge(1, span)?;
        self.deepen(1, span)?;
        let own = if matches!(body, Body::List(_)) {
            "seq"
        } else {
            "map"
        };
        if let Some(Err(reason)) = tag.map(|tag| scalar::collection_tag(tag, own)) {
            self.fault(
                span,
                Code::Syntax,
                reason,
                Some("remove the tag".to_owned()),
            );
        }
        self.frames.push(Frame {
            span,
            anchor,
            cost: 1,
            height: 0,
            body,
        });
        Ok(())
    }

    fn close(&mut self) -> Outcome {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let Frame {
            mut span,
            anchor,
            cost,
            height,
            body,
        } = frame;
        let kind = match body {
            Body::List(items) => Kind::List(items.into()),
            Body::Map(map) => {
                let entries = self.merge(map);
                if let (true, Some(first)) = (span.is_empty(), entries.first()) {
                    span = first.key_span;
                }
                Kind::Map(entries.into())
            }
        };
        self.finish(
            Sized {
                item: Item { span, kind },
                cost,
                height: height + 1,
            },
            anchor,
        );
        Ok(())
    }

    /// Hands a finished value to what it is in.
    fn finish(&mut self, sized: Sized, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, sized.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(sized);
            return;
        };
        frame.cost += sized.cost;
        frame.height = frame.height.max(sized.height);
        let duplicate = match &mut frame.body {
            Body::List(items) => {
                items.push(sized.item);
                None
            }
            Body::Map(map) => map.add(sized.item),
        };
        if let Some((key, span, first)) = duplicate {
            let reason = format!("the key {} is here twice", quote(&key));
            let mut path = self.steps();
            path.push(Step::Key(Key::Text(key)));
            let finding = Finding::new(span, Path::from_steps(&path), Code::DuplicateKey, reason);
            self.findings.push(finding.after(first));
        }
    }

    /// The entries of a mapping with those of its merge keys, which never override its own.
    fn merge(&mut self, map: OpenMap) -> Vec<Entry> {
        let OpenMap {
            mut entries,
            merged,
            ..
        } = map;
        if merged.is_empty() {
            return entries;
        }
        let mut present: BTreeSet<Arc<str>> = entries.iter().map(|e| Arc::clone(&e.key)).collect();
        for item in merged {
            let parts = match &item.kind {
                Kind::List(items) => items.to_vec(),
                _ => vec![item],
            };
            for part in parts {
                let Kind::Map(added) = &part.kind else {
                    let hint = "write `<<: *name`, where &name marks a mapping".to_owned();
                    let reason = "only a mapping can be merged";
                    self.fault(part.span, Code::Syntax, reason.to_owned(), Some(hint));
                    continue;
                };
                entries.extend(
                    added
                        .iter()
                        .filter(|e| present.insert(Arc::clone(&e.key)))
                        .cloned(),
                );
            }
        }
        entries
    }

    fn awaiting_key(&mut self) -> Option<&mut OpenMap> {
        match self.frames.last_mut() {
            Some(Frame {
                body: Body::Map(map),
                ..
            }) if map.key.is_none() => Some(map),
            _ => None,
        }
    }

    fn charge(&mut self, cost: usize, span: Span) -> Outcome {
        self.total = self.total.saturating_add(cost);
        if self.total <= MAX_ITEMS {
            return Ok(());
        }
        let reason = format!("the document has more than {MAX_ITEMS} values with aliases expanded");
        Err(self.fatal(
            span,
            Code::TooLarge,
            reason,
            "use fewer aliases of aliases".to_owned(),
        ))
    }

    fn deepen(&mut self, height: usize, span: Span) -> Outcome {
        if self.frames.len() + height <= MAX_DEPTH {
            return Ok(());
        }
        let reason = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
        Err(self.fatal(
            span,
            Code::TooLarge,
            reason,
            "check brackets and indentation".to_owned(),
        ))
    }

    fn fault(&mut self, span: Span, code: Code, reason: String, hint: Option<String>) {
        self.findings
            .push(Finding::new(span, self.path(), code, reason).hint(hint));
    }

    fn fatal(
        &self,
        span: Span,
        code: Code,
        reason: impl Into<String>,
        hint: String,
    ) -> Box<Finding> {
        Box::new(Finding::new(span, self.path(), code, reason).hint(hint))
    }

    fn syntax(&self, source: &Source, error: &ScanError) -> Finding {
        syntax::explain(source, error, self.path())
    }

    fn path(&self) -> Path {
        Path::from_steps(&self.steps())
    }

    fn steps(&self) -> Vec<Step> {
        let step = |frame: &Frame| match &frame.body {
            Body::List(items) => Some(Step::Index(items.len())),
            Body::Map(map) => map
                .key
                .as_ref()
                .map(|(key, _)| Step::Key(Key::Text(key.clone()))),
        };
        self.frames.iter().filter_map(step).collect()
    }
}

// === impl OpenMap ===

impl OpenMap {
    /// Adds the value of the current key. A key that is there already keeps its first value, and comes
    /// back with its place and that of the first.
    fn add(&mut self, value: Item) -> Option<(Arc<str>, Span, Span)> {
        let (key, key_span) = self.key.take()?;
        if std::mem::take(&mut self.merging) {
            self.merged.push(value);
            return None;
        }
        if let Some(first) = self.seen.get(&key) {
            return Some((key, key_span, *first));
        }
        self.seen.insert(Arc::clone(&key), key_span);
        self.entries.push(Entry {
            key,
            key_span,
            value,
        });
        None
    }
}

fn span(marks: Marks) -> Span {
    Span::new(marks.start.index(), marks.end.index())
}
