//! Request ids.
//!
//! An id that came with a request is kept when it is harmless in logs and labels; otherwise we give
//! one: a UUIDv7 (RFC 9562 §5.7), which sorts by time, so that logs of all tiers line up.

use rand::Rng;

/// Longest id that is kept, in characters.
pub const MAX_REQUEST_ID: usize = 128;

/// Whether an id from outside may be kept: 1 to [`MAX_REQUEST_ID`] of `[A-Za-z0-9._~-]`.
#[must_use]
pub fn is_request_id(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

/// A new id: a UUIDv7 of the wall clock in milliseconds since 1970 and 74 random bits. The clock only
/// makes ids sort; a clock that jumps makes no duplicates. One allocation.
#[must_use]
pub fn request_id(unix_millis: u64, rng: &mut impl Rng) -> String {
    let (high, low) = (rng.next_u64(), rng.next_u64());
    let time = unix_millis & 0xffff_ffff_ffff;
    let head = (time << 16) | 0x7000 | (high & 0x0fff);
    let tail = (1 << 63) | (low >> 2);
    let bits = (u128::from(head) << 64) | u128::from(tail);
    let mut id = String::with_capacity(36);
    for at in 0..32u32 {
        if matches!(at, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(hex_digit(bits, 31 - at));
    }
    id
}

/// The hexadecimal digit of `bits` at `place`, counted from the right.
pub(super) fn hex_digit(bits: u128, place: u32) -> char {
    char::from_digit((bits >> (4 * place) & 0xf) as u32, 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::Counter;

    #[test]
    fn ids_from_outside_are_short_and_plain() {
        for good in [
            "a",
            "0190163d-8694-739b-aea5-966c26f8ad91",
            "A._~-9",
            &"x".repeat(128),
        ] {
            assert!(is_request_id(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a\"b",
            "é",
            "a/b",
            "a,b",
            "a=b",
            &"x".repeat(129),
        ] {
            assert!(!is_request_id(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn new_ids_are_version_7_and_sort_by_time() {
        let mut rng = Counter(u64::MAX);
        let id = request_id(0x0190_163d_8694, &mut rng);
        assert_eq!(id, "0190163d-8694-7fff-8000-000000000000");
        assert_eq!(id.capacity(), 36);
        let later = request_id(0x0190_163d_8695, &mut rng);
        assert!(later > id && is_request_id(later.as_bytes()));
        let end = request_id(u64::MAX, &mut Counter(u64::MAX - 1));
        assert_eq!(end, "ffffffff-ffff-7ffe-bfff-ffffffffffff");
    }
}
