//! The threads that serve requests.
//!
//! By default each thread has its own event loop, its own listening sockets and its own upstream
//! connections, so that a request never crosses threads. The figures that decided this are in
//! `bench/README.md`. `threading: work_stealing` runs one loop over all threads instead.

use crate::access_log::AccessLog;
use crate::clock;
use crate::lifecycle::Lifecycle;
use crate::listen::{self, BoundListener, Caps};
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::upstream::Dialer;
use arc_swap::ArcSwap;
use lb_core::config::model::Threading;
use lb_core::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often an event loop shows that it turns.
const PULSE: Duration = Duration::from_millis(500);
/// A loop that has not turned for this long is stuck.
const PULSE_LIMIT: Duration = Duration::from_secs(5);

/// What all threads share.
#[derive(Debug)]
pub struct Shared {
    /// What the data path runs by.
    pub plan: ArcSwap<Plan>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Client connections.
    pub caps: Arc<Caps>,
    /// The stage of the process.
    pub lifecycle: Lifecycle,
    /// The access log.
    pub log: AccessLog,
    /// Requests begun and ended.
    pub requests: Requests,
    /// Makes the region report.
    pub reporter: Reporter,
    /// Whether the event loops turn.
    pub pulse: Pulse,
}

/// Counts of requests; in flight is the difference, exact because a guard ends each.
#[derive(Debug, Default)]
pub struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
}

/// When each event loop last turned.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: Mutex<Vec<Arc<AtomicU64>>>,
}

/// A request that is in flight.
#[must_use]
#[derive(Debug)]
pub(crate) struct Ongoing(Arc<Shared>);

/// One event loop's upstream connections and what it shares with the others.
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialer: Dialer,
    me: Weak<Self>,
}

// === impl Requests ===

impl Requests {
    /// Requests begun since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Requests that ended with a gateway error of ours since the start.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let ended = self.ended.load(Relaxed);
        self.begun.load(Relaxed).saturating_sub(ended)
    }

    pub(crate) fn fail(&self) {
        self.failed.fetch_add(1, Relaxed);
    }
}

// === impl Pulse ===

impl Pulse {
    /// Whether every loop has turned within the last seconds.
    #[must_use]
    pub fn is_alive(&self, now: Instant) -> bool {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |beat: &Arc<AtomicU64>| {
            now.since(Instant::from_nanos(beat.load(Relaxed))) < PULSE_LIMIT
        };
        beats.iter().all(fresh)
    }

    fn register(&self, beat: Arc<AtomicU64>) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.push(beat);
    }

    /// Beats for as long as the calling event loop turns.
    async fn beat(&self) {
        let beat = Arc::new(AtomicU64::new(clock::now().as_nanos()));
        self.register(beat.clone());
        loop {
            tokio::time::sleep(PULSE).await;
            beat.store(clock::now().as_nanos(), Relaxed);
        }
    }
}

impl Ongoing {
    pub(crate) fn begin(shared: &Arc<Shared>) -> Self {
        shared.requests.begun.fetch_add(1, Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.0.requests.ended.fetch_add(1, Relaxed);
    }
}

// === impl Worker ===

impl Worker {
    fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            shared,
            dialer: Dialer::new(),
            me: me.clone(),
        })
    }

    pub(crate) fn handle(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }
}

/// Starts the threads. `listeners` holds, for each listener, one bound socket a thread (or one in all
/// when work is stolen). The threads end when the process stops accepting and its connections are done.
///
/// # Errors
/// The operating system gives no thread or no event loop.
pub fn start(
    shared: &Arc<Shared>,
    listeners: Vec<Vec<BoundListener>>,
    threading: Threading,
    threads: usize,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    match threading {
        Threading::WorkStealing => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name("serve")
                .enable_all()
                .build()?;
            let all = listeners.into_iter().flatten().collect();
            let shared = shared.clone();
            let run = move || runtime.block_on(serve(shared, all));
            Ok(vec![
                std::thread::Builder::new()
                    .name("serve".into())
                    .spawn(run)?,
            ])
        }
        Threading::PerCore => {
            let mut columns: Vec<Vec<BoundListener>> = (0..threads).map(|_| Vec::new()).collect();
            for row in listeners {
                columns
                    .iter_mut()
                    .zip(row)
                    .for_each(|(column, socket)| column.push(socket));
            }
            let spawn = |(index, sockets): (usize, Vec<BoundListener>)| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let shared = shared.clone();
                let run = move || runtime.block_on(serve(shared, sockets));
                std::thread::Builder::new()
                    .name(format!("serve-{index}"))
                    .spawn(run)
            };
            columns.into_iter().enumerate().map(spawn).collect()
        }
    }
}

/// Accepts on all sockets, then waits until no request is in flight.
async fn serve(shared: Arc<Shared>, sockets: Vec<BoundListener>) {
    let alive = shared.clone();
    let pulse = tokio::spawn(async move { alive.pulse.beat().await });
    let worker = Worker::new(shared);
    let sweeper = worker.clone();
    let sweep = tokio::spawn(async move { sweeper.dialer.keep_swept().await });
    let accepting: Vec<_> = sockets
        .into_iter()
        .map(|socket| tokio::spawn(listen::run(worker.clone(), socket)))
        .collect();
    for task in accepting {
        if let Err(error) = task.await {
            log::error!("an accept loop failed: {error}");
        }
    }
    // The process decides when to end; until then connections of this loop go on.
    let _ = pulse.await;
    sweep.abort();
}
