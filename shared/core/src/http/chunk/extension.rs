//! The extensions of one chunk: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.

use super::{ChunkFault, MAX_EXTENSION};
use crate::http::head::value::is_token;

/// What was read of the extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension {
    at: At,
    bytes: u16,
}

/// What a byte led to.
#[derive(Debug)]
pub(super) enum Part {
    /// More of the extensions.
    Inside(Extension),
    /// The CR of the line's end.
    Cr,
}

/// Where the last byte left us.
#[derive(Debug, Clone, Copy)]
enum At {
    /// In blanks that only a `;` may follow: after the size or a value.
    Blank,
    /// Behind `;`, before the name.
    Semicolon,
    /// In a name.
    Name,
    /// In blanks after a name.
    NameBlank,
    /// Behind `=`, before the value.
    Equals,
    /// In a token.
    Token,
    /// In a quoted string.
    Quoted,
    /// Behind the backslash in a quoted string.
    Escape,
    /// Behind the closing quote.
    Closed,
}

// === impl Extension ===

impl Extension {
    /// Behind the size: the next byte is the first that is no digit.
    pub(super) const fn new() -> Self {
        Self {
            at: At::Blank,
            bytes: 0,
        }
    }

    pub(super) fn step(self, byte: u8) -> Result<Part, ChunkFault> {
        if byte == b'\r' && matches!(self.at, At::Name | At::Token | At::Closed) {
            return Ok(Part::Cr);
        }
        let at = self.at.step(byte).ok_or_else(|| fault(byte))?;
        if self.bytes >= MAX_EXTENSION {
            return Err(ChunkFault::ExtensionSize);
        }
        let bytes = self.bytes + 1;
        Ok(Part::Inside(Self { at, bytes }))
    }
}

// === impl At ===

impl At {
    /// Where `byte` leads, unless it may not stand here.
    fn step(self, byte: u8) -> Option<Self> {
        let is_blank = matches!(byte, b' ' | b'\t');
        let is_text = is_blank || !byte.is_ascii_control();
        match (self, byte) {
            (Self::Quoted, b'"') => Some(Self::Closed),
            (Self::Quoted, b'\\') => Some(Self::Escape),
            (Self::Quoted | Self::Escape, _) => is_text.then_some(Self::Quoted),
            (Self::Blank | Self::Name | Self::NameBlank | Self::Token | Self::Closed, b';') => {
                Some(Self::Semicolon)
            }
            (Self::Name | Self::NameBlank, b'=') => Some(Self::Equals),
            (Self::Equals, b'"') => Some(Self::Quoted),
            (Self::Semicolon | Self::Equals, _) if is_blank => Some(self),
            (Self::Name | Self::NameBlank, _) if is_blank => Some(Self::NameBlank),
            (Self::Blank | Self::Token | Self::Closed, _) if is_blank => Some(Self::Blank),
            (Self::Semicolon | Self::Name, _) if is_token(&[byte]) => Some(Self::Name),
            (Self::Equals | Self::Token, _) if is_token(&[byte]) => Some(Self::Token),
            _ => None,
        }
    }
}

fn fault(byte: u8) -> ChunkFault {
    match byte {
        b'\n' => ChunkFault::LineEnd,
        b'\r' => ChunkFault::Extension,
        _ if byte.is_ascii_control() => ChunkFault::Control,
        _ => ChunkFault::Extension,
    }
}
