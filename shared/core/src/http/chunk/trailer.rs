//! The trailer section: fields behind the last chunk, up to the empty line.

use super::{ChunkFault, MAX_TRAILERS};
use crate::http::head::value::{is_alike, is_token};

/// Fields that frame or route a message.
const FORBIDDEN: [&[u8]; 3] = [b"transfer-encoding", b"content-length", b"host"];
/// Bytes of a name that are kept: as many as the longest of [`FORBIDDEN`] has.
const KEPT: usize = 17;

/// What was read of the section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trailers {
    at: At,
    bytes: u16,
    name: Name,
}

/// The start of the current field's name.
#[derive(Debug, Clone, Copy)]
struct Name {
    start: [u8; KEPT],
    length: usize,
}

/// Where the last byte left us.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Before a line.
    Line,
    /// In a name.
    Name,
    /// Behind the colon.
    Value,
    /// Behind the CR of a field.
    FieldCr,
    /// Behind the CR of the empty line.
    LastCr,
}

// === impl Trailers ===

impl Trailers {
    /// Before the first line.
    pub(super) const fn new() -> Self {
        Self {
            at: At::Line,
            bytes: 0,
            name: Name::EMPTY,
        }
    }

    /// Takes one byte; `None` when the section has ended.
    pub(super) fn step(mut self, byte: u8) -> Result<Option<Self>, ChunkFault> {
        self.bytes += 1;
        if self.bytes > MAX_TRAILERS {
            return Err(ChunkFault::TrailerSize);
        }
        self.at = match (self.at, byte) {
            (At::LastCr, b'\n') => return Ok(None),
            (At::Line, b'\r') => At::LastCr,
            (At::Line, b' ' | b'\t') => return Err(ChunkFault::TrailerFolding),
            (At::Line, b'\n') => return Err(ChunkFault::LineEnd),
            (At::Name, b':') if self.name.is_forbidden() => {
                return Err(ChunkFault::TrailerForbidden);
            }
            (At::Name, b':') => At::Value,
            (At::Line | At::Name, _) if is_token(&[byte]) => {
                self.name.push(byte);
                At::Name
            }
            (At::Line | At::Name, _) => return Err(ChunkFault::TrailerName),
            (At::Value, b'\r') => At::FieldCr,
            (At::FieldCr, b'\n') => {
                self.name = Name::EMPTY;
                At::Line
            }
            (At::Value, b'\n') | (At::FieldCr | At::LastCr, _) => return Err(ChunkFault::LineEnd),
            (At::Value, _) if byte != b'\t' && byte.is_ascii_control() => {
                return Err(ChunkFault::Control);
            }
            (At::Value, _) => At::Value,
        };
        Ok(Some(self))
    }
}

// === impl Name ===

impl Name {
    const EMPTY: Self = Self {
        start: [0; KEPT],
        length: 0,
    };

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.start.get_mut(self.length) {
            *slot = byte;
        }
        self.length += 1;
    }

    fn is_forbidden(&self) -> bool {
        let name = self.start.get(..self.length);
        name.is_some_and(|name| FORBIDDEN.iter().any(|other| is_alike(name, other)))
    }
}
