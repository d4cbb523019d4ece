//! What a process has that a successor may want.

use super::journal::Journal;
use super::slot::Slot;
use crate::lifecycle::Lifecycle;
use crate::state::Orders;
use lb_core::status::Tier;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a process has to hand over.
#[derive(Debug)]
pub(crate) struct Estate {
    /// Its tier.
    pub(crate) tier: Tier,
    /// The listening sockets, each with its thread.
    pub(crate) slots: Vec<(usize, Arc<Slot>)>,
    /// The admin listener.
    pub(crate) admin: Arc<Slot>,
    /// The stage of the process.
    pub(crate) lifecycle: Lifecycle,
    /// What operators ordered.
    pub(crate) orders: Arc<Orders>,
    /// What is known of the upgrade.
    pub(crate) journal: Arc<Journal>,
    /// How long this process stands by after it has handed over.
    pub(super) stands_by: Duration,
    /// Its own predecessor may still serve again.
    pub(super) probation: Arc<AtomicBool>,
}

// === impl Estate ===

impl Estate {
    pub(crate) fn new(
        tier: Tier,
        slots: Vec<(usize, Arc<Slot>)>,
        admin: Arc<Slot>,
        lifecycle: Lifecycle,
        orders: Arc<Orders>,
        journal: Journal,
        stands_by: Duration,
    ) -> Self {
        Self {
            tier,
            slots,
            admin,
            lifecycle,
            orders,
            journal: Arc::new(journal),
            stands_by,
            probation: Arc::default(),
        }
    }
}
