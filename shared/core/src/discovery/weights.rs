//! How requests are shared out among the servers of one Service or of several.
//!
//! # Choice
//! A Service's weight is its share, whatever the number of its servers, as operators know it from HTTPRoute and every mesh: 9 to 1 sends a
//! tenth to the canary, be it one pod beside thirty. It stands in the configuration, and the Service's *label* [`KEY`] overrides it:
//! Kubernetes copies a Service's labels to its slices, and so `kubectl label service app-canary strata.dev/weight=20 --overwrite` shifts
//! traffic with no right to read Services and no reload.
//!
//! A slice's *annotation* [`KEY`] is the weight of each of its servers among those of its Service. Kubernetes' own controller writes none
//! (and does not copy a Service's); it is for slices that somebody else makes: machines outside with twice the cores. Endpoints in a slice have
//! no annotations of their own.
//!
//! With one Service and no annotation, each server has weight 1, so that hash policies move no key when others come and go.
//!
//! # Limits
//! While the controller brings a new label to all slices of a Service, they disagree: the least weight counts. With several Services a server
//! more or less changes the weights of its sisters, and hash policies move more keys. Shares are rounded to 1 in 65,535 of the
//! heaviest server's.

/// The label and the annotation.
pub const KEY: &str = "strata.dev/weight";
/// The largest weight in either.
pub const MOST: u32 = 1000;
/// What the heaviest server has, when weights differ.
const FINEST: f64 = 65_535.0;

/// A server's part in weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    /// Position of its Service.
    pub(super) service: usize,
    /// Weight among those of its Service.
    pub(super) own: u32,
    /// Whether it is on its way out: such servers share among themselves, when they have to stand in.
    pub(super) leaves: bool,
}

/// Reads a label or an annotation: 0 to [`MOST`].
pub(super) fn read(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|weight| *weight <= MOST)
}

/// The weight of each part; 0 is drained. `services` are the weights of Services by position.
pub(super) fn share_out(parts: &[Part], services: &[u32]) -> Vec<u32> {
    let of = |service: usize| services.get(service).copied().unwrap_or(0);
    if services.len() < 2 {
        let weight = |part: &Part| if of(part.service) == 0 { 0 } else { part.own };
        return parts.iter().map(weight).collect();
    }
    let mut sums = vec![[0.0_f64; 2]; services.len()];
    for part in parts {
        if let Some(sum) = sums.get_mut(part.service) {
            let [stays, leaves] = sum;
            *(if part.leaves { leaves } else { stays }) += f64::from(part.own);
        }
    }
    let exact = |part: &Part| {
        let [stays, leaves] = sums.get(part.service).copied().unwrap_or_default();
        let sum = if part.leaves { leaves } else { stays };
        if sum > 0.0 {
            f64::from(of(part.service)) * f64::from(part.own) / sum
        } else {
            0.0
        }
    };
    let exact: Vec<f64> = parts.iter().map(exact).collect();
    let largest = exact.iter().copied().fold(0.0, f64::max);
    let positive = || exact.iter().filter(|share| **share > 0.0);
    let even = positive().all(|share| (largest - share) / largest < 1e-9);
    let finest = if even { 1.0 } else { FINEST };
    let whole = |share: &f64| match *share {
        share if share > 0.0 => ((share / largest * finest).round() as u32).max(1),
        _ => 0,
    };
    exact.iter().map(whole).collect()
}
