//! A weighted random draw in constant time.
//!
//! **Choice.** Vose's alias method: each of `n` equally likely cells holds at most two candidates,
//! so a draw is one random number, one cell and one comparison, whatever the weights. Built in
//! O(n). Rejected: a binary search over cumulated weights (14 cache misses at 10,000), and
//! repeating each candidate by its weight (memory grows with the weights).
//!
//! Equal weights, the usual case, need no cells at all.
//!
//! **Limit.** Shares are exact to 2^-32.
//!
//! Source: M. D. Vose, "A linear algorithm for generating random numbers with a given
//! distribution", 1991.

use rand::Rng;

use super::{Candidate, EndpointId};

/// Draws that hit an excluded candidate are repeated this often before taking any other candidate.
const REDRAWS: usize = 8;

/// A table to draw from, for one set of candidates.
#[derive(Debug)]
pub(super) struct Draw {
    len: u64,
    /// Empty when all weights are equal.
    cells: Box<[Cell]>,
}

/// A cell keeps its own candidate with probability `keep` / 2^32, else it gives `alias`.
#[derive(Debug, Clone, Copy)]
struct Cell {
    keep: u32,
    alias: u32,
}

// === impl Draw ===

impl Draw {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let weights: Vec<f64> = candidates
            .iter()
            .map(|c| f64::from(c.weight.get()))
            .collect();
        let equal = weights.windows(2).all(|pair| pair.first() == pair.last());
        let cells = if equal {
            Box::default()
        } else {
            cells(&weights)
        };
        Self {
            len: candidates.len() as u64,
            cells,
        }
    }

    /// An index with probability in proportion to its weight; meaningless when there are no
    /// candidates.
    pub(super) fn index(&self, rng: &mut impl Rng) -> usize {
        let word = rng.next_u64();
        let at = ((word >> 32).wrapping_mul(self.len) >> 32) as usize;
        match self.cells.get(at) {
            Some(cell) if word as u32 >= cell.keep => cell.alias as usize,
            _ => at,
        }
    }

    /// An index that is neither `other` nor of a tried endpoint, or `None` when all are.
    ///
    /// Redraws a few times, which keeps the shares of the rest in proportion; after that, which
    /// takes a weight far above all others, the first fit from a random place.
    pub(super) fn another(
        &self,
        candidates: &[Candidate],
        tried: &[EndpointId],
        other: Option<usize>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let fits = |at: usize| {
            Some(at) != other && candidates.get(at).is_some_and(|c| !tried.contains(&c.id))
        };
        for _ in 0..REDRAWS {
            let at = self.index(rng);
            if fits(at) {
                return Some(at);
            }
        }
        first_from(rng.next_u64(), candidates.len(), fits)
    }
}

/// The first index that fits, looking once around from a place given by `start`.
pub(super) fn first_from(start: u64, len: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let start = ((u128::from(start) * len as u128) >> 64) as usize;
    (start..len).chain(0..start).find(|at| fits(*at))
}

/// Vose's construction.
fn cells(weights: &[f64]) -> Box<[Cell]> {
    let scale = weights.len() as f64 / weights.iter().sum::<f64>();
    let mut heights: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
    let mut cells: Vec<Cell> = (0..weights.len())
        .map(|at| Cell {
            keep: u32::MAX,
            alias: at as u32,
        })
        .collect();
    let (mut low, mut high): (Vec<usize>, Vec<usize>) =
        (0..heights.len()).partition(|at| heights.get(*at).is_some_and(|height| *height < 1.0));
    while let (Some(small), Some(large)) = (low.pop(), high.pop()) {
        let height = heights.get(small).copied().unwrap_or(1.0);
        if let Some(cell) = cells.get_mut(small) {
            *cell = Cell {
                keep: (height * 4_294_967_296.0) as u32,
                alias: large as u32,
            };
        }
        if let Some(rest) = heights.get_mut(large) {
            *rest -= 1.0 - height;
            if *rest < 1.0 {
                low.push(large)
            } else {
                high.push(large)
            }
        }
    }
    cells.into_boxed_slice()
}
