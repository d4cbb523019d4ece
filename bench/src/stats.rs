//! Medians with their spread.
//!
//! Rounds on a shared machine have outliers in one direction: somebody else ran. A mean drags them
//! along, a median of an odd number of rounds does not; the smallest and largest value are kept
//! beside it, so that the reader sees how far the rounds disagreed.

use serde::Serialize;

/// The values of one measurement over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The middle value; the mean of the two middle ones when the count is even.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
    /// All values in the order of the rounds.
    pub(crate) values: Vec<f64>,
}

// === impl Spread ===

impl Spread {
    /// `None` for no values; values that are not finite are left out.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            min,
            max,
            values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_ignores_one_outlier_and_keeps_it_in_the_spread() {
        let spread = Spread::of([3.0, 100.0, 2.0, f64::NAN]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 2.0, 100.0));
        assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of([]), None);
    }
}
