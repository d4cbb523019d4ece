//! The kinds of faults, by names that programs may rely on.

use std::fmt;

use serde::Serialize;

/// What kind of fault it is. The name (kebab-case) is stable: programs may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The file is not UTF-8.
    Encoding,
    /// The file is not YAML, or uses a part of YAML that is not supported.
    Syntax,
    /// The file is larger, deeper or more repetitive than is allowed.
    TooLarge,
    /// A mapping holds the same key twice.
    DuplicateKey,
    /// A key that is not known at this place.
    UnknownKey,
    /// A key that must be there and is not.
    MissingKey,
    /// A value of another type than expected.
    WrongType,
    /// A value that is none of the allowed ones.
    NotAllowed,
    /// A number that is too small or too large.
    OutOfRange,
    /// A text, list or mapping that is too short or too long.
    WrongLength,
    /// A text that is not of the expected form.
    BadFormat,
    /// A value that its type refuses for another reason.
    Invalid,
    /// A name that nothing in the document has.
    UnknownName,
    /// A name, address or other identity that is used twice.
    DuplicateName,
    /// Two settings that contradict each other.
    Conflict,
    /// A setting that can never have an effect.
    Unreachable,
    /// A setting that is not safe without an explicit switch.
    Insecure,
    /// A setting that this program does not support.
    Unsupported,
    /// A file named by the document cannot be used.
    BadFile,
}

// === impl Code ===

impl Code {
    /// The stable name, such as `unknown-key`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Code::Encoding => "encoding",
            Code::Syntax => "syntax",
            Code::TooLarge => "too-large",
            Code::DuplicateKey => "duplicate-key",
            Code::UnknownKey => "unknown-key",
            Code::MissingKey => "missing-key",
            Code::WrongType => "wrong-type",
            Code::NotAllowed => "not-allowed",
            Code::OutOfRange => "out-of-range",
            Code::WrongLength => "wrong-length",
            Code::BadFormat => "bad-format",
            Code::Invalid => "invalid",
            Code::UnknownName => "unknown-name",
            Code::DuplicateName => "duplicate-name",
            Code::Conflict => "conflict",
            Code::Unreachable => "unreachable",
            Code::Insecure => "insecure",
            Code::Unsupported => "unsupported",
            Code::BadFile => "bad-file",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
