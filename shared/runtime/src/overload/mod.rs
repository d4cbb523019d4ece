//! The overload of this process: what presses, and what it does less.
//!
//! When to do less is `lb_core::overload`. Here its inputs are measured and its level is read:
//! - **Lag.** Each event loop notes how late its ticker of 100 ms fires ([`crate::worker::Pulse`]); the control thread takes
//!   the largest once a second. A loop that stands still fires nothing, so the time since its last beat counts as well.
//! - **Memory.** That of the control group against its limit, or of the process against a configured one ([`memory`]), once a second.
//!   A flood fills a small pod faster than that: twenty times a second a glance at the process's own memory tells whether to look at once.
//!
//! The level is one byte that the data path reads: `NoKeepalive` closes HTTP/1 connections after their answer and idle HTTP/2
//! connections; `RefuseNew` closes new connections at once (but those of trusted peers), answers new requests 503, and makes the replica unready,
//! so that the tier above goes elsewhere. Running requests go on. The admin listener has a thread of its own and is not asked.

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
    /// Of the process by itself.
    own: u64,
}

/// Looks once a second, and glances more often; owned by the control thread.
#[derive(Debug)]
pub(crate) struct Watch {
    state: Overload,
    memory: memory::Memory,
    last: Seen,
    /// The process's own memory at the last look or glance.
    glanced: u64,
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
            last: Seen::default(),
            glanced: 0,
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
        memory::give_back();
        self.last = Seen {
            lag,
            ..self.measure(config)
        };
        self.glanced = self.last.own;
        self.state.reconfigure(marks(config));
        let (share, pressing) = if config.enabled {
            (self.last.share(), lag)
        } else {
            (None, Duration::ZERO)
        };
        let change = self.state.update(share, pressing, now);
        self.publish(change, published);
    }

    /// Between two looks: what has grown since counts, as a look may come too late for it; and what grew since the last glance counts
    /// twice, as it may grow so until the next.
    pub(crate) fn glance(&mut self, config: &model::Overload, published: &ProcessOverload) {
        if !config.enabled || self.last.limit.is_none() {
            return;
        }
        let own = self.memory.quick().unwrap_or(0);
        let ahead = own.saturating_sub(self.glanced);
        self.glanced = own;
        let mut guess = self.last;
        guess.used += own.saturating_sub(self.last.own) + ahead;
        if guess.share().unwrap_or(0.0) < self.state.first_mark() {
            return;
        }
        self.last = Seen {
            lag: self.last.lag,
            ..self.measure(config)
        };
        let mut soon = self.last;
        soon.used += ahead;
        let change = self.state.rise(soon.share().unwrap_or(0.0));
        if change.is_some() {
            self.publish(change, published);
        }
    }

    fn measure(&self, config: &model::Overload) -> Seen {
        let own = self.memory.quick().unwrap_or(0);
        let (used, limit) = match (config.memory_limit, self.memory.limit()) {
            (Some(size), _) => (own, Some(size.get())),
            (None, Some(limit)) => (self.memory.of_group().unwrap_or(own), Some(limit)),
            (None, None) => (own, None),
        };
        Seen {
            lag: Duration::ZERO,
            used,
            limit,
            own,
        }
    }

    fn publish(&self, change: Option<Change>, published: &ProcessOverload) {
        published.note(self.last, self.state.level());
        if let Some(change) = change {
            tell(change, published);
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Of the limit; none without one.
    fn share(&self) -> Option<f64> {
        let limit = self.limit?.max(1);
        Some(self.used as f64 / limit as f64)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_it_had_at_the_start_has_not_grown() {
        let metrics = Metrics::new("regional", Some("eu")).unwrap();
        let published = ProcessOverload::new(&metrics.families);
        let mut config = model::Overload::default();
        let mut watch = Watch::new(&config);
        let own = watch.memory.quick().unwrap();
        // Far from the marks, unless all of it counts as grown.
        let limit = serde_json::from_value((own * 8 / 5).to_string().into());
        config.memory_limit = Some(limit.unwrap());
        watch.look(&config, Duration::ZERO, &published, Instant::ZERO);
        watch.glance(&config, &published);
        assert_eq!(published.status().level, "normal");
    }
}
