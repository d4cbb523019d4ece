//! A short name for the content of a configuration.

use crate::balance::hash::{combine, stable_hash};

/// 16 hexadecimal digits that stand for the texts in their order: the same on every replica, platform and
/// version, so that `config_info{hash}` shows at a glance whether replicas run the same files.
///
/// Made from XXH3 with 64 bits. Two different files have the same hash by accident once in 10^19; it is
/// no protection against somebody who looks for two such files.
#[must_use]
pub fn content_hash(text: &[&str]) -> String {
    let hash = text
        .iter()
        .map(|text| stable_hash(text.as_bytes()))
        .reduce(combine)
        .unwrap_or_default();
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_content_and_order_alone() {
        assert_eq!(content_hash(&["abc"]), "78af5f94892f3950", "as published");
        assert_eq!(content_hash(&[]), "0000000000000000");
        let all = [
            content_hash(&["a", "b"]),
            content_hash(&["b", "a"]),
            content_hash(&["ab"]),
            content_hash(&["ab", ""]),
            content_hash(&["", "ab"]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 16);
            assert!(
                !all.iter().skip(at + 1).any(|other| other == one),
                "{all:?}"
            );
        }
    }
}
