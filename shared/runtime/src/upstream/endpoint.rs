//! One address that requests can be sent to, with what is known of it.
//!
//! An endpoint outlives the configuration that named it: a reload that keeps its pool, name, address
//! and target keeps the very object, and with it the in-flight count, the latency estimate and the
//! health state.

use super::{Conviction, Ordered, Standing};
use crate::clock;
use crate::metrics::EndpointMetrics;
use crate::probe::CheckSnapshot;
use lb_core::balance::{EndpointId, Load};
use lb_core::config::model::Outlier;
use lb_core::health::ProbeResult;
use lb_core::idle_limit::IdleLimit;
use lb_core::name::ServerName;
use lb_core::outlier::consecutive::{ConsecutiveErrors, Eject, Ejector};
use lb_core::time::Instant;
use pingora_core::upstreams::peer::HttpPeer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What makes an endpoint the same across reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// The pool's or region's name.
    pub pool: String,
    /// The server's or replica's name.
    pub server: ServerName,
    /// Its address.
    pub address: SocketAddr,
    /// How it is spoken to: [`super::Target::fingerprint`].
    pub target: String,
}

/// The active checks' verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// No probe has passed or decided yet.
    Unknown = 0,
    /// Probes pass, or the pool has none.
    Healthy = 1,
    /// Probes fail.
    Unhealthy = 2,
}

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Unique in the process.
    pub id: EndpointId,
    /// What makes it the same across reloads.
    pub key: EndpointKey,
    /// In-flight requests and latency.
    pub load: Arc<Load>,
    /// How long a connection to it may be idle, as far as it is known.
    pub idle_limit: IdleLimit,
    /// Gateway errors in a row.
    pub errors: ConsecutiveErrors,
    /// How it stands among its peers.
    pub standing: Standing,
    ejector: Mutex<Ejector>,
    /// Connection parameters.
    pub peer: HttpPeer,
    /// Resolved metric handles.
    pub metrics: EndpointMetrics,
    health: AtomicU8,
    ejected_until: AtomicU64,
    leaves_until: AtomicU64,
    drained: AtomicBool,
    off: AtomicBool,
    ejections: AtomicU64,
    last_check: Mutex<Option<CheckSnapshot>>,
    requests: AtomicU64,
    failures: AtomicU64,
}

// === impl Endpoint ===

impl Endpoint {
    /// A new endpoint, of unknown health.
    #[must_use]
    pub fn new(
        id: EndpointId,
        key: EndpointKey,
        load: Load,
        outlier: &Outlier,
        peer: HttpPeer,
        metrics: EndpointMetrics,
    ) -> Self {
        Self {
            id,
            key,
            load: Arc::new(load),
            idle_limit: IdleLimit::default(),
            errors: ConsecutiveErrors::new(outlier.consecutive_errors),
            standing: Standing::default(),
            ejector: Mutex::new(Ejector::new(outlier)),
            peer,
            metrics,
            health: AtomicU8::new(Health::Unknown as u8),
            ejected_until: AtomicU64::new(0),
            leaves_until: AtomicU64::new(0),
            drained: AtomicBool::new(false),
            off: AtomicBool::new(false),
            ejections: AtomicU64::new(0),
            last_check: Mutex::default(),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The active checks' verdict.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            _ => Health::Unknown,
        }
    }

    /// Sets the verdict; `true` when it changed. Back from being unhealthy, it starts slowly.
    pub fn set_health(&self, health: Health, now: Instant) -> bool {
        let before = self.health.swap(health as u8, Relaxed);
        let changed = before != health as u8;
        if changed && health == Health::Healthy {
            self.standing
                .recovered(before == Health::Unhealthy as u8, now);
            let _ = self.errors.record(false);
        }
        changed
    }

    /// Since when it is back, from an ejection or from being unhealthy; none when it never left, or is out.
    #[must_use]
    pub fn returned_at(&self, now: Instant) -> Option<Instant> {
        let ended = Instant::from_nanos(self.ejected_until.load(Relaxed));
        let ended = Some(ended).filter(|at| *at > Instant::ZERO && *at <= now);
        self.standing.recovered_at().max(ended)
    }

    /// Ends an ejection that says nothing any more: nobody is left who does better.
    pub(super) fn pardon(&self, now: Instant) {
        if self.ejected_until(now).is_some() {
            self.ejected_until.store(now.as_nanos(), Relaxed);
            self.ejector().pardon(now);
        }
    }

    /// Takes over a changed configuration; what is known of the endpoint stays.
    pub fn reconfigure(&self, outlier: &Outlier) {
        self.errors.set_threshold(outlier.consecutive_errors);
        self.ejector().reconfigure(outlier);
        self.standing.reconfigure(outlier);
    }

    /// Ejects, when it is not out already; tells how often in a row and until when.
    pub fn eject(&self, conviction: Conviction, now: Instant) -> Option<Eject> {
        let eject = clock::with_rng(|rng| self.ejector().convict(now, rng))?;
        self.standing.convicted(conviction);
        self.ejected_until.store(eject.until.as_nanos(), Relaxed);
        self.ejections.fetch_add(1, Relaxed);
        Some(eject)
    }

    fn ejector(&self) -> MutexGuard<'_, Ejector> {
        self.ejector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a connection may have been idle and still be used.
    #[must_use]
    pub fn idle_limit(&self) -> Duration {
        let configured = self.peer.options.idle_timeout.unwrap_or_default();
        self.idle_limit.limit(configured)
    }

    /// The time at which the ejection ends, when it has not.
    #[must_use]
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        let until = Instant::from_nanos(self.ejected_until.load(Relaxed));
        (until > now).then_some(until)
    }

    /// Until when it gets no new requests, because it said that it leaves.
    #[must_use]
    pub fn leaves_until(&self, now: Instant) -> Option<Instant> {
        let until = Instant::from_nanos(self.leaves_until.load(Relaxed));
        (until > now).then_some(until)
    }

    /// Notes that it leaves; `true` when that is news.
    pub(super) fn note_leaving(&self, until: Instant, now: Instant) -> bool {
        let before = self.leaves_until.swap(until.as_nanos(), Relaxed);
        before <= now.as_nanos()
    }

    /// Forgets that it leaves; `true` when that is news.
    pub(super) fn note_staying(&self, now: Instant) -> bool {
        self.leaves_until.swap(0, Relaxed) > now.as_nanos()
    }

    /// Whether an operator drained it.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drained.load(Relaxed)
    }

    /// Whether an operator turned it off, which no need undoes.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off.load(Relaxed)
    }

    /// Takes over what an operator ordered; `true` when that is news. Who comes back starts slowly.
    pub fn set_ordered(&self, ordered: Ordered, now: Instant) -> bool {
        let drained = ordered != Ordered::In;
        let was_off = self.off.swap(ordered == Ordered::Off, Relaxed);
        let before = self.drained.swap(drained, Relaxed);
        if before && !drained {
            self.standing.recovered(true, now);
        }
        before != drained || was_off != (ordered == Ordered::Off)
    }

    /// Ejections so far.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// Remembers a probe's outcome, for the status.
    pub fn set_last_check(&self, snapshot: CheckSnapshot) {
        *self
            .last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }

    /// The last probe's outcome.
    #[must_use]
    pub fn last_check(&self) -> Option<CheckSnapshot> {
        *self
            .last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The latency that was measured: of its answers, before the first of them of its last check.
    #[must_use]
    pub fn measured_latency(&self, now: Instant) -> Option<Duration> {
        if self.counts().0 > 0 {
            return Some(self.load.latency(now));
        }
        match self.last_check()?.last.result {
            ProbeResult::Pass { latency } => Some(latency),
            ProbeResult::Fail { .. } => None,
        }
    }

    /// Takes in a finished try for the comparison with its peers.
    pub fn note_outcome(&self, failed: bool, now: Instant) {
        self.standing.window.record(failed, now);
    }

    /// Counts a try and whether it failed.
    pub fn count(&self, failed: bool) {
        self.requests.fetch_add(1, Relaxed);
        if failed {
            self.failures.fetch_add(1, Relaxed);
        }
    }

    /// Tries and failures so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.requests.load(Relaxed), self.failures.load(Relaxed))
    }
}
