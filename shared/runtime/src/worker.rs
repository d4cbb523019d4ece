//! The threads that serve requests.
//!
//! By default each thread has its own event loop, its own listening sockets and its own upstream
//! connections, so that a request never crosses threads. The figures that decided this are in
//! `bench/README.md`. `threading: work_stealing` runs one loop over all threads instead.

use crate::access_log::AccessLog;
use crate::clock;
use crate::cut::Cut;
use crate::lifecycle::Lifecycle;
use crate::listen::{self, BoundListener, Caps};
use crate::metrics::Metrics;
use crate::overload::ProcessOverload;
use crate::peers::Peers;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::state::Orders;
use crate::upstream::Dialer;
use arc_swap::ArcSwap;
use lb_core::config::model::Threading;
use lb_core::time::Instant;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often an event loop shows that it turns.
const PULSE: Duration = Duration::from_millis(100);
/// A loop that has not turned for this long is stuck.
const PULSE_LIMIT: Duration = Duration::from_secs(5);
/// Parts of the table of connections that carry streams, each behind a lock of its own.
const PARTS: usize = 16;

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
    /// The sister replicas.
    pub peers: Arc<Peers>,
    /// What operators ordered.
    pub orders: Arc<Orders>,
    /// What this process does less.
    pub overload: ProcessOverload,
}

/// Counts of requests; in flight is the difference, exact because a guard ends each.
#[derive(Debug, Default)]
pub struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    shed: AtomicU64,
    /// Tunnels and event streams in flight.
    streams: AtomicU64,
    /// How many of them each connection carries, by its other end. Only those that carry some.
    /// In parts, as each call of gRPC comes here: those of one event loop seldom meet another's.
    carriers: [Mutex<HashMap<SocketAddr, u32>>; PARTS],
}

/// When each event loop last turned, and how late.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: Mutex<Vec<Arc<Beat>>>,
}

/// One event loop's.
#[derive(Debug)]
struct Beat {
    /// In nanoseconds since the start.
    last: AtomicU64,
    /// The largest lag since somebody asked, in nanoseconds.
    lag: AtomicU64,
}

/// A request that is in flight.
#[must_use]
#[derive(Debug)]
pub(crate) struct Ongoing(Arc<Shared>);

/// A tunnel or an event stream that is in flight.
#[must_use]
#[derive(Debug)]
pub(crate) struct Streaming {
    shared: Arc<Shared>,
    peer: SocketAddr,
}

/// One event loop's upstream connections and what it shares with the others.
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialer: Dialer,
    pub(crate) cut: Cut,
    me: Weak<Self>,
}

fn locked<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Those that are tunnels or event streams, and may take as long as they like.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams.load(Relaxed)
    }

    /// Connections that carry such streams: over HTTP/2 one may carry many.
    #[must_use]
    pub fn carriers(&self) -> u64 {
        let parts = self.carriers.iter();
        parts.map(|part| locked(part).len() as u64).sum()
    }

    fn carried(&self, peer: SocketAddr) -> Option<MutexGuard<'_, HashMap<SocketAddr, u32>>> {
        let part = usize::from(peer.port()) % PARTS;
        self.carriers.get(part).map(locked)
    }

    /// Requests refused for overload since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    pub(crate) fn shed(&self) {
        self.shed.fetch_add(1, Relaxed);
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
        self.lock().iter().all(|beat| beat.age(now) < PULSE_LIMIT)
    }

    /// The largest lag of a loop since the last call. One that stands still lags by the time it does.
    #[must_use]
    pub fn take_lag(&self, now: Instant) -> Duration {
        let lags = |beat: &Arc<Beat>| {
            let noted = Duration::from_nanos(beat.lag.swap(0, Relaxed));
            noted.max(beat.age(now).saturating_sub(PULSE))
        };
        self.lock().iter().map(lags).max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Beat>>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Beats for as long as the calling event loop turns.
    async fn beat(&self) {
        let beat = Arc::new(Beat {
            last: AtomicU64::new(clock::now().as_nanos()),
            lag: AtomicU64::new(0),
        });
        self.lock().push(beat.clone());
        loop {
            tokio::time::sleep(PULSE).await;
            let now = clock::now();
            let late = beat.age(now).saturating_sub(PULSE);
            let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            beat.lag.fetch_max(late, Relaxed);
            beat.last.store(now.as_nanos(), Relaxed);
        }
    }
}

// === impl Beat ===

impl Beat {
    fn age(&self, now: Instant) -> Duration {
        now.since(Instant::from_nanos(self.last.load(Relaxed)))
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

impl Streaming {
    pub(crate) fn begin(shared: &Arc<Shared>, peer: SocketAddr) -> Self {
        shared.requests.streams.fetch_add(1, Relaxed);
        if let Some(mut carried) = shared.requests.carried(peer) {
            *carried.entry(peer).or_default() += 1;
        }
        let shared = shared.clone();
        Self { shared, peer }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let requests = &self.shared.requests;
        requests.streams.fetch_sub(1, Relaxed);
        let carried = requests.carried(self.peer);
        if let Some(mut carried) = carried
            && let Entry::Occupied(mut carried) = carried.entry(self.peer)
        {
            *carried.get_mut() -= 1;
            if *carried.get() == 0 {
                carried.remove();
            }
        }
    }
}

// === impl Worker ===

impl Worker {
    fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            shared,
            dialer: Dialer::new(),
            cut: Cut::default(),
            me: me.clone(),
        })
    }

    pub(crate) fn handle(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }
}

/// Starts the threads. `listeners` holds, for each listener, one bound socket a thread or more (or one in all
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
                for (index, socket) in row.into_iter().enumerate() {
                    // After an upgrade to fewer threads there are more sockets.
                    if let Some(column) = columns.get_mut(index % threads) {
                        column.push(socket);
                    }
                }
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
    let cutter = worker.clone();
    tokio::spawn(async move {
        let lifecycle = &cutter.shared.lifecycle;
        loop {
            lifecycle.ending().reached().await;
            cutter.cut.tell();
            lifecycle.resumed().await;
        }
    });
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
