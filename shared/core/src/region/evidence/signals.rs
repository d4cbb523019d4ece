//! What the three sources say at one step.

use crate::region::tally::Drained;

/// What is known of a region now, and what happened since the last step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signals {
    /// Its fresh reports, merged; none when they are missing or too old.
    pub report: Option<ReportView>,
    /// This replica's probes of its replicas.
    pub probes: ProbeTally,
    /// This replica's requests to it.
    pub traffic: Drained,
    /// All of its replicas say that they leave.
    pub leaving: bool,
}

/// What a report says of health.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReportView {
    /// Routable share of the servers' weight, 0 to 1.
    pub healthy: f64,
    /// Share of the requests that were refused for overload, 0 to 1.
    pub shed: f64,
}

/// The verdicts of this replica's probes on a region's replicas. The rest of `replicas` is undecided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeTally {
    /// Probes are sent at all.
    pub probing: bool,
    /// Replicas with a weight.
    pub replicas: u32,
    /// Those that pass.
    pub healthy: u32,
    /// Those that failed as often in a row as settles it (three times in the default).
    pub unhealthy: u32,
    /// Probes of any of them that passed since the last step.
    pub passes: u32,
}

// === impl Signals ===

impl Signals {
    /// Whether any source shows that the region lives.
    pub(super) fn is_alive(&self) -> bool {
        self.probes.healthy > 0
            || self.traffic.successes > 0
            || (!self.probes.probing && self.probes.replicas > 0)
    }
}

// === impl ProbeTally ===

impl ProbeTally {
    /// Every replica failed its probes.
    pub(super) const fn all_failed(&self) -> bool {
        self.probing && self.replicas > 0 && self.unhealthy >= self.replicas
    }

    /// At least one replica passes, or nothing is probed.
    pub(super) const fn is_good(&self) -> bool {
        self.healthy > 0 || !self.probing
    }
}
