//! A strict check of the chunked framing, while the bytes stream past.
//!
//! **Problem.** Where a chunked body ends is read off the body itself, so a lenient reader can be made
//! to see an end where a strict one sees data: a bare LF after a size, `0x10`, a size that overflows, an
//! extension that hides a line end. Known parsers differ in all of these, and what is left over after the end
//! counts as the next request.
//!
//! **Choice.** A state machine that accepts the grammar of RFC 9112 §7.1 and nothing else, fed with the raw
//! bytes in whatever pieces they arrive. It checks and finds the end; it decodes nothing and keeps
//! nothing, so that it runs before any parser and costs no memory. Data is skipped by arithmetic. A check
//! of whole lines in a buffer was rejected: the buffer would need a bound, a copy, and a second read of
//! what the parser reads anyway.
//!
//! **Rules**, and where we are stricter than the RFC asks:
//! - A size is 1 to 16 hexadecimal digits, at most 2^63 - 1: leading zeros without end and sizes that are
//!   negative to a signed reader are refused.
//! - An extension is `;` name, or name `=` token or quoted string, with blanks only where §7.1.1 has
//!   BWS: not before a line end. [`MAX_EXTENSION`] bytes for each chunk; §7.1.1 asks for a limit.
//! - Lines end with CR LF. §2.2 lets a reader take a bare LF; chunk lines are where that smuggles.
//! - Data is followed by CR LF at exactly its size.
//! - Trailer fields follow the rules of [`super::head`]: token directly before the colon, no folding, no
//!   controls but HTAB. Fields that frame or route (`Content-Length`, `Transfer-Encoding`, `Host`, also spelt
//!   with `_`) are refused; §6.5.1 of RFC 9110 forbids to send them. [`MAX_TRAILERS`] bytes in all.
//!
//! **Limits.** How large a body may be, and how slowly it may come, is the caller's to judge.

mod extension;
mod fault;
#[cfg(test)]
mod tests;
mod trailer;

pub use fault::ChunkFault;

use extension::{Extension, Part};
use trailer::Trailers;

/// Bytes of extensions that one chunk may have, from the end of its size to the end of its line.
pub const MAX_EXTENSION: u16 = 1024;
/// Bytes that the trailer section may have, its last line end included.
pub const MAX_TRAILERS: u16 = 16 * 1024;

/// The largest size of a chunk; a signed 64-bit reader takes it as the same number.
const MAX_SIZE: u64 = i64::MAX as u64;
/// Digits that a size may have.
const MAX_DIGITS: u8 = 16;

/// Follows one chunked body.
#[derive(Debug, Clone)]
pub struct ChunkScanner(State);

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// All bytes belong to the body, and more must come.
    More,
    /// The body has ended.
    End {
        /// How many of the bytes belong to it; the rest is the next message.
        used: usize,
    },
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A digit, or what follows a size.
    Size { value: u64, digits: u8 },
    /// The extensions of a chunk of this size.
    Extension { size: u64, so_far: Extension },
    /// The LF of a size's line.
    SizeLf { size: u64 },
    /// As many bytes of data, one at least.
    Data { left: u64 },
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// Trailer fields, or the end.
    Trailers(Trailers),
    /// Nothing: the body has ended.
    Done,
    /// Nothing: the body is at fault.
    Failed(ChunkFault),
}

// === impl ChunkScanner ===

impl Default for ChunkScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkScanner {
    /// At the start of a body: the byte behind the head's empty line comes next.
    #[must_use]
    pub const fn new() -> Self {
        Self(State::START)
    }

    /// Takes the next bytes, in pieces of any size. After the end it takes none: `End { used: 0 }`.
    ///
    /// # Errors
    /// The first fault, and the same one at every call from then on. The bytes of this call up to the fault
    /// are in order, but what they mean is not known: none of them may be passed on, and the connection must be
    /// closed.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, ChunkFault> {
        let mut rest = bytes;
        loop {
            match self.0 {
                State::Data { left } => {
                    let there = u64::try_from(rest.len()).unwrap_or(u64::MAX).min(left);
                    let skip = usize::try_from(there).unwrap_or(rest.len());
                    rest = rest.get(skip..).unwrap_or_default();
                    self.0 = match left - there {
                        0 => State::DataCr,
                        left => State::Data { left },
                    };
                }
                State::Done => {
                    let used = bytes.len() - rest.len();
                    return Ok(Scanned::End { used });
                }
                State::Failed(fault) => return Err(fault),
                _ => {}
            }
            let Some((byte, tail)) = rest.split_first() else {
                return Ok(Scanned::More);
            };
            rest = tail;
            self.0 = self.0.step(*byte).unwrap_or_else(State::Failed);
        }
    }

    /// Whether the body has ended.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

// === impl State ===

impl State {
    const START: Self = Self::Size {
        value: 0,
        digits: 0,
    };

    fn step(self, byte: u8) -> Result<Self, ChunkFault> {
        match self {
            Self::Size { value, digits } => step_size(value, digits, byte),
            Self::Extension { size, so_far } => extend(size, so_far, byte),
            Self::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => Ok(Self::Trailers(Trailers::new())),
                (b'\n', left) => Ok(Self::Data { left }),
                _ => Err(ChunkFault::LineEnd),
            },
            Self::DataCr if byte == b'\r' => Ok(Self::DataLf),
            Self::DataLf if byte == b'\n' => Ok(Self::START),
            Self::DataCr | Self::DataLf => Err(ChunkFault::DataEnd),
            Self::Trailers(so_far) => {
                let next = so_far.step(byte)?;
                Ok(next.map_or(Self::Done, Self::Trailers))
            }
            // Never asked: `scan` deals with them.
            Self::Data { .. } | Self::Done | Self::Failed(_) => Ok(self),
        }
    }
}

fn step_size(value: u64, digits: u8, byte: u8) -> Result<State, ChunkFault> {
    let digit = char::from(byte).to_digit(16);
    match (digit, digits) {
        (Some(_), MAX_DIGITS..) => Err(ChunkFault::SizeRange),
        (Some(digit), _) => {
            // The value is below 2^60 here, or the number of digits would have been refused.
            let value = (value << 4) | u64::from(digit);
            if value > MAX_SIZE {
                return Err(ChunkFault::SizeRange);
            }
            let digits = digits + 1;
            Ok(State::Size { value, digits })
        }
        (None, 0) => Err(ChunkFault::Size),
        (None, _) => match byte {
            b'\r' => Ok(State::SizeLf { size: value }),
            b';' | b' ' | b'\t' => extend(value, Extension::new(), byte),
            b'\n' => Err(ChunkFault::LineEnd),
            _ => Err(ChunkFault::Size),
        },
    }
}

fn extend(size: u64, so_far: Extension, byte: u8) -> Result<State, ChunkFault> {
    Ok(match so_far.step(byte)? {
        Part::Inside(so_far) => State::Extension { size, so_far },
        Part::Cr => State::SizeLf { size },
    })
}
