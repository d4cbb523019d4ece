//! Hashes on which all replicas and all versions agree.
//!
//! **Problem.** A key must lead to the same endpoint on every replica of a tier, before and after
//! an upgrade. The standard library's hasher is seeded at random per process and its algorithm may
//! change with the compiler.
//!
//! **Choice.** XXH3 (64 bits, seed 0) for bytes: specified, frozen since 0.8.0 of the reference
//! implementation, and fast for the short names and header values hashed here. To combine two
//! words, the SplitMix64 step (Steele, Lea, Flood 2014), a bijection whose output bits all depend
//! on all input bits. Golden values in the tests hold both still.
//!
//! **Rejected.** FNV-1a: its high bits are weak for short keys, and the ring and the tables take
//! the high bits. SipHash with a fixed key: slower, and a key printed in the source protects
//! nobody.
//!
//! **Limit.** Neither is keyed. A client who picks its own affinity key can aim at one endpoint;
//! the load bound of the hash policies caps what that achieves.

use twox_hash::XxHash3_64;

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of `bytes`, the same on every replica, platform and version.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// One step of SplitMix64: spreads the bits of `word` over all 64. Bijective.
#[must_use]
pub fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(GOLDEN);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// A hash of the ordered pair of two hashes.
#[must_use]
pub fn combine(first: u64, second: u64) -> u64 {
    mix(first ^ mix(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_hash_keeps_its_published_values() {
        for (text, hash) in [
            ("", 0x2D06_8005_38D3_94C2),
            ("abc", 0x78AF_5F94_892F_3950),
            ("server-1", 0x21BC_CAFF_7202_3AA1),
        ] {
            assert_eq!(stable_hash(text.as_bytes()), hash, "hash of {text:?}");
        }
    }

    #[test]
    fn mix_keeps_its_published_values() {
        // The first outputs of SplitMix64 from the seeds 0 and 1234567.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn combine_depends_on_the_order() {
        assert_ne!(combine(1, 2), combine(2, 1));
        assert_eq!(combine(1, 2), 0xE06D_D043_328B_D285);
    }
}
