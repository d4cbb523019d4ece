//! Metrics: every family in one place, and resolved handles for the hot path.
//!
//! A family is registered once; routes, pools and endpoints hold handles that were resolved when they
//! were made, so that counting a request is a few atomic additions and no label look-up. Names follow
//! `docs/metrics.md`, which a test holds against this file.

mod families;
mod handles;

pub use families::Families;
pub use handles::{EndpointMetrics, PoolMetrics, RouteMetrics};

use lb_core::reason::Reason;
use prometheus::{Encoder, IntCounter, Registry, TextEncoder};
use std::collections::HashMap;

/// The registry of a process and the families in it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    process: Registry,
    /// The families.
    pub families: Families,
    rejected: Vec<IntCounter>,
}

// === impl Metrics ===

impl Metrics {
    /// Registers everything. `tier` and, on regional replicas, `region` become constant labels.
    ///
    /// # Errors
    /// A name or a label that Prometheus refuses: a bug of ours.
    pub fn new(tier: &str, region: Option<&str>) -> prometheus::Result<Self> {
        let mut labels = HashMap::from([("tier".to_owned(), tier.to_owned())]);
        if let Some(region) = region {
            labels.insert("region".to_owned(), region.to_owned());
        }
        let registry = Registry::new_custom(Some("lb".to_owned()), Some(labels))?;
        let families = Families::register(&registry)?;
        families
            .build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let rejected = Reason::all()
            .iter()
            .map(|reason| families.rejected.with_label_values(&[reason.label()]))
            .collect();
        Ok(Self {
            registry,
            process: Registry::new(),
            families,
            rejected,
        })
    }

    /// Counts a request that ended for `reason`.
    pub fn reject(&self, reason: Reason) {
        if let Some(counter) = self.rejected.get(reason.index()) {
            counter.inc();
        }
    }

    /// Counts a request that was refused before it had a route, by the fault's label.
    pub fn reject_as(&self, label: &str) {
        self.families.rejected.with_label_values(&[label]).inc();
    }

    /// All families in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(self.process.gather());
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            log::warn!("rendering metrics: {error}");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}
