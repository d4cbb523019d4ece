//! Grammar of tokens, authorities and the values that frame a message.

use super::HeadFault;

/// Bytes of a token (RFC 9110 §5.6.2).
static TOKEN: [bool; 256] = token_table();

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x7f {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
}

/// Whether `bytes` is a token; an empty one is none.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_length(bytes) == bytes.len()
}

/// The length of the token at the start of `bytes`.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|b| !TOKEN.get(usize::from(*b)).copied().unwrap_or(false))
        .unwrap_or(bytes.len())
}

/// Whether `bytes` is a host with an optional port, as a `Host` field may hold.
///
/// Narrower than RFC 3986: letters, digits, `-`, `_` and single dots, or an IPv6 address in brackets.
/// Percent-encoding, sub-delimiters, user info and an empty port are refused: they name no host that is
/// served, and they have fooled caches and routers.
pub(crate) fn is_authority(bytes: &[u8]) -> bool {
    let (is_host, rest) = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else {
                return false;
            };
            let (address, tail) = rest.split_at_checked(end).unwrap_or_default();
            let is_host = std::str::from_utf8(address)
                .is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
            (is_host, tail.get(1..).unwrap_or_default())
        }
        _ => {
            let end = bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len());
            let (name, tail) = bytes.split_at_checked(end).unwrap_or_default();
            (is_name(name), tail)
        }
    };
    is_host
        && match rest {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        }
}

/// Where the authority at the start of `rest` ends: at the path or the query.
pub(super) fn authority_end(rest: &[u8]) -> usize {
    memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len())
}

/// The number in a `Content-Length`: one or more digits and nothing else.
pub(crate) fn length(value: &[u8]) -> Result<u64, HeadFault> {
    if value.is_empty() {
        return Err(HeadFault::LengthInvalid);
    }
    value
        .iter()
        .try_fold(0u64, |sum, b| {
            let digit = b.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            sum.checked_mul(10)?.checked_add(u64::from(digit))
        })
        .ok_or(HeadFault::LengthInvalid)
}

/// Accepts `chunked` and classifies everything else (RFC 9112 §6.1, §6.3).
pub(super) fn coding(value: &[u8]) -> Result<(), HeadFault> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    if value.contains(&b'\t') {
        return Err(HeadFault::CodingInvalid);
    }
    let (mut chunked, mut is_last) = (0, false);
    for part in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
        if !is_token(part) {
            return Err(HeadFault::CodingInvalid);
        }
        is_last = part.eq_ignore_ascii_case(b"chunked");
        chunked += usize::from(is_last);
    }
    Err(match (chunked, is_last) {
        (1, true) => HeadFault::CodingUnsupported,
        (0 | 1, _) => HeadFault::CodingInvalid,
        _ => HeadFault::CodingRepeated,
    })
}

/// Whether two names are the same to a server that reads `_` as `-`. `name` is in lower case.
pub(crate) fn is_alike(bytes: &[u8], name: &[u8]) -> bool {
    bytes.len() == name.len()
        && bytes
            .iter()
            .zip(name)
            .all(|(b, want)| b.to_ascii_lowercase() == *want || (*b == b'_' && *want == b'-'))
}

fn is_name(name: &[u8]) -> bool {
    let mut last = b'.';
    let is_clean = name.iter().all(|b| {
        let is_dot_pair = *b == b'.' && last == b'.';
        last = *b;
        !is_dot_pair && (b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    });
    is_clean && !name.is_empty() && name.len() <= 254
}

fn is_port(port: &[u8]) -> bool {
    (1..=5).contains(&port.len()) && length(port).is_ok_and(|number| (1..=65535).contains(&number))
}
