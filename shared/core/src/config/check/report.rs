//! Where checks put what they find.

use crate::config::read::{Code, Diagnostic, Document, Faults, Path, Place, suggest};
use crate::config::scalar::DurationText;
use std::time::Duration;

/// Beyond this many, faults are only counted, as each holds its line of the file.
const COLLECTED: usize = 1000;
/// Longest duration that is accepted: whatever is longer was meant to be "never", and sums of such
/// durations would leave the time line.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// All faults so far, and the document that they are in.
#[derive(Debug)]
pub(super) struct Report<'a> {
    document: &'a Document,
    faults: Vec<Diagnostic>,
    omitted: usize,
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(super) const fn new(document: &'a Document) -> Self {
        Self {
            document,
            faults: Vec::new(),
            omitted: 0,
        }
    }

    /// All faults, or nothing when there are none.
    pub(super) fn finish(self) -> Result<(), Faults> {
        Faults::check_counted(self.faults, self.omitted)
    }

    /// Whether the file itself says something at `path`, rather than a default.
    pub(super) fn is_written(&self, path: &Path) -> bool {
        self.document.has(path)
    }

    /// Reports a fault of the value at `path`.
    pub(super) fn value(
        &mut self,
        path: &Path,
        code: Code,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(path, Place::Value, code, reason.into(), |fault| {
            fault.hint(hint)
        });
    }

    /// Reports a fault of the setting at `path` as a whole: its key is marked.
    pub(super) fn key(
        &mut self,
        path: &Path,
        code: Code,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(path, Place::Key, code, reason.into(), |fault| {
            fault.hint(hint)
        });
    }

    /// Reports a section that is written but empty. YAML makes `tcp:` the same as no `tcp` at all, and
    /// what was meant to switch something on would silently leave it off.
    pub(super) fn empty_section(&mut self, path: &Path, is_absent: bool, what: &str, write: &str) {
        if is_absent && self.is_written(path) {
            let reason = format!("an empty section counts as absent, so {what}");
            self.key(path, Code::WrongType, reason, write);
        }
    }

    /// Reports that the name at `path` is none of `known`, which are the names of `what`.
    pub(super) fn unknown_name<'n>(
        &mut self,
        path: &Path,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let reason = format!("there is no {what} \"{name}\"");
        let near = suggest(name, known.clone());
        let mut names: Vec<&str> = known.take(9).collect();
        if names.len() > 8 {
            names.truncate(8);
            names.push("…");
        }
        let hint = format!("the file has: {}", names.join(", "));
        self.add(
            path,
            Place::Value,
            Code::UnknownName,
            reason,
            |fault| match near {
                Some(near) => fault.suggest(near),
                None => fault.hint(hint),
            },
        );
    }

    /// Reports that what stands at `path` stands at `first` already.
    pub(super) fn repeated(&mut self, path: &Path, first: &Path, reason: String, remedy: &str) {
        let line = self
            .document
            .fault(first, Place::Value, Code::DuplicateName, "")
            .line;
        let hint = format!("the first one is in line {line}; {remedy}");
        self.value(path, Code::DuplicateName, reason, hint);
    }

    /// Checks that a duration lies between `least` and a year, and is not zero.
    pub(super) fn duration(&mut self, path: &Path, value: DurationText, least: DurationText) {
        let value = value.get();
        if value.is_zero() && value < least.get() {
            self.value(
                path,
                Code::OutOfRange,
                "0s would end every wait at once",
                format!("every wait has a deadline: write {least} or more"),
            );
        } else if value < least.get() {
            self.value(
                path,
                Code::OutOfRange,
                format!("shorter than {least}, the shortest that is allowed"),
                format!("write {least} or more"),
            );
        } else if value > LONGEST {
            self.value(
                path,
                Code::OutOfRange,
                "longer than a year",
                "write 366d or less",
            );
        }
    }

    fn add(
        &mut self,
        path: &Path,
        place: Place,
        code: Code,
        reason: String,
        with_help: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        if self.faults.len() >= COLLECTED {
            self.omitted += 1;
            return;
        }
        let fault = self.document.fault(path, place, code, reason);
        self.faults.push(with_help(fault));
    }
}
