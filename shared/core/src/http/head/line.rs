//! The request line.

use super::value::{authority_end, is_authority, is_token};
use super::{HeadFault, MethodKind, TargetForm};

/// A request line that passed.
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub(super) method: MethodKind,
    pub(super) form: TargetForm,
    /// The authority of a target in absolute form.
    pub(super) authority: Option<&'a [u8]>,
    pub(super) is_http10: bool,
}

// === impl RequestLine ===

impl<'a> RequestLine<'a> {
    pub(super) fn parse(line: &'a [u8], max_target: usize) -> Result<Self, HeadFault> {
        let (method, target, version) = split(line).ok_or(HeadFault::RequestLine)?;
        if !is_token(method) {
            return Err(HeadFault::MethodToken);
        }
        let is_http10 = is_http10(version)?;
        if matches!(method, b"CONNECT" | b"TRACE" | b"TRACK") {
            return Err(HeadFault::Method);
        }
        if target.len() > max_target {
            return Err(HeadFault::TargetLength);
        }
        let kind = MethodKind::of(method);
        let (form, authority) = check_target(target, kind)?;
        Ok(Self {
            method: kind,
            form,
            authority,
            is_http10,
        })
    }
}

/// Splits at the first and the last space; a space in between is a fault.
fn split(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (method, rest) = line.split_at_checked(line.iter().position(|b| *b == b' ')?)?;
    let rest = rest.strip_prefix(b" ")?;
    let (target, version) = rest.split_at_checked(rest.iter().rposition(|b| *b == b' ')?)?;
    if target.is_empty() || memchr::memchr(b' ', target).is_some() {
        return None;
    }
    Some((method, target, version.strip_prefix(b" ")?))
}

fn is_http10(version: &[u8]) -> Result<bool, HeadFault> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadFault::Version)
        }
        _ => Err(HeadFault::RequestLine),
    }
}

fn check_target(
    target: &[u8],
    method: MethodKind,
) -> Result<(TargetForm, Option<&[u8]>), HeadFault> {
    let has_forbidden = target.iter().fold(false, |bad, b| {
        bad | (*b <= b' ') | (*b >= 0x7f) | (*b == b'#')
    });
    if has_forbidden {
        return Err(HeadFault::Target);
    }
    match target {
        [b'/', ..] => Ok((TargetForm::Origin, None)),
        b"*" if method == MethodKind::Options => Ok((TargetForm::Asterisk, None)),
        _ => {
            let rest = ["http://", "https://"]
                .iter()
                .find_map(|scheme| {
                    let (start, rest) = target.split_at_checked(scheme.len())?;
                    start
                        .eq_ignore_ascii_case(scheme.as_bytes())
                        .then_some(rest)
                })
                .ok_or(HeadFault::TargetForm)?;
            let authority = rest.get(..authority_end(rest)).unwrap_or(rest);
            if !is_authority(authority) {
                return Err(HeadFault::TargetForm);
            }
            Ok((TargetForm::Absolute, Some(authority)))
        }
    }
}
