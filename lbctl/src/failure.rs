//! Why a verb did not do what it was asked, and the exit code that says so.

use std::process::ExitCode;

/// Exit codes, part of the interface that scripts use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed for a reason that has no code of its own.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A configuration is invalid.
    Config = 3,
    /// Refused as unsafe, or because the order has changed since.
    Refused = 4,
    /// A deadline passed, or only some of several replicas answered.
    Partial = 5,
    /// No admin listener answered.
    Unreachable = 6,
}

/// Why a verb failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) exit: Exit,
    /// What happened; empty when it has been told already.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with `message` for people.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes it to standard error.
    pub(crate) fn report(&self) {
        if !self.message.is_empty() {
            eprintln!("lbctl: {}", self.message);
        }
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {hint}");
        }
    }
}
