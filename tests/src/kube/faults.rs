//! What is done wrong on command, and what was asked.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// All objects, or a page of them.
    List,
    /// Changes.
    Watch,
    /// One object.
    Get,
    /// A new object.
    Create,
    /// Another object in place of one.
    Update,
    /// Parts of an object.
    Patch,
    /// An object less.
    Delete,
}

/// A wrong answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The right one, later.
    Slow(Duration),
    /// None at all, while the connection stays.
    Hang,
    /// 200 with a body that is no JSON.
    Garbage,
    /// The right one, cut off in the middle; a watch after half of its first object.
    Truncated,
    /// A status, with `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// A watch that ends where it begins.
    EndAtOnce,
    /// A watch that says that its version is too old (410) in an event, whatever that is.
    Expired,
    /// A watch that never says anything, nor ends.
    Silent,
    /// What is asked is done, and the connection is closed before the answer.
    Unanswered,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Option<Fault>,
    by_verb: BTreeMap<Verb, Fault>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    asked: BTreeMap<Verb, u64>,
    answered: BTreeMap<u16, u64>,
    watching: usize,
}

// === impl Verb ===

impl Verb {
    /// As roles have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

// === impl Faults ===

impl Faults {
    pub(super) fn set(&mut self, verb: Option<Verb>, fault: Fault) {
        match verb {
            None => self.all = Some(fault),
            Some(verb) => drop(self.by_verb.insert(verb, fault)),
        }
    }

    pub(super) fn heal(&mut self) {
        *self = Self::default();
    }

    pub(super) fn of(&self, verb: Verb) -> Option<Fault> {
        self.by_verb.get(&verb).or(self.all.as_ref()).cloned()
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn ask(&mut self, verb: Verb) {
        *self.asked.entry(verb).or_default() += 1;
    }

    pub(super) fn answer(&mut self, status: u16) {
        *self.answered.entry(status).or_default() += 1;
    }

    pub(super) fn watch(&mut self, begins: bool) {
        self.watching = if begins {
            self.watching + 1
        } else {
            self.watching.saturating_sub(1)
        };
    }

    pub(super) fn asked(&self, verb: Verb) -> u64 {
        self.asked.get(&verb).copied().unwrap_or_default()
    }

    pub(super) fn answered(&self, status: u16) -> u64 {
        self.answered.get(&status).copied().unwrap_or_default()
    }

    pub(super) const fn watching(&self) -> usize {
        self.watching
    }
}
