//! What a region is asked for, as a plan for the next minutes has to take it.
//!
//! The larger of the mean of the last ten seconds and the 95th percentile of the last five minutes: a drain that is checked in a
//! lull must hold in the next wave.

use std::collections::VecDeque;

/// Seconds that are remembered.
const SECONDS: usize = 300;
/// Seconds of the fast mean.
const FAST: f64 = 10.0;
/// The quantile.
const QUANTILE: f64 = 0.95;

/// A sample a second.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    samples: VecDeque<f32>,
    fast: Option<f64>,
}

// === impl Demand ===

impl Demand {
    /// Takes in the requests of a second. To be called once a second.
    pub fn note(&mut self, rps: f64) {
        let rps = rps.max(0.0);
        let fast = self.fast.get_or_insert(rps);
        *fast += (rps - *fast) / FAST;
        if self.samples.len() == SECONDS {
            self.samples.pop_front();
        }
        self.samples.push_back(rps as f32);
    }

    /// Requests a second to plan for; none before the first sample.
    #[must_use]
    pub fn plan_for(&self) -> Option<f64> {
        let mut sorted: Vec<f32> = self.samples.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = (sorted.len() as f64 * QUANTILE) as usize;
        let wave = sorted.get(at.min(sorted.len().saturating_sub(1)))?;
        Some(self.fast?.max(f64::from(*wave)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lull_does_not_hide_the_waves() {
        let mut demand = Demand::default();
        assert_eq!(demand.plan_for(), None);
        for second in 0..600 {
            demand.note(if second % 60 < 10 { 100.0 } else { 10.0 });
        }
        assert!(demand.plan_for().unwrap() > 95.0);
        for _ in 0..300 {
            demand.note(10.0);
        }
        assert!(
            (demand.plan_for().unwrap() - 10.0).abs() < 0.1,
            "waves are forgotten"
        );
        for _ in 0..15 {
            demand.note(500.0);
        }
        assert!(demand.plan_for().unwrap() > 350.0, "a rise counts at once");
    }
}
