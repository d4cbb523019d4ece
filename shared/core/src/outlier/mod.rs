//! Outlier ejection: traffic itself convicts an endpoint.
//!
//! # Problem
//! Active checks ask one URL once a second. An endpoint whose real requests all fail, or that fails
//! between two probes, has to leave within a handful of requests.
//!
//! # Choice
//! [`consecutive`] ejects after a number of gateway errors in a row, for a time that grows with each
//! repetition. The pool's cap, [`may_eject`], stands above all detectors: when more than the allowed
//! share looks bad, the likelier fault is ours or the pool's as a whole, and removing the rest would
//! turn trouble into an outage. A passing active check does not end an ejection, as the probe's URL may
//! work while the traffic's don't.
//!
//! [`statistics`] finds, once a second, who fails more than its peers: an endpoint that fails one request
//! in three never fails five in a row for long. [`latency`] takes weight from who is much slower than them.

pub mod consecutive;
pub mod latency;
pub mod statistics;
pub mod window;

use crate::config::scalar::Percent;

/// Whether one more of a pool's `total` endpoints may be ejected, when `ejected` are already.
///
/// The share stays within `max_ejected`, except that one endpoint always may go; and one always stays.
#[must_use]
pub fn may_eject(ejected: usize, total: usize, max_ejected: Percent) -> bool {
    let after = ejected.saturating_add(1);
    if after >= total {
        return false;
    }
    // The addend absorbs the rounding of the product: 30 % of 10 are 3, not 2.999…
    ejected == 0 || after as f64 <= max_ejected.ratio() * total as f64 + 1e-9
}

/// Whether a response of this status is a failure of the endpoint in comparison with its peers. Wider than a
/// gateway error: an endpoint that answers 500 where its peers don't is broken, and when they all do nobody stands out. 501
/// and 505 speak of the request.
#[must_use]
pub const fn is_failed_status(status: u16) -> bool {
    matches!(status, 500 | 502..=504 | 506..=599)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_endpoint_may_always_be_ejected_when_another_is_left() {
        assert!(may_eject(0, 2, Percent::new(0.0)));
        assert!(may_eject(0, 3, Percent::new(10.0)));
        assert!(!may_eject(1, 3, Percent::new(10.0)));
    }

    #[test]
    fn the_last_endpoint_is_never_ejected() {
        for (ejected, total) in [(0, 0), (0, 1), (1, 2), (9, 10), (usize::MAX, 3)] {
            assert!(
                !may_eject(ejected, total, Percent::new(100.0)),
                "{ejected} of {total}"
            );
        }
    }

    #[test]
    fn whole_shares_are_not_lost_to_rounding() {
        assert!(may_eject(2, 10, Percent::new(30.0)));
        assert!(!may_eject(3, 10, Percent::new(30.0)));
    }

    proptest! {
        #[test]
        fn ejecting_as_long_as_allowed_ends_within_the_cap(total in 0usize..2000, cap in 0.0f64..=100.0) {
            let cap = Percent::new(cap);
            let ejected = (0..total).find(|&n| !may_eject(n, total, cap)).unwrap_or(0);
            prop_assert!(ejected < total.max(1));
            prop_assert!(ejected <= 1 || ejected as f64 <= cap.ratio() * total as f64 + 1e-6);
        }
    }
}
