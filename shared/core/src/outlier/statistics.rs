//! Ejection by comparison: an endpoint that fails more than its peers.
//!
//! # Problem
//! A server that fails three requests in ten rarely fails five in a row. Only its peers tell that this is not
//! normal; and when all fail alike, the fault lies behind them, and ejecting any of them helps nobody.
//!
//! # Choice
//! Once a second, over the last ten seconds of each endpoint ([`super::window`]), three tests; the first that convicts
//! gives the reason:
//! 1. *failure percentage*: 85 % of at least 50 requests. Needs no peers. Who fails nearly always is convicted, the
//!    pool's cap (`may_eject`) protects the rest.
//! 2. *success rate*, Envoy's: below the mean of the pool less 1.9 standard deviations, from 5 endpoints with 100 requests
//!    each. Envoy convicts on that alone, so that a pool whose members are all within 0.1 % loses its last one
//!    each time; here the difference from the others must also be significant (z ≥ 4) and at least 2 points.
//! 3. *peers*, for the pools where Envoy sees nothing: two proportions compared, the endpoint's failures against all
//!    others' together, convicted when significant (z ≥ 4), at least 10 points worse, with 30 requests on each
//!    side. One of three servers failing 30 % at 10 requests a second is found in about 3 s.
//!
//! # Why z ≥ 4
//! Each second asks each endpoint again. At z = 4 an honest one is convicted by chance about 3 times in 100,000
//! independent windows, and windows overlap tenfold; the 10 points rule out what is significant but small.
//!
//! # Rejected
//! - Fisher's exact test: exact for small counts, where we want 30 requests anyway, and far more to compute.
//! - The others' median instead of their sum: with two others it is one of them, with all its noise.
//!
//! # Limits
//! Half of the pool failing makes "the others" look bad too; from then on failure percentage is what remains.
//!
//! # Source
//! Envoy, outlier detection (`success_rate_stdev_factor` 1900, `failure_percentage_threshold` 85).

use super::window::Counts;
use crate::config::model::Outlier;
use std::fmt;

/// Windows of endpoints: those that are routable, in any order.
pub type Sample = Counts;

/// The numbers of the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Test 1; none: off.
    pub failure_percentage: Option<Threshold>,
    /// Test 2; none: off. The level is the factor of the standard deviation.
    pub success_rate: Option<Threshold>,
    /// Endpoints with enough requests that the success rate needs; below, the peers are compared.
    pub least_endpoints: usize,
    /// Test 3; none: off. The level is the least difference, 0.0 to 1.0.
    pub peers: Option<Threshold>,
}

/// From where on a test convicts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What the test compares with.
    pub level: f64,
    /// Requests of an endpoint below which it is not judged.
    pub least_requests: u32,
}

/// A conviction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Which sample.
    pub index: usize,
    /// Why.
    pub reason: Reason,
}

/// Why an endpoint is convicted, with numbers for logs and `explain`. Shares are from 0.0 to 1.0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// It fails nearly always.
    FailurePercentage {
        /// Share that failed.
        failed: f64,
        /// Share from which on it convicts.
        threshold: f64,
        /// Requests.
        requests: u32,
    },
    /// It succeeds less than the pool.
    SuccessRate {
        /// Share that succeeded.
        rate: f64,
        /// Mean less factor × standard deviation.
        threshold: f64,
        /// Mean of the pool.
        mean: f64,
    },
    /// It fails more than the others together.
    Peers {
        /// Share that failed.
        failed: f64,
        /// Share of the others' that failed.
        others: f64,
        /// Significance in standard errors.
        z: f64,
    },
}

/// The difference that counts as certain, in standard errors.
const SIGNIFICANT: f64 = 4.0;
/// What the success rate must differ from the others' at least.
const LEAST_GAP: f64 = 0.02;

/// Judges all endpoints of a pool; the worst first, as the pool's cap may not let all of them go.
#[must_use]
pub fn judge(samples: &[Sample], rules: &Rules) -> Vec<Verdict> {
    let total = samples
        .iter()
        .fold((0.0, 0.0), |(requests, failures), sample| {
            let (r, f) = floats(*sample);
            (requests + r, failures + f)
        });
    let pool = rules
        .success_rate
        .and_then(|test| spread(samples, test, rules.least_endpoints));
    let mut verdicts: Vec<Verdict> = samples
        .iter()
        .enumerate()
        .filter_map(|(index, sample)| {
            let compared = compare(*sample, total);
            let reason = by_percentage(*sample, rules).or_else(|| match pool {
                Some(pool) => by_success_rate(*sample, rules, pool, compared),
                None => by_peers(*sample, rules, compared),
            })?;
            Some(Verdict { index, reason })
        })
        .collect();
    let failed = |verdict: &Verdict| samples.get(verdict.index).map_or(0.0, |s| failed(*s));
    verdicts.sort_by(|a, b| failed(b).total_cmp(&failed(a)));
    verdicts
}

/// An endpoint against all others.
#[derive(Debug, Clone, Copy)]
struct Compared {
    failed: f64,
    others: f64,
    others_requests: f64,
    z: f64,
}

fn by_percentage(sample: Sample, rules: &Rules) -> Option<Reason> {
    let test = rules.failure_percentage?;
    let failed = failed(sample);
    let is_bad = sample.requests >= test.least_requests.max(1) && failed >= test.level;
    is_bad.then_some(Reason::FailurePercentage {
        failed,
        threshold: test.level,
        requests: sample.requests,
    })
}

fn by_success_rate(
    sample: Sample,
    rules: &Rules,
    (mean, threshold): (f64, f64),
    compared: Compared,
) -> Option<Reason> {
    let test = rules.success_rate?;
    let rate = 1.0 - failed(sample);
    let is_certain = compared.z >= SIGNIFICANT && compared.failed - compared.others >= LEAST_GAP;
    let is_bad = sample.requests >= test.least_requests.max(1) && rate < threshold && is_certain;
    is_bad.then_some(Reason::SuccessRate {
        rate,
        threshold,
        mean,
    })
}

fn by_peers(sample: Sample, rules: &Rules, compared: Compared) -> Option<Reason> {
    let test = rules.peers?;
    let least = f64::from(test.least_requests.max(1));
    let is_judged = f64::from(sample.requests) >= least && compared.others_requests >= least;
    let is_bad = compared.failed - compared.others >= test.level && compared.z >= SIGNIFICANT;
    (is_judged && is_bad).then_some(Reason::Peers {
        failed: compared.failed,
        others: compared.others,
        z: compared.z,
    })
}

/// Mean success rate of those with enough requests, and the threshold; none with too few of them.
fn spread(samples: &[Sample], test: Threshold, least_endpoints: usize) -> Option<(f64, f64)> {
    let rates = || {
        let enough = |s: &&Sample| s.requests >= test.least_requests.max(1);
        samples.iter().filter(enough).map(|s| 1.0 - failed(*s))
    };
    let count = rates().count();
    if count < least_endpoints.max(2) {
        return None;
    }
    let mean = rates().sum::<f64>() / count as f64;
    let variance = rates().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count as f64;
    Some((mean, mean - test.level * variance.sqrt()))
}

/// The two-proportion z statistic, with the pooled variance.
fn compare(sample: Sample, (requests, failures): (f64, f64)) -> Compared {
    let (n, bad) = floats(sample);
    let (m, worse) = (requests - n, failures - bad);
    let (failed, others) = (bad / n.max(1.0), worse / m.max(1.0));
    let pooled = failures / requests.max(1.0);
    let error = (pooled * (1.0 - pooled) * (1.0 / n.max(1.0) + 1.0 / m.max(1.0))).sqrt();
    let z = if error > 0.0 {
        (failed - others) / error
    } else {
        0.0
    };
    Compared {
        failed,
        others,
        others_requests: m,
        z,
    }
}

fn floats(sample: Sample) -> (f64, f64) {
    let requests = f64::from(sample.requests);
    (requests, f64::from(sample.failures).min(requests))
}

fn failed(sample: Sample) -> f64 {
    let (requests, failures) = floats(sample);
    failures / requests.max(1.0)
}

// === impl Rules ===

impl Rules {
    /// The rules of a pool.
    #[must_use]
    pub fn new(config: &Outlier) -> Self {
        let percentage = &config.failure_percentage;
        let rate = &config.success_rate;
        let peers = &config.peers;
        let test = |is_on: bool, level: f64, least_requests: u32| {
            (config.enabled && is_on).then_some(Threshold {
                level,
                least_requests,
            })
        };
        Self {
            failure_percentage: test(
                percentage.enabled,
                percentage.threshold.ratio(),
                percentage.min_requests,
            ),
            success_rate: test(rate.enabled, rate.stdev_factor, rate.min_requests),
            least_endpoints: rate.min_servers as usize,
            peers: test(peers.enabled, peers.difference.ratio(), peers.min_requests),
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::FailurePercentage { .. } => "failure_percentage",
            Self::SuccessRate { .. } => "success_rate",
            Self::Peers { .. } => "peers",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FailurePercentage {
                failed,
                threshold,
                requests,
            } => write!(
                f,
                "{:.1}% of {requests} requests failed (threshold {:.1}%)",
                100.0 * failed,
                100.0 * threshold
            ),
            Self::SuccessRate {
                rate,
                threshold,
                mean,
            } => write!(
                f,
                "{:.1}% succeeded, below {:.1}% (mean of the pool {:.1}%)",
                100.0 * rate,
                100.0 * threshold,
                100.0 * mean
            ),
            Self::Peers { failed, others, z } => write!(
                f,
                "{:.1}% failed, against {:.1}% of the others' (z = {z:.1})",
                100.0 * failed,
                100.0 * others
            ),
        }
    }
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
