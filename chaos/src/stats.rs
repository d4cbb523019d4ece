//! Numbers from accounts: pure functions over outcomes and arrivals.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use strata_tests::load::Outcome;

/// A good answer later than this counts as disturbed when recovery is measured: servers take 20 to 100 ms.
pub const SLOW: Duration = Duration::from_millis(500);
/// So long before the end of a window must all be well again for it to have recovered.
pub const CALM: Duration = Duration::from_secs(1);

/// How a disturbance ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// The last disturbed request was due so many seconds after its begin; 0 when none was.
    After(f64),
    /// It did not end within the window.
    Never,
}

/// When a request arrived at a server: seconds since the load began, and the server's number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Seconds since the load began.
    pub at: f64,
    /// Number of the server in the order of the stack.
    pub server: usize,
}

// === impl Recovery ===

impl Recovery {
    /// Seconds; infinite for never.
    pub fn seconds(self) -> f64 {
        match self {
            Self::After(seconds) => seconds,
            Self::Never => f64::INFINITY,
        }
    }
}

/// Latency of good answers at a quantile of 0 to 1, in seconds; 0 when there was none.
pub fn quantile<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, quantile: f64) -> f64 {
    let good = outcomes.into_iter().filter(|o| o.result.is_ok());
    rank(good.map(|o| o.latency.as_secs_f64()).collect(), quantile)
}

/// The value at a quantile of 0 to 1 (nearest rank); 0 for no values.
pub fn rank(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = (values.len() as f64 * quantile).ceil() as usize;
    values
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// Whether a request was answered well and without noticeable delay.
pub fn is_smooth(outcome: &Outcome) -> bool {
    outcome.is_good() && outcome.latency <= SLOW
}

/// When the requests due in `from..to` were all smooth again.
pub fn recovery<'a>(
    outcomes: impl IntoIterator<Item = &'a Outcome>,
    from: Duration,
    to: Duration,
) -> Recovery {
    let inside = |o: &&Outcome| from <= o.due && o.due < to;
    let disturbed = outcomes
        .into_iter()
        .filter(inside)
        .filter(|o| !is_smooth(o));
    match disturbed.map(|o| o.due).max() {
        None => Recovery::After(0.0),
        Some(last) if last + CALM > to => Recovery::Never,
        Some(last) => Recovery::After((last - from).as_secs_f64()),
    }
}

/// `a ÷ b`; 0 when `b` is 0.
pub fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Share of the arrivals in `from..to` that went to servers for which `is_one` holds.
pub fn share(arrivals: &[Arrival], from: f64, to: f64, is_one: impl Fn(usize) -> bool) -> f64 {
    let inside = arrivals.iter().filter(|a| from <= a.at && a.at < to);
    let (mut all, mut ones) = (0.0, 0.0);
    for arrival in inside {
        all += 1.0;
        ones += f64::from(u8::from(is_one(arrival.server)));
    }
    ratio(ones, all)
}

/// When a server was out: the begin of its first gap of at least `gap` seconds after `from`, in seconds after `from`.
/// The window ends at `to`; `None` when there was no such gap.
pub fn out_after(arrivals: &[Arrival], server: usize, from: f64, to: f64, gap: f64) -> Option<f64> {
    let mut times: Vec<f64> = arrivals
        .iter()
        .filter(|a| a.server == server && from <= a.at && a.at < to)
        .map(|a| a.at)
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    let starts = std::iter::once(from).chain(times.iter().copied());
    let ends = times.iter().copied().chain(std::iter::once(to));
    starts
        .zip(ends)
        .find(|(start, end)| end - start >= gap)
        .map(|(start, _)| start - from)
}

/// The largest share that one server had in a window of `width` seconds, as a multiple of its fair share. Windows with
/// fewer than `least` arrivals say nothing.
pub fn peak_share(
    arrivals: &[Arrival],
    from: f64,
    to: f64,
    width: f64,
    least: usize,
    servers: usize,
) -> f64 {
    let mut windows: BTreeMap<u64, BTreeMap<usize, usize>> = BTreeMap::new();
    for arrival in arrivals.iter().filter(|a| from <= a.at && a.at < to) {
        let window = ((arrival.at - from) / width) as u64;
        *windows
            .entry(window)
            .or_default()
            .entry(arrival.server)
            .or_default() += 1;
    }
    let peak = |window: &BTreeMap<usize, usize>| {
        let all: usize = window.values().sum();
        let most = window.values().copied().max().unwrap_or_default();
        (all >= least).then(|| ratio(most as f64, all as f64) * servers as f64)
    };
    windows.values().filter_map(peak).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use strata_tests::load::{Failure, Kind, Served};

    use super::*;

    fn outcome(due_ms: u64, latency_ms: u64, is_ok: bool) -> Outcome {
        let served = Served {
            status: 200,
            server: "s".to_owned(),
        };
        let failure = Failure {
            kind: Kind::Timeout,
            detail: String::new(),
        };
        Outcome {
            id: due_ms.to_string(),
            index: due_ms,
            method: Method::GET,
            due: Duration::from_millis(due_ms),
            lag: Duration::ZERO,
            latency: Duration::from_millis(latency_ms),
            is_late: false,
            is_resent: false,
            result: if is_ok { Ok(served) } else { Err(failure) },
        }
    }

    fn arrivals(of: &[(f64, usize)]) -> Vec<Arrival> {
        of.iter()
            .map(|&(at, server)| Arrival { at, server })
            .collect()
    }

    #[test]
    fn quantiles_take_good_answers_by_nearest_rank() {
        let all: Vec<_> = (1..=100).map(|n| outcome(n, n, true)).collect();
        assert!((quantile(&all, 0.99) - 0.099).abs() < 1e-9);
        assert!((quantile(&all, 0.5) - 0.050).abs() < 1e-9);
        assert_eq!(quantile(&[outcome(1, 5, false)], 0.99), 0.0);
        assert_eq!(rank(vec![], 0.5), 0.0);
    }

    #[test]
    fn recovery_is_the_last_disturbed_request_and_needs_a_calm_end() {
        let from = Duration::from_secs(1);
        let to = Duration::from_secs(5);
        let fine = [outcome(1_500, 20, true), outcome(4_900, 20, true)];
        assert_eq!(recovery(&fine, from, to), Recovery::After(0.0));
        let failed = [outcome(1_500, 20, false), outcome(2_000, 600, true)];
        assert_eq!(recovery(&failed, from, to), Recovery::After(1.0));
        let before = [outcome(500, 20, false)];
        assert_eq!(recovery(&before, from, to), Recovery::After(0.0));
        let until_the_end = [outcome(4_500, 20, false)];
        assert_eq!(recovery(&until_the_end, from, to), Recovery::Never);
    }

    #[test]
    fn shares_count_arrivals_within_the_window() {
        let all = arrivals(&[(0.5, 0), (1.0, 0), (1.5, 1), (1.9, 1), (2.0, 0)]);
        assert!((share(&all, 1.0, 2.0, |s| s == 1) - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(share(&all, 7.0, 8.0, |s| s == 1), 0.0);
    }

    #[test]
    fn a_server_is_out_at_its_first_gap() {
        let all = arrivals(&[(1.1, 0), (1.9, 0), (2.5, 0), (3.0, 1), (6.0, 0)]);
        assert_eq!(out_after(&all, 0, 1.0, 8.0, 1.5), Some(1.5));
        assert_eq!(out_after(&all, 0, 1.0, 3.0, 1.5), None);
        assert_eq!(out_after(&all, 9, 1.0, 3.0, 1.5), Some(0.0));
    }

    #[test]
    fn the_peak_is_the_worst_window_with_enough_arrivals() {
        let all = arrivals(&[(0.1, 0), (1.1, 0), (1.2, 0), (1.3, 1), (1.4, 0)]);
        let peak = peak_share(&all, 0.0, 2.0, 1.0, 2, 2);
        assert!(
            (peak - 1.5).abs() < 1e-9,
            "three of four, twice the fair half: {peak}"
        );
        assert_eq!(peak_share(&[], 0.0, 1.0, 1.0, 1, 2), 0.0);
    }
}
