//! A program from its configuration to its exit.

use crate::access_log::AccessLog;
use crate::admin::{AdminHandle, AdminServer, AdminSource, Gate, TokenFile, Write, Written};
use crate::build::{self, Site};
use crate::handover::{Journal, RunDirectory};
use crate::lifecycle::{Lifecycle, Stage};
use crate::listen::{Caps, Counts};
use crate::metrics::Metrics;
use crate::overload::ProcessOverload;
use crate::plan::Identity;
use crate::reload::{self, Reload};
use crate::report::Reporter;
use crate::sockets::{self, Sockets};
use crate::supervise::{self, Posts};
use crate::tier::TierProgram;
use crate::worker::{self, Pulse, Requests, Shared};
use crate::{clock, control, explain, peers, state, status, steer, writes};
use anyhow::Context;
use arc_swap::ArcSwap;
use lb_core::config::model::Admin;
use lb_core::drain::DrainStatus;
use lb_core::status::{
    Explain, ExplainQuery, Handover, ListenerStatus, Readiness, ReplicaIdentity, Sheet, Status,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How long the first sweep of probes may keep a replica from being ready.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// A running program.
pub struct Process<T: TierProgram> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reload: Arc<Reload<T>>,
    pub(crate) listeners: Vec<(ListenerStatus, Arc<Counts>)>,
    pub(crate) threads: usize,
    pub(crate) started_unix_ms: u64,
    /// It was ready once: what is learned later, or read from a new file, no longer makes it unready.
    pub(crate) warm: AtomicBool,
    /// How far an upgrade is.
    pub(crate) journal: Arc<Journal>,
}

/// How a program is started.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Take over from the process that serves, which may take so long.
    pub upgrade: Option<Duration>,
    /// How long this process stands by after it has handed over; absent: 5 s.
    pub probation: Option<Duration>,
    /// End when standard input does.
    pub exit_with_parent: bool,
    /// End when this process does.
    pub exit_with_pid: Option<u32>,
}

/// Runs a program until it is told to end.
///
/// # Errors
/// The configuration, a file or an address can't be used; nothing was served then.
pub fn run<T: TierProgram>(path: &Path, start: &Start) -> anyhow::Result<()> {
    let (config, hash) = reload::load::<T>(path)?;
    let common = T::common(&config);
    let base = path.parent().unwrap_or(Path::new(".")).to_owned();
    let directory = supervise::directory(&common, &base, start)?;
    let metrics = Metrics::new(
        T::TIER.as_str(),
        common.region.map(|region| region.as_str()),
    )
    .context("registering metrics")?;
    let metrics = Arc::new(metrics);
    let identity = Identity::new(T::TIER, common.name, common.region, clock::unix_millis())?;
    let mut site = Site::new(identity, metrics.clone(), base);
    // Before a port is bound: the first request must find what was ordered.
    site.orders = state::open(&common, &site)?;
    let site = Arc::new(site);
    let threads = threads(common.threads);
    let tls = sockets::secure(&common, &site)?;
    let plan = build::plan::<T>(&config, &site, 1).map_err(anyhow::Error::msg)?;
    let log = AccessLog::start(common.access_log, metrics.families.log_dropped.clone())
        .with_context(|| format!("access_log.path {}", common.access_log.path))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // From here on somebody waits: whatever can fail by itself has been tried.
    let claim = supervise::claim::<T>(&common, &hash, directory.as_ref(), start);
    let (succession, inherited) = runtime.block_on(claim)?.unzip();
    let sockets = sockets::bind(&common, &tls, threads, inherited, directory.as_ref())?;
    let journal = Journal::new(
        directory.as_ref().map(RunDirectory::path),
        metrics.families.upgrades.clone(),
    );
    let shared = Arc::new(Shared {
        overload: ProcessOverload::new(&metrics.families),
        plan: ArcSwap::from_pointee(plan),
        metrics,
        caps: Arc::new(Caps::default()),
        lifecycle: Lifecycle::default(),
        log,
        requests: Requests::default(),
        reporter: Reporter::default(),
        pulse: Pulse::default(),
        peers: site.peers.clone(),
        orders: site.orders.clone(),
    });
    let gate = gate(common.admin, &site)?;
    let threading = common.threading;
    let listeners = sockets.bound(common.listeners);
    let posts = Posts::new::<T>(&sockets, threads, &shared, journal);
    let reload = Reload::<T>::new(
        path.to_owned(),
        site.clone(),
        shared.clone(),
        tls,
        config,
        hash,
    );
    let process = Arc::new(Process {
        shared: shared.clone(),
        reload: Arc::new(reload),
        listeners,
        threads,
        started_unix_ms: clock::unix_millis(),
        warm: AtomicBool::new(false),
        journal: posts.estate.journal.clone(),
    });
    let Sockets { rows, admin, taken } = sockets;
    let admin = AdminServer::open(admin, process.clone(), gate)?;
    control::start(shared.clone(), site)?;
    state::start(shared.clone())?;
    worker::start(&shared, rows, threading, threads)?;
    let succession = succession.map(|succession| (succession, taken));
    let life = process.live(&admin, directory, succession, posts, start);
    runtime.block_on(life)
}

/// Who may write. A file of tokens that can't be used is a fault now, before anybody needs it.
fn gate(admin: &Admin, site: &Site) -> anyhow::Result<Gate> {
    let tokens = admin.token_file.as_ref();
    let tokens = tokens.map(|path| TokenFile::new(site.base.join(path)));
    if let Some(tokens) = &tokens {
        tokens.token()?;
    }
    Ok(Gate::new(tokens))
}

fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

// === impl Process ===

impl<T: TierProgram> Process<T> {
    /// Tells where it serves. It does from here on.
    pub(crate) fn announce(&self, admin: &AdminHandle) {
        let identity = &self.shared.plan.load().identity;
        let places: Vec<_> = self
            .listeners
            .iter()
            .map(|(l, _)| format!("{} {}", l.name, l.address))
            .collect();
        log::info!(
            "{}-lb {} {} serves on {} (admin {}, {} threads)",
            identity.tier.as_str(),
            env!("CARGO_PKG_VERSION"),
            identity.pseudonym.name(),
            places.join(", "),
            admin.local_addr(),
            self.threads,
        );
        self.shared.lifecycle.advance(Stage::Serving);
    }

    /// Whether readiness says that this process leaves: not at once where that would end traffic sooner than it should.
    fn has_left(&self) -> bool {
        let delay = || self.shared.plan.load().shutdown.readiness_fail_delay.get();
        let left_at = self.shared.lifecycle.left_at();
        left_at.is_some_and(|at| clock::now() >= at + delay())
    }

    /// Whether this replica should get traffic.
    pub(crate) fn readiness(&self) -> Readiness {
        let lifecycle = &self.shared.lifecycle;
        let mut pending = Vec::new();
        if lifecycle.stage() == Stage::Starting {
            pending.push("listeners".to_owned());
        }
        pending.extend(self.unready());
        let ready = pending.is_empty() && !self.has_left() && !self.shared.overload.refuses();
        pending.extend(self.shared.overload.complaint());
        Readiness { ready, pending }
    }

    /// What is not known yet, or can't be reached, of what it sends requests to.
    pub(crate) fn unready(&self) -> Vec<String> {
        let mut pending = Vec::new();
        let grace = u64::try_from(PROBE_GRACE.as_nanos()).unwrap_or(0);
        if !self.warm.load(Relaxed) && clock::now().as_nanos() < grace {
            for pool in &self.shared.plan.load().pools {
                let view = pool.view();
                let unknown = view.members.iter().filter(|member| {
                    pool.spec.check.enabled && member.endpoint.last_check().is_none()
                });
                // An empty list that was found is an answer, too.
                let is_awaited = view.members.is_empty() && pool.found() == 0;
                let unknown = unknown.count() + usize::from(is_awaited);
                if unknown > 0 {
                    pending.push(format!(
                        "first probes of pool {} ({unknown} left)",
                        pool.spec.name
                    ));
                }
            }
        }
        if !self.warm.load(Relaxed) {
            let plan = self.shared.plan.load();
            let regions = plan.regions.iter().flat_map(|set| set.unsettled());
            pending.extend(regions.map(|name| format!("the verdict on region {name}")));
        }
        if pending.is_empty() {
            self.warm.store(true, Relaxed);
        }
        let regions = self.shared.plan.load().regions.clone();
        if regions.is_some_and(|set| set.together.is_isolated() && set.view().fails_open) {
            pending.push("a way to the regions: none can be reached from here".to_owned());
        }
        pending
    }
}

#[async_trait::async_trait]
impl<T: TierProgram> AdminSource for Process<T> {
    fn status(&self) -> Status {
        status::status(self)
    }

    fn readiness(&self) -> Readiness {
        Self::readiness(self)
    }

    fn live(&self) -> bool {
        self.shared.pulse.is_alive(clock::now())
    }

    fn metrics(&self) -> String {
        self.shared.metrics.render()
    }

    fn identity(&self) -> ReplicaIdentity {
        let identity = &self.shared.plan.load().identity;
        peers::identify(identity, self.shared.lifecycle.tells_leaving())
    }

    fn region_report(&self) -> Option<serde_json::Value> {
        let report = self.shared.reporter.report(&self.shared)?;
        serde_json::to_value(report).ok()
    }

    fn handover(&self) -> Handover {
        Handover {
            inflight: self.shared.requests.in_flight(),
            streams: self.shared.requests.streams(),
            connections: self.shared.caps.open().into(),
            ..self.journal.read()
        }
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Explain, String> {
        explain::explain(&self.shared.plan.load(), query)
    }

    fn drains(&self) -> Vec<DrainStatus> {
        steer::drains(&self.shared)
    }

    fn sheet(&self) -> Sheet {
        self.shared.orders.sheet()
    }

    async fn write(&self, write: Write) -> Option<Written> {
        writes::carry_out(&self.shared, write).await
    }
}
