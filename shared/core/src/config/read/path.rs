//! Where a value sits in a document: `pools[2].servers[0].weight`.
//!
//! Checks extend a path at every level and keep some of them (a table of "who refers to this pool"),
//! so a path is a shared list grown at its end: extending costs one small allocation and never copies
//! what is before it, cloning costs a counter, and no lifetime ties it to the check that made it. A
//! borrowed list would save the allocation, but could not be kept.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A place in a document, from its root. Cheap to extend and to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Path(Option<Arc<Link>>);

#[derive(PartialEq, Eq)]
struct Link {
    parent: Path,
    step: Step,
}

/// One step down: to the value of a key, or to an entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(Key),
    Index(usize),
}

/// A key written in the code, or shared with the document.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Code(Cow<'static, str>),
    Text(Arc<str>),
}

// === impl Path ===

impl Path {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Path(None)
    }

    /// The value of `key` in the mapping at this path.
    #[must_use]
    pub fn key(&self, key: impl Into<Cow<'static, str>>) -> Self {
        self.step(Step::Key(Key::Code(key.into())))
    }

    /// The entry at `index`, from 0, of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    pub(super) fn from_steps(steps: &[Step]) -> Self {
        steps
            .iter()
            .fold(Path::root(), |path, step| path.step(step.clone()))
    }

    fn step(&self, step: Step) -> Self {
        Path(Some(Arc::new(Link {
            parent: self.clone(),
            step,
        })))
    }

    /// The steps from the root on.
    pub(super) fn steps(&self) -> Vec<&Step> {
        let mut steps = Vec::new();
        let mut at = self;
        while let Some(link) = &at.0 {
            steps.push(&link.step);
            at = &link.parent;
        }
        steps.reverse();
        steps
    }
}

impl fmt::Display for Path {
    /// Keys are joined with dots, places in lists stand in brackets; a key that is not a plain word is
    /// quoted in brackets. The root is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps().into_iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !is_word(key.as_str()) => write!(f, "[{:?}]", key.as_str())?,
                Step::Key(key) if position == 0 => f.write_str(key.as_str())?,
                Step::Key(key) => write!(f, ".{}", key.as_str())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

// === impl Key ===

impl Key {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Key::Code(text) => text,
            Key::Text(text) => text,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_people_say_it() {
        let path = Path::root()
            .key("pools")
            .index(2)
            .key("servers")
            .index(0)
            .key("weight");
        assert_eq!(path.to_string(), "pools[2].servers[0].weight");
        assert_eq!(Path::root().to_string(), "");
        assert_eq!(
            Path::root().key("labels").key("a.b").to_string(),
            "labels[\"a.b\"]"
        );
        assert_eq!(Path::root().key(String::new()).to_string(), "[\"\"]");
    }

    #[test]
    fn extending_leaves_the_parent_as_it_was() {
        let pools = Path::root().key("pools");
        let (first, second) = (pools.index(0), pools.index(1));
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("pools[0]".into(), "pools[1]".into())
        );
        assert_eq!(first, Path::root().key(String::from("pools")).index(0));
    }
}
