//! A strict check of raw HTTP/1 request heads, before any parser sees them.
//!
//! **Problem.** Request smuggling lives on two parsers that read the same bytes differently. A proxy
//! whose parser is lenient hands those bytes on. Pingora accepts duplicate `Content-Length` and a
//! missing `Host`; of 235 known payloads HAProxy forwards 16 and nginx 5.
//!
//! **Choice.** One pass over the raw head that accepts only what every parser reads in one way, and
//! refuses the rest with a status, a label and a reason. It runs on the bytes, not on parsed fields,
//! because a parser has already dropped the evidence (bare LF, folding, space before a colon).
//! Repairing instead of refusing was rejected: a repair is one more opinion.
//!
//! **Rules** (RFC 9112, RFC 9110), and where we are stricter than they ask:
//! - Lines end with CR LF only. At most two empty lines may come before the request line (§2.2 asks to
//!   ignore at least one).
//! - `METHOD SP TARGET SP VERSION`, single spaces. Origin form, absolute form of `http` and `https`,
//!   or `*` with OPTIONS. CONNECT and TRACE are refused (405).
//! - Targets are visible ASCII without `#`. Raw bytes ≥ 0x80 are refused as in HAProxy; nginx passes
//!   them, but no grammar allows them and servers disagree on their meaning. Characters such as `|`
//!   and `{`, which browsers do send, pass.
//! - Versions 1.1 and 1.0 exactly.
//! - Field names are tokens directly before the colon; no folding; values hold no controls but HTAB.
//!   Bytes ≥ 0x80 in values pass (obs-text, common in cookies).
//! - One `Host` on 1.1, at most one on 1.0: a name or address with an optional port, not empty. In
//!   absolute form it must equal the URL's authority; §3.2.2 would override it, and a server that does
//!   not would answer for another site.
//! - At most one `Content-Length`, digits only. No list, even of equal numbers.
//! - `Transfer-Encoding`: one field, `chunked`, on 1.1, without `Content-Length`. A coding before
//!   `chunked` is 501, anything else 400 (§6.1, §6.3). Framing fields take no HTAB around the value.
//! - `Content_Length` and `Transfer_Encoding` are refused: CGI-like servers read `_` as `-`.
//! - `Connection` must not name framing or routing fields: a hop that obeys would drop them.
//! - `Expect` is `100-continue` or 417; on 1.0 it is ignored (RFC 9110 §10.1.1).
//!
//! **Limits.** Chunk framing and trailers of the body are the loop's; path contents (`..`, `%2f`,
//! broken escapes) are the server's.

mod fields;
mod line;
#[cfg(test)]
mod tests;
pub(crate) mod value;

pub use super::fault::HeadFault;

use fields::Fields;
use line::RequestLine;

/// Limits of a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Size of the head in bytes, its last empty line included.
    pub max_size: usize,
    /// Number of fields.
    pub max_fields: usize,
    /// Length of the target in bytes.
    pub max_target: usize,
}

/// What the check learned about an accepted head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadInfo {
    /// Bytes of empty lines before the request line: 0, 2 or 4.
    pub skipped: usize,
    /// The method.
    pub method: MethodKind,
    /// The form of the target.
    pub target: TargetForm,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the version is 1.0.
    pub http10: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// Whether `Connection: close` was sent.
    pub close: bool,
    /// Whether `Connection: keep-alive` was sent.
    pub keep_alive: bool,
    /// The protocol asked for by `Connection: upgrade` with `Upgrade`.
    pub upgrade: Option<Upgrade>,
}

/// A method, as far as it decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// GET.
    Get,
    /// HEAD: the response has no body whatever its fields say.
    Head,
    /// OPTIONS.
    Options,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// POST.
    Post,
    /// PATCH.
    Patch,
    /// Any other; taken as not idempotent.
    Other,
}

/// The form of a target (RFC 9112 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`.
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `*`, for OPTIONS.
    Asterisk,
}

/// How the end of a request body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// As many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// A protocol that a client wants to change to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// `websocket`, alone.
    Websocket,
    /// Anything else, `h2c` above all: ignore it and do not pass it on.
    Other,
}

// === impl HeadInfo ===

impl HeadInfo {
    /// Whether the client wants the connection kept for another request.
    #[must_use]
    pub const fn is_persistent(&self) -> bool {
        !self.close && (!self.http10 || self.keep_alive)
    }
}

// === impl MethodKind ===

impl MethodKind {
    /// The kind of a method's name, which is case-sensitive.
    #[must_use]
    pub const fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"POST" => Self::Post,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether a request may be sent twice (RFC 9110 §9.2.2). Unknown methods may not.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Options | Self::Put | Self::Delete
        )
    }
}

/// The end of the first request head in `buf`: the length up to and including its empty line.
///
/// `from` is the length that was searched before (0 at first), so that a client who sends byte by byte
/// costs no more than one who doesn't. A line that ends with a bare LF also counts as an end, so that
/// [`check_head`] refuses it at once instead of waiting for a proper end until the deadline.
#[must_use]
pub fn find_head_end(buf: &[u8], from: usize) -> Option<usize> {
    let start = leading_lines(buf);
    let first = from.saturating_sub(3).max(start);
    for at in memchr::memchr_iter(b'\n', buf.get(first..)?) {
        let end = first + at + 1;
        let line = buf.get(start..end)?;
        if line == b"\r\n" || line.ends_with(b"\r\n\r\n") || !line.ends_with(b"\r\n") {
            return Some(end);
        }
    }
    None
}

/// Checks a head as found by [`find_head_end`]: from the connection's first byte (or the byte after
/// the last request) up to and including the empty line. Does not allocate.
///
/// # Errors
/// The first fault. The connection must then be closed after the answer.
pub fn check_head(head: &[u8], limits: &HeadLimits) -> Result<HeadInfo, HeadFault> {
    if head.len() > limits.max_size {
        return Err(HeadFault::HeadSize);
    }
    check_bytes(head)?;
    let skipped = leading_lines(head);
    let rest = head.get(skipped..).unwrap_or_default();
    let (first, mut rest) = split_line(rest).ok_or(HeadFault::Incomplete)?;
    if first.is_empty() {
        return Err(HeadFault::EmptyLine);
    }
    let line = RequestLine::parse(first, limits.max_target)?;
    let mut fields = Fields::default();
    loop {
        let (field, tail) = split_line(rest).ok_or(HeadFault::Incomplete)?;
        rest = tail;
        if field.is_empty() {
            break;
        }
        fields.add(field, limits.max_fields)?;
    }
    if !rest.is_empty() {
        return Err(HeadFault::EmptyLine);
    }
    let framing = fields.finish(&line)?;
    Ok(HeadInfo {
        skipped,
        method: line.method,
        target: line.form,
        framing,
        http10: line.is_http10,
        expects_continue: fields.expects_continue && !line.is_http10,
        close: fields.close,
        keep_alive: fields.keep_alive,
        upgrade: fields.upgrade(),
    })
}

/// The length of the empty lines at the start, two at most.
fn leading_lines(buf: &[u8]) -> usize {
    if buf.starts_with(b"\r\n\r\n") {
        4
    } else if buf.starts_with(b"\r\n") {
        2
    } else {
        0
    }
}

/// Refuses control bytes other than HTAB, and CR and LF that do not come as a pair.
///
/// Written as folds without early exit, which the compiler turns into vector code.
fn check_bytes(head: &[u8]) -> Result<(), HeadFault> {
    let (Some((first, after)), Some((last, before))) = (head.split_first(), head.split_last())
    else {
        return Err(HeadFault::Incomplete);
    };
    let unpaired = before.iter().zip(after).fold(0u8, |bad, (a, b)| {
        bad | (u8::from(*a == b'\r') ^ u8::from(*b == b'\n'))
    });
    if unpaired != 0 || *first == b'\n' || *last == b'\r' {
        return Err(HeadFault::LineEnd);
    }
    let control = head.iter().fold(0u8, |bad, b| {
        let is_blank = (*b == b'\t') | (*b == b'\r') | (*b == b'\n');
        bad | (u8::from(*b < 0x20) & u8::from(!is_blank)) | u8::from(*b == 0x7f)
    });
    if control != 0 {
        return Err(HeadFault::Control);
    }
    Ok(())
}

/// Splits the first line off, without its CR LF.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end + 1)?;
    Some((line.strip_suffix(b"\r\n")?, rest))
}
