//! Dividing a number of slots by weight.
//!
//! Round robin's sequence and Maglev's table both need whole slots per candidate that add up
//! exactly. Rounding each share for itself would not; so the rounding error is carried from one
//! candidate to the next. A candidate lighter than one slot still gets one, at the cost of the
//! heaviest: a weight above zero means traffic.

use std::collections::BinaryHeap;

/// Slots for each weight: at least 1, and `slots` in sum (or as many as there are weights, if that
/// is more). Off the exact share by less than 1, except where the minimum of 1 forces more.
pub(super) fn apportion(weights: &[u32], slots: u32) -> Vec<u32> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let (mut cumulated, mut given) = (0_u128, 0_u32);
    let mut shares = Vec::with_capacity(weights.len());
    let mut raised = 0_u32;
    for weight in weights {
        cumulated += u128::from(*weight);
        let due = (cumulated * u128::from(slots) / total.max(1)) as u32;
        let share = due - given;
        given = due;
        raised += u32::from(share == 0);
        shares.push(share.max(1));
    }
    take_from_largest(&mut shares, raised);
    shares
}

/// Takes `count` slots, each from the share that is the largest then, leaving at least 1
/// everywhere.
fn take_from_largest(shares: &mut [u32], count: u32) {
    if count == 0 {
        return;
    }
    let mut largest: BinaryHeap<(u32, usize)> = shares
        .iter()
        .enumerate()
        .map(|(at, share)| (*share, at))
        .collect();
    for _ in 0..count {
        match largest.pop() {
            Some((share, at)) if share > 1 => largest.push((share - 1, at)),
            _ => break,
        }
    }
    for (share, at) in largest {
        if let Some(slot) = shares.get_mut(at) {
            *slot = share;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_exact_where_they_can_be() {
        assert_eq!(apportion(&[1, 2, 3], 12), [2, 4, 6]);
        assert_eq!(apportion(&[1, 1_000_000, 1], 10), [1, 8, 1]);
        assert_eq!(
            apportion(&[1, 1, 1], 2),
            [1, 1, 1],
            "fewer slots than weights"
        );
        assert_eq!(apportion(&[], 10), [0_u32; 0]);
    }

    proptest! {
        #[test]
        fn shares_add_up(weights in prop::collection::vec(1_u32.., 1..50), slots in 50_u32..10_000) {
            let shares = apportion(&weights, slots);
            prop_assert_eq!(shares.iter().sum::<u32>(), slots);
            prop_assert!(shares.iter().all(|share| *share >= 1));
        }

        #[test]
        fn shares_are_within_one_slot(weights in prop::collection::vec(100_u32..200, 1..50)) {
            let total: u32 = weights.iter().sum();
            for (weight, share) in weights.iter().zip(apportion(&weights, 5_000)) {
                let exact = f64::from(*weight) * 5_000.0 / f64::from(total);
                prop_assert!((f64::from(share) - exact).abs() <= 1.0);
            }
        }
    }
}
