//! From text to a tree, within bounds.
//!
//! The parser is iterative and hands out events, so nothing here recurses on hostile input. Three
//! bounds hold: the bytes of a document, the depth of its values, and the number of its values *after*
//! aliases are expanded. The last one stops "billion laughs", where ten lines expand to 10^9 values:
//! an alias is charged with all it stands for at the moment it is met, and nothing is built for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, Tag};

use super::bounds;
use super::code::Code;
use super::finding::{Finding, Findings};
use super::open::{Body, Frame, OpenMap, Sized};
use super::path::{Key, Path, Step};
use super::render::quote;
use super::scalar;
use super::source::{Source, Span};
use super::tree::{Item, Kind};

/// How many different keys are remembered to share their text.
const SHARED_KEYS: usize = 1000;

/// Reads the one document of `source`. Faults that do not stop the reading go to `findings`.
pub(super) fn load(source: &Source, findings: &mut Findings) -> Result<Item, Box<Finding>> {
    if let Some(finding) = bounds::refuse(source) {
        return Err(Box::new(finding));
    }
    let mut loader = Loader {
        findings,
        frames: Vec::new(),
        anchors: BTreeMap::new(),
        total: 0,
        root: None,
        keys: BTreeSet::new(),
    };
    for event in Parser::new_from_str(source.text()) {
        match event {
            Ok((event, marks)) => loader.on_event(event, span(source, marks))?,
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

/// A document that is being read.
pub(super) struct Loader<'a> {
    pub(super) findings: &'a mut Findings,
    pub(super) frames: Vec<Frame>,
    anchors: BTreeMap<usize, Sized>,
    /// What the values so far count, with aliases expanded.
    pub(super) total: usize,
    root: Option<Sized>,
    /// Keys that were met: most are met again, and share their text.
    keys: BTreeSet<Arc<str>>,
}

/// Whether the reading can go on.
pub(super) type Outcome = Result<(), Box<Finding>>;

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
        if self.awaiting_key().is_some() {
            return self.on_key(text, style, anchor, span);
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

    fn on_key(&mut self, text: &str, style: ScalarStyle, anchor: usize, span: Span) -> Outcome {
        if anchor != 0 {
            let hint = "put the anchor on a value".to_owned();
            return Err(self.fatal(span, Code::Syntax, "a key cannot carry an anchor", hint));
        }
        let key = self
            .keys
            .get(text)
            .map_or_else(|| Arc::from(text), Arc::clone);
        if self.keys.len() < SHARED_KEYS {
            self.keys.insert(Arc::clone(&key));
        }
        if let Some(map) = self.awaiting_key() {
            map.merging = text == "<<" && style == ScalarStyle::Plain;
            map.key = Some((key, span));
            map.first.get_or_insert(span);
        }
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
            let hint = "put a text that begins with { or [ in quotes";
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
        // The mark of a bracket takes in the blanks behind it.
        let bare = anchor == 0 && tag.is_none() && !span.is_empty();
        let end = if bare { span.start + 1 } else { span.end };
        self.frames.push(Frame {
            span: Span { end, ..span },
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
                span = map.first.filter(|_| span.is_empty()).unwrap_or(span);
                let (entries, misplaced) = map.close();
                for span in misplaced {
                    let hint = "write `<<: *name`, where &name marks a mapping".to_owned();
                    let reason = "only a mapping can be merged".to_owned();
                    self.fault(span, Code::Syntax, reason, Some(hint));
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

    fn awaiting_key(&mut self) -> Option<&mut OpenMap> {
        match self.frames.last_mut() {
            Some(Frame {
                body: Body::Map(map),
                ..
            }) if map.key.is_none() => Some(map),
            _ => None,
        }
    }
}

fn span(source: &Source, marks: Marks) -> Span {
    source.span(marks.start.index(), marks.end.index())
}
