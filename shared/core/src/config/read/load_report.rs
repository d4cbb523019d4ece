//! Where the loader stands, what that may cost, and what it has to say about it.

use saphyr_parser::ScanError;

use super::bounds::{MAX_DEPTH, MAX_ITEMS};
use super::code::Code;
use super::finding::Finding;
use super::load::{Loader, Outcome};
use super::open::{Body, Frame};
use super::path::{Key, Path, Step};
use super::source::{Source, Span};
use super::syntax;

// === impl Loader ===

impl Loader<'_> {
    pub(super) fn charge(&mut self, cost: usize, span: Span) -> Outcome {
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

    pub(super) fn deepen(&mut self, height: usize, span: Span) -> Outcome {
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

    pub(super) fn fault(&mut self, span: Span, code: Code, reason: String, hint: Option<String>) {
        self.findings
            .push(Finding::new(span, self.path(), code, reason).hint(hint));
    }

    pub(super) fn fatal(
        &self,
        span: Span,
        code: Code,
        reason: impl Into<String>,
        hint: String,
    ) -> Box<Finding> {
        Box::new(Finding::new(span, self.path(), code, reason).hint(hint))
    }

    pub(super) fn syntax(&self, source: &Source, error: &ScanError) -> Finding {
        let open = self
            .frames
            .iter()
            .rev()
            .map(|frame| frame.span)
            .find(|span| !span.is_empty());
        syntax::explain(source, error, self.path(), open)
    }

    pub(super) fn path(&self) -> Path {
        Path::from_steps(&self.steps())
    }

    pub(super) fn steps(&self) -> Vec<Step> {
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
