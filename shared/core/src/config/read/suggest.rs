//! "Did you mean …?": the known word that a wrong one most likely stands for.
//!
//! Distance is the restricted Damerau-Levenshtein distance (insert, delete, replace, swap of
//! neighbours: each 1), as swaps are the commonest slip of a keyboard. Words are compared without
//! case, `-` and `_`, because `maxAge`, `max-age` and `max_age` are habits, not slips. A suggestion
//! that is far off is worse than none, so about one letter in three may be wrong; a word cut short
//! (`addr` for `address`) is accepted too, behind every near miss.

/// Longer words are not compared: no key is that long, and the cost grows with the product.
const LONGEST: usize = 64;

/// The best match for `wrong` among `known`, or nothing when none is near. On a tie the first wins.
#[must_use]
pub fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(wrong);
    if folded.is_empty() || folded.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .filter(|candidate| *candidate != wrong)
        .filter_map(|candidate| Some((rank(&folded, &fold(candidate))?, candidate)))
        .reduce(|best, next| if next.0 < best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

/// How far off `known` is; nothing when it is too far to be meant.
fn rank(wrong: &[char], known: &[char]) -> Option<usize> {
    if known.is_empty() || known.len() > LONGEST {
        return None;
    }
    let allowed = (wrong.len().max(known.len()) / 3).clamp(1, 4);
    if wrong.len().abs_diff(known.len()) <= allowed {
        let distance = distance(wrong, known);
        // Two one-letter words always differ by one letter; that is no likeness.
        if distance <= allowed && distance < wrong.len().min(known.len()) {
            return Some(distance);
        }
    }
    let cut = wrong.len() >= 3 && known.starts_with(wrong);
    let grown = known.len() >= 3 && wrong.starts_with(known);
    (cut || grown).then(|| LONGEST + wrong.len().abs_diff(known.len()))
}

fn fold(word: &str) -> Vec<char> {
    let kept = word.chars().filter(|c| !matches!(c, '-' | '_'));
    kept.flat_map(char::to_lowercase)
        .take(LONGEST + 1)
        .collect()
}

/// Restricted Damerau-Levenshtein distance, with three rows of the table at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut last_b = None;
        for (j, &cb) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (cell(&above, j) + usize::from(ca != cb))
                .min(cell(&above, j + 1) + 1)
                .min(cell(&row, j) + 1);
            if j > 0 && last_a == Some(cb) && last_b == Some(ca) {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
            last_b = Some(cb);
        }
        before = std::mem::replace(&mut above, row);
        last_a = Some(ca);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(wrong: &str, words: &[&'static str]) -> Option<&'static str> {
        suggest(wrong, words.iter().copied())
    }

    #[test]
    fn finds_slips_and_habits() {
        let words = ["weight", "address", "max_connections", "tls", "h2c", "name"];
        assert_eq!(known("wieght", &words), Some("weight"));
        assert_eq!(known("maxConnections", &words), Some("max_connections"));
        assert_eq!(known("addr", &words), Some("address"));
        assert_eq!(known("nmae", &words), Some("name"));
        assert_eq!(known("TLS", &words), Some("tls"));
        assert_eq!(known("h2", &words), Some("h2c"));
    }

    #[test]
    fn stays_silent_when_nothing_is_near() {
        assert_eq!(known("colour", &["weight", "tls"]), None);
        assert_eq!(known("x", &["y"]), None);
        assert_eq!(known("", &["a"]), None);
        assert_eq!(
            known("weight", &["weight"]),
            None,
            "a word is no correction of itself"
        );
        assert_eq!(known(&"w".repeat(100_000), &["weight"]), None);
    }

    proptest! {
        #[test]
        fn distance_is_a_distance(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
            let d = distance(&a, &b);
            prop_assert_eq!(d, distance(&b, &a), "symmetric");
            prop_assert_eq!(d == 0, a == b, "zero only for equal words");
            prop_assert!(d >= a.len().abs_diff(b.len()) && d <= a.len().max(b.len()));
        }

        #[test]
        fn a_single_slip_is_found(word in "[a-z]{4,12}", at in 0_usize..4, c in proptest::char::range('a', 'z')) {
            let mut wrong: Vec<char> = word.chars().collect();
            wrong[at] = c;
            let wrong: String = wrong.into_iter().collect();
            prop_assume!(wrong != word);
            prop_assert_eq!(suggest(&wrong, [word.as_str()]), Some(word.as_str()));
        }
    }
}
