//! What was counted, and the invariants over it.

use crate::global::Global;
use crate::regional::{Pool, Retries};
use lb_core::region::removal::Verdict;
use lb_core::time::Instant;

/// Counts of one second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Second {
    /// Requests that ended well.
    pub good: u64,
    /// Requests that failed, by the region that they failed in or 0.
    pub bad: u64,
    /// Those of them that were refused at once.
    pub refused: u64,
    /// Those of them that were refused while a usable region was plainly below the start of spill.
    pub needless: u64,
    /// Tries that reached each region.
    pub tries: Vec<u64>,
}

/// What happened in a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Requests by users, their own repetitions included.
    pub requests: u64,
    /// Tries that reached servers.
    pub server_tries: u64,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Latencies of successes, in milliseconds, by the second in which they ended.
    pub latencies: Vec<Vec<f64>>,
    /// A digest of everything in order: equal for equal seeds.
    pub digest: u64,
    /// The largest share of regions that went out without an operator, of one replica's regions.
    pub most_removed: f64,
}

// === impl Ledger ===

impl Ledger {
    /// The counts of the second of `now`.
    pub fn second(&mut self, now: Instant) -> &mut Second {
        let at = usize::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(usize::MAX);
        while self.seconds.len() <= at {
            self.seconds.push(Second::default());
            self.latencies.push(Vec::new());
        }
        &mut self.seconds[at]
    }

    /// Counts a try that reached a region.
    pub fn reached(&mut self, region: usize, now: Instant) {
        let tries = &mut self.second(now).tries;
        if tries.len() <= region {
            tries.resize(region + 1, 0);
        }
        tries[region] += 1;
    }

    /// Successes over all requests that ended in these seconds; 1 when none did.
    #[must_use]
    pub fn success(&self, from: usize, until: usize) -> f64 {
        let (good, bad) = self.ended(from, until);
        if good + bad == 0 {
            1.0
        } else {
            good as f64 / (good + bad) as f64
        }
    }

    /// Requests that ended well and badly in these seconds.
    #[must_use]
    pub fn ended(&self, from: usize, until: usize) -> (u64, u64) {
        let span = self.seconds.iter().take(until).skip(from);
        span.fold((0, 0), |(good, bad), s| (good + s.good, bad + s.bad))
    }

    /// Requests that were refused in these seconds although a usable region had plain room.
    #[must_use]
    pub fn needless(&self, from: usize, until: usize) -> u64 {
        let span = self.seconds.iter().take(until).skip(from);
        span.map(|s| s.needless).sum()
    }

    /// Tries per second that reached a region in these seconds.
    #[must_use]
    pub fn rate(&self, region: usize, from: usize, until: usize) -> f64 {
        let span = self.seconds.iter().take(until).skip(from);
        let tries: u64 = span
            .map(|s| s.tries.get(region).copied().unwrap_or(0))
            .sum();
        tries as f64 / (until - from) as f64
    }

    /// A quantile of the latencies in these seconds, in milliseconds.
    #[must_use]
    pub fn latency(&self, quantile: f64, from: usize, until: usize) -> f64 {
        let span = self.latencies.iter().take(until).skip(from);
        let mut all: Vec<f64> = span.flatten().copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        let at = (quantile * all.len().saturating_sub(1) as f64).round() as usize;
        all.get(at).copied().unwrap_or(0.0)
    }

    /// Mixes a fact into the digest.
    pub fn note(&mut self, fact: u64) {
        self.digest = lb_core::balance::hash::mix(self.digest ^ fact);
    }
}

/// What must hold of a pool at any time.
///
/// # Panics
/// When it doesn't.
pub fn check_pool(pool: &Pool, now: Instant, capped: bool, budget: bool) {
    let (ejected, total) = (pool.ejected(now), pool.members.len());
    if capped {
        let most = (total / 2).max(1).min(total.saturating_sub(1));
        assert!(ejected <= most, "{ejected} of {total} are ejected");
    }
    if budget {
        check_retries(&pool.retries, now);
    }
}

/// Retries stay within the budget: over all time, and within the last ten seconds.
///
/// # Panics
/// When they don't.
pub fn check_retries(retries: &Retries, now: Instant) {
    let seconds = now.as_nanos() as f64 / 1e9 + 10.0;
    let (made, requests) = (retries.made, retries.requests);
    let most = 0.2 * requests as f64 + 10.0 * seconds;
    assert!(made as f64 <= most, "{made} retries of {requests} requests");
    let (requests, made) = retries.budget.counts(now);
    // What was allowed by requests that are forgotten since is still counted for up to ten seconds.
    let most = 0.2 * retries.requests.min(requests * 20 + 1000) as f64 + 210.0;
    assert!(made as f64 <= most, "{made} retries of {requests} in 10 s");
}

/// What must hold of a global replica at any time; gives the share of regions that are out without an operator.
///
/// # Panics
/// When it doesn't.
pub fn check_global(global: &Global, now: Instant, removal: bool) -> f64 {
    let mine = || {
        global
            .regions
            .iter()
            .zip(&global.verdicts)
            .filter(|(r, _)| !r.drained)
    };
    let out = mine()
        .filter(|(r, v)| r.evidence.is_out() && **v == Verdict::AsJudged)
        .count();
    let undecided =
        mine().any(|(r, _)| !r.evidence.is_out() && !r.evidence.condition().is_usable());
    let total = mine().count();
    if removal {
        assert!(
            out * 2 <= total || undecided,
            "{out} of {total} regions are out"
        );
    }
    let seconds = now.as_nanos() / 1_000_000_000;
    for (at, region) in global.regions.iter().enumerate() {
        let most = 3 + seconds / 30;
        assert!(
            region.flips <= most,
            "region {at} went out {} times in {seconds} s",
            region.flips
        );
    }
    if total == 0 {
        0.0
    } else {
        out as f64 / total as f64
    }
}
