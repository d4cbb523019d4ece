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
use crate::{clock, control, explain, peers, signals, state, status, steer, writes};
use anyhow::Context;
use arc_swap::ArcSwap;
use lb_core::config::model::Admin;
use lb_core::drain::DrainStatus;
use lb_core::status::{
    Explain, ExplainQuery, Handover, ListenerStatus, Readiness, ReplicaIdentity, Sheet, Status,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// A running program.
pub struct Process<T: TierProgram> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reload: Arc<Reload<T>>,
    pub(crate) listeners: Vec<(ListenerStatus, Arc<Counts>)>,
    pub(crate) threads: usize,
    pub(crate) started_unix_ms: u64,
    /// It was ready once: what is learned later, or read from a new file, no longer makes it unready.
    pub(crate) warm: AtomicBool,
    /// When it last waited to be told of servers, in nanoseconds.
    pub(crate) waited: AtomicU64,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { signals::shield() })?;
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
    let posts = Posts::new::<T>(&sockets, threads, &shared, journal, start);
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
        waited: AtomicU64::new(0),
        journal: posts.estate.journal.clone(),
    });
    let Sockets { rows, admin, taken } = sockets;
    let admin = AdminServer::open(admin, process.clone(), gate)?;
    control::start(shared.clone(), site)?;
    state::start(shared.clone())?;
    worker::start(&shared, rows, threading, threads)?;
    let succession = succession.map(|succession| (succession, taken));
    let life = process.live(&admin, directory, succession, posts, start);
    runtime.block_on(async {
        let end = life.await;
        shared.log.finish().await;
        end
    })
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
        ReplicaIdentity {
            informed: self.is_informed(),
            overloaded: self.shared.overload.refuses(),
            ..peers::identify(identity, self.shared.lifecycle.tells_leaving())
        }
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
