//! What all verdicts together may take out: the cap, and failing open.
//!
//! # Problem
//! Each region's verdict is right by itself, and all of them together can be an outage: a broken check, a bad rollout of
//! the reporting code, or this replica's own uplink condemns every region at one time.
//!
//! # Choice
//! [`limit`] stands above the verdicts. No more than half of the regions go out without an operator; when no region is
//! left, all of them are used as if they were well. A region that went out first stays out, so that the cap does not
//! rotate. Those beyond the cap keep a trickle: if the detector was the fault, its successes acquit the region at once
//! ([`evidence`](super::evidence)); if two of three regions are really frozen, the retries absorb it. A whole share for
//! what checks alone condemned was tried and is wrong: then the second region that freezes takes its users with it, as
//! no answer of it convicts it before the first-byte timeout, and nothing after that.
//!
//! [`Isolation`] asks whether the fault is ours. Independent regions seldom die within seconds of each other: when most of
//! them can't be reached from here although their last reports were good, this replica is cut off, and says so. While a
//! region is left, that one serves all the same: if most regions really died together, every replica sees the same, and
//! taking them all out for it would end the service. Only with none left is it a reason not to be ready.
//!
//! # Limits
//! A fault that really hits all regions at one moment looks like isolation from every replica. All of them then say that
//! they are not ready; the layer above fails open in its turn.

use crate::time::Instant;
use std::time::Duration;

/// Share that a condemned region keeps when the cap retains it.
const TRICKLE: f64 = 0.02;
/// Regions lost within this of each other were lost at one time.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long regions must be in reach again before a replica calls itself connected.
const CONNECTED: Duration = Duration::from_secs(5);

/// What the evidence wants for one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// An operator drained it or turned it off, or its replicas leave in order: it doesn't count.
    pub by_operator: bool,
    /// What the evidence says.
    pub want: Want,
    /// Since when.
    pub since: Instant,
}

/// What the evidence wants of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// In service.
    In,
    /// No evidence yet.
    Undecided,
    /// Out, by probes or reports.
    OutByChecks,
    /// Out, by its own traffic.
    OutByTraffic,
}

/// What is done with one region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// What the evidence says.
    AsJudged,
    /// Kept in service with this share although the evidence is against it, because too much would go out.
    Retained(f64),
}

/// What this replica sees of one region, for the question whether it is cut off itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// An operator drained it or turned it off, or its replicas leave in order: it doesn't count.
    pub by_operator: bool,
    /// Probes or traffic say that it can't be reached from here, since then.
    pub lost: Option<Instant>,
    /// Its last report was good.
    pub reported_well: bool,
}

/// Whether this replica is cut off from the regions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Isolation {
    isolated: bool,
    connected_since: Option<Instant>,
}

/// Bounds what goes out to `max_removed` (0 to 1) of the regions. `verdicts` gets one for each claim. True when no region
/// was left and all are used (fail open).
pub fn limit(claims: &[Claim], max_removed: f64, verdicts: &mut Vec<Verdict>) -> bool {
    verdicts.clear();
    verdicts.resize(claims.len(), Verdict::AsJudged);
    let mine = || claims.iter().filter(|claim| !claim.by_operator);
    let total = mine().count();
    let serving = mine().filter(|claim| claim.want == Want::In).count();
    if total > 0 && serving == 0 {
        let undecided = mine().any(|claim| claim.want == Want::Undecided);
        // What nobody has judged yet is better than what was condemned.
        let open = |claim: &Claim| !undecided || claim.want == Want::Undecided;
        for (claim, verdict) in claims.iter().zip(verdicts.iter_mut()) {
            if !claim.by_operator && claim.want != Want::In && open(claim) {
                *verdict = Verdict::Retained(1.0);
            }
        }
        return true;
    }
    // The addend absorbs the rounding of the product.
    let allowed = (max_removed * total as f64 + 1e-9) as usize;
    let mut out: Vec<(Instant, usize)> = claims
        .iter()
        .enumerate()
        .filter(|(_, claim)| !claim.by_operator && claim.want.is_out())
        .map(|(index, claim)| (claim.since, index))
        .collect();
    out.sort_unstable();
    for (_, index) in out.into_iter().skip(allowed) {
        if let Some(verdict) = verdicts.get_mut(index) {
            *verdict = Verdict::Retained(TRICKLE);
        }
    }
    false
}

// === impl Want ===

impl Want {
    /// Whether the evidence takes the region out.
    #[must_use]
    pub const fn is_out(self) -> bool {
        matches!(self, Self::OutByChecks | Self::OutByTraffic)
    }
}

// === impl Isolation ===

impl Isolation {
    /// Takes in what is seen now; the new state when it changed.
    pub fn observe(&mut self, regions: &[Reach], now: Instant) -> Option<bool> {
        let mine = || regions.iter().filter(|region| !region.by_operator);
        let total = mine().count();
        let lost = || mine().filter_map(|r| r.lost.map(|at| (at, r.reported_well)));
        let most = |count: usize| total >= 2 && count * 2 > total;
        if self.isolated {
            if most(lost().count()) {
                self.connected_since = None;
            } else if now.since(*self.connected_since.get_or_insert(now)) >= CONNECTED {
                self.isolated = false;
                return Some(false);
            }
            return None;
        }
        let newest = lost().map(|(at, _)| at).max()?;
        let at_once = lost().filter(|(at, well)| *well && newest.since(*at) <= AT_ONCE);
        if !most(at_once.count()) {
            return None;
        }
        self.isolated = true;
        self.connected_since = None;
        Some(true)
    }

    /// Whether this replica is cut off.
    #[must_use]
    pub const fn is_isolated(&self) -> bool {
        self.isolated
    }
}

#[cfg(test)]
#[path = "removal_tests.rs"]
mod tests;
