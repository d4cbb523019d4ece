//! The overload of this process: what presses, and what it does less.
//!
//! When to do less is `lb_core::overload`. Here its inputs are measured and its level is read:
//! - **Lag.** Each event loop notes how late its ticker of 100 ms fires ([`crate::worker::Pulse`]); the control thread takes
//!   the largest once a second. A loop that stands still fires nothing, so the time since its last beat counts as well.
//! - **Memory.** Resident memory of the process, against the configured limit or that of its control group ([`memory`]).
//!
//! The level is one byte that the data path reads: `NoKeepalive` closes HTTP/1 connections after their answer and idle HTTP/2
//! connections; `RefuseNew` closes new connections at once, answers new requests 503, and makes the replica unready,
//! so that the tier above goes elsewhere. Running requests go on. The admin listener has a thread of its own and is not asked.
//!
//! Rejected: memory of the whole control group. It contains the page cache, which the kernel takes back by itself.

pub mod memory;

use crate::upstream::Cause;
use lb_core::config::model;
use lb_core::http::tier::Priority;
use lb_core::overload::{Change, Level, Marks, Overload};
use lb_core::status::OverloadStatus;
use lb_core::time::Instant;
use prometheus::{Gauge, IntGauge};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

use crate::metrics::Families;
use crate::upstream::{Admission, AdmissionMetrics, Protection};

/// The `pool` label of requests that were refused before they had one.
const NO_POOL: &str = "";

/// How much this process does now. Written by the control thread, read by all.
#[derive(Debug)]
pub struct ProcessOverload {
    level: AtomicU8,
    /// For those who wait for a change.
    changed: watch::Sender<Level>,
    seen: Mutex<Seen>,
    lag: Gauge,
    gauges: [Gauge; 2],
    shown: IntGauge,
    /// Counts what is refused.
    refused: Arc<Admission>,
}

/// What the last look saw.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    lag: Duration,
    used: u64,
    limit: Option<u64>,
}

/// Looks once a second; owned by the control thread.
#[derive(Debug)]
pub(crate) struct Watch {
    state: Overload,
    memory: memory::Memory,
}

// === impl ProcessOverload ===

impl ProcessOverload {
    /// At its full strength.
    #[must_use]
    pub fn new(families: &Families) -> Self {
        let metrics = AdmissionMetrics::new(families, NO_POOL);
        Self {
            level: AtomicU8::new(Level::Normal as u8),
            changed: watch::Sender::new(Level::Normal),
            seen: Mutex::default(),
            lag: families.event_loop_lag.clone(),
            gauges: [families.memory_used.clone(), families.memory_limit.clone()],
            shown: families.overload_level.clone(),
            refused: Admission::new(&Protection::default(), metrics, 0, Instant::ZERO),
        }
    }

    /// Whether connections are closed after their answer.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.level.load(Relaxed) >= Level::NoKeepalive as u8
    }

    /// Whether new work is refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.level.load(Relaxed) >= Level::RefuseNew as u8
    }

    /// Counts a refused request.
    pub(crate) fn shed(&self, priority: Priority) {
        self.refused.shed(priority, Cause::Process);
    }

    /// Tells of changes of the level.
    pub(crate) fn watch(&self) -> watch::Receiver<Level> {
        self.changed.subscribe()
    }

    /// The level, and what pressed at the last look.
    #[must_use]
    pub fn status(&self) -> OverloadStatus {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        OverloadStatus {
            level: self.changed.borrow().label().to_owned(),
            lag_ms: seen.lag.as_secs_f64() * 1e3,
            memory_bytes: seen.used,
            memory_limit_bytes: seen.limit,
        }
    }

    /// What holds, for people; none while all is done.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let status = self.status();
        let memory = match status.memory_limit_bytes {
            Some(limit) => format!("{} of {} MiB", status.memory_bytes >> 20, limit >> 20),
            None => format!("{} MiB", status.memory_bytes >> 20),
        };
        self.closes().then(|| {
            format!(
                "overload: {} (event loops lag {:.0} ms, memory {memory})",
                status.level, status.lag_ms
            )
        })
    }

    fn note(&self, seen: Seen, level: Level) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        self.lag.set(seen.lag.as_secs_f64());
        for (gauge, bytes) in self.gauges.iter().zip([Some(seen.used), seen.limit]) {
            gauge.set(bytes.unwrap_or(0) as f64);
        }
        self.shown.set(level as i64);
        self.level.store(level as u8, Relaxed);
        self.changed
            .send_if_modified(|known| std::mem::replace(known, level) != level);
    }
}

// === impl Watch ===

impl Watch {
    pub(crate) fn new(config: &model::Overload) -> Self {
        Self {
            state: Overload::new(marks(config)),
            memory: memory::Memory::of_this_process(),
        }
    }

    /// Takes a look; `lag` is the largest since the last one.
    pub(crate) fn look(
        &mut self,
        config: &model::Overload,
        lag: Duration,
        published: &ProcessOverload,
        now: Instant,
    ) {
        let used = self.memory.used().unwrap_or(0);
        let limit = config.memory_limit.map(|size| size.get());
        let limit = limit.or_else(|| self.memory.limit());
        self.state.reconfigure(marks(config));
        let (share, pressing) = if config.enabled {
            (limit.map(|limit| used as f64 / limit.max(1) as f64), lag)
        } else {
            (None, Duration::ZERO)
        };
        let change = self.state.update(share, pressing, now);
        published.note(Seen { lag, used, limit }, self.state.level());
        if let Some(change) = change {
            tell(change, published);
        }
    }
}

fn tell(Change { from, to, pressure }: Change, published: &ProcessOverload) {
    let status = published.status();
    log::warn!(
        "overload: {} -> {} ({:?}; event loops lag {:.0} ms, memory {} of {:?} bytes)",
        from.label(),
        to.label(),
        pressure,
        status.lag_ms,
        status.memory_bytes,
        status.memory_limit_bytes,
    );
}

fn marks(config: &model::Overload) -> Marks {
    Marks {
        memory: [
            config.memory_no_keepalive.ratio(),
            config.memory_refuse.ratio(),
        ],
        lag: [config.lag_no_keepalive.get(), config.lag_refuse.get()],
    }
}
