//! The cookie that keeps a user on a server or in a region.
//!
//! # Problem
//! A user should come back to the same target. What names the target lies in the user's hands, and must neither let
//! them choose one nor tell what was not meant to be told by guessing.
//!
//! # Choice
//! `target.expiry.tag`: the target's name, the second at which it ends (hexadecimal, wall clock), and the first 128 bits of
//! HMAC-SHA-256 over both and the scope (pool or global tier), so that a cookie of one pool is nothing in
//! another. Verified in constant time. The keys are derived from a configured secret that all replicas share;
//! several keys may be given, the first signs, all verify, so that secrets can be changed without a break.
//! A bad cookie is ignored with a [`Bad`] reason, never an error: the user gets a new one.
//!
//! # Rejected
//! - An unsigned name (HAProxy's `cookie … insert`): anyone picks a server, and aims a flood at it.
//! - Encryption: hides names that are not secret, at the price of a nonce in each cookie.
//!
//! # Limits
//! A cookie that was issued is valid until it ends; to invalidate all, change the secret. Wall-clock
//! seconds come as an argument, and a clock that jumps ends cookies early or late, nothing else.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Write;

type HmacSha256 = Hmac<Sha256>;

/// Bytes of the tag: 128 bits.
const TAG: usize = 16;
/// Says what the key is for, so that the same secret may serve elsewhere.
const PURPOSE: &[u8] = b"strata affinity v1";
/// Longest cookie that is looked at.
const LONGEST: usize = 256;

/// Signs and verifies the cookies of one scope.
#[derive(Clone)]
pub struct Affinity {
    /// Keyed and with the scope taken in: the first signs.
    keys: Vec<HmacSha256>,
}

/// Why a cookie is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// It is none of ours.
    #[error("not of the form target.expiry.tag")]
    Malformed,
    /// It was changed, made up, or signed with another secret.
    #[error("its signature does not fit")]
    Signature,
    /// It was valid once.
    #[error("it has expired")]
    Expired,
}

// === impl Affinity ===

impl Affinity {
    /// For cookies of `scope`, signed with the first of `secrets`. None without a secret of at least 16 bytes each.
    #[must_use]
    pub fn new(scope: &str, secrets: &[&[u8]]) -> Option<Self> {
        let keys: Option<Vec<_>> = secrets.iter().map(|secret| keyed(scope, secret)).collect();
        keys.filter(|keys| !keys.is_empty())
            .map(|keys| Self { keys })
    }

    /// The cookie's value for `target`, valid until `expiry` (seconds of the wall clock since 1970).
    #[must_use]
    pub fn encode(&self, target: &str, expiry: u64) -> String {
        let mut value = String::with_capacity(target.len() + 2 + 16 + 2 * TAG);
        // Writing to a string can't fail.
        let _ = write!(value, "{target}.{expiry:x}");
        let Some(key) = self.keys.first() else {
            return value;
        };
        let tag = key
            .clone()
            .chain_update(value.as_bytes())
            .finalize()
            .into_bytes();
        value.push('.');
        for byte in tag.iter().take(TAG) {
            let _ = write!(value, "{byte:02x}");
        }
        value
    }

    /// The target that a cookie names.
    ///
    /// # Errors
    /// Why the cookie is to be ignored.
    pub fn verify<'v>(&self, value: &'v str, now: u64) -> Result<&'v str, Bad> {
        if value.len() > LONGEST {
            return Err(Bad::Malformed);
        }
        let (signed, tag) = value.rsplit_once('.').ok_or(Bad::Malformed)?;
        let (target, expiry) = signed.rsplit_once('.').ok_or(Bad::Malformed)?;
        let tag = unhex(tag).ok_or(Bad::Malformed)?;
        if target.is_empty() || expiry.starts_with('+') {
            return Err(Bad::Malformed);
        }
        let expiry = u64::from_str_radix(expiry, 16).map_err(|_number| Bad::Malformed)?;
        let is_ours = self.keys.iter().any(|key| {
            let mac = key.clone().chain_update(signed.as_bytes());
            mac.verify_truncated_left(&tag).is_ok()
        });
        match is_ours {
            false => Err(Bad::Signature),
            true if expiry <= now => Err(Bad::Expired),
            true => Ok(target),
        }
    }
}

impl std::fmt::Debug for Affinity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys stay out of logs.
        f.debug_struct("Affinity")
            .field("keys", &self.keys.len())
            .finish()
    }
}

// === impl Bad ===

impl Bad {
    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Expired => "expired",
        }
    }
}

fn keyed(scope: &str, secret: &[u8]) -> Option<HmacSha256> {
    if secret.len() < 16 {
        return None;
    }
    let derived = HmacSha256::new_from_slice(secret)
        .ok()?
        .chain_update(PURPOSE)
        .finalize();
    let key = HmacSha256::new_from_slice(&derived.into_bytes()).ok()?;
    Some(key.chain_update(scope.as_bytes()).chain_update(b"\0"))
}

fn unhex(text: &str) -> Option<[u8; TAG]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * TAG {
        return None;
    }
    let mut bytes = [0; TAG];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Lower case only: one cookie has one spelling.
const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &[u8] = b"0123456789abcdef-old";
    const OTHER: &[u8] = b"0123456789abcdef-new";

    #[test]
    fn what_is_signed_is_read_back() {
        let pool = Affinity::new("app", &[SECRET]).unwrap();
        let value = pool.encode("server-1.eu", 2000);
        assert_eq!(pool.verify(&value, 1999), Ok("server-1.eu"));
        assert_eq!(pool.verify(&value, 2000), Err(Bad::Expired));
        let other = Affinity::new("other", &[SECRET]).unwrap();
        assert_eq!(
            other.verify(&value, 0),
            Err(Bad::Signature),
            "another pool's cookie"
        );
    }

    #[test]
    fn secrets_can_be_changed_without_a_break() {
        let old = Affinity::new("app", &[SECRET]).unwrap();
        let both = Affinity::new("app", &[OTHER, SECRET]).unwrap();
        let new = Affinity::new("app", &[OTHER]).unwrap();
        assert_eq!(both.verify(&old.encode("a", 9), 1), Ok("a"));
        assert_eq!(new.verify(&both.encode("a", 9), 1), Ok("a"));
        assert_eq!(new.verify(&old.encode("a", 9), 1), Err(Bad::Signature));
    }

    #[test]
    fn a_weak_secret_is_refused() {
        assert!(Affinity::new("app", &[b"short"]).is_none());
        assert!(Affinity::new("app", &[]).is_none());
    }

    proptest! {
        #[test]
        fn any_change_is_noticed(at in 0usize..60, bit in 0u8..7) {
            let pool = Affinity::new("app", &[SECRET]).unwrap();
            let mut bytes = pool.encode("server-1", 0xffff).into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert!(pool.verify(&changed, 1).is_err(), "{}", changed);
            }
        }

        #[test]
        fn any_text_is_answered_without_panic(text in ".{0,300}") {
            let pool = Affinity::new("app", &[SECRET]).unwrap();
            prop_assert!(pool.verify(&text, 1).is_err());
        }
    }
}
