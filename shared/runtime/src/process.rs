//! A program from its configuration to its exit.

use crate::access_log::AccessLog;
use crate::admin::{AdminHandle, AdminServer, AdminSource, Gate, TokenFile, Write, Written};
use crate::build::{self, Site};
use crate::lifecycle::{Lifecycle, Stage};
use crate::listen::{self, BoundListener, Caps, Counts, TlsListener};
use crate::metrics::Metrics;
use crate::overload::ProcessOverload;
use crate::plan::Identity;
use crate::reload::{self, Reload};
use crate::report::Reporter;
use crate::tier::{Common, TierProgram};
use crate::worker::{self, Pulse, Requests, Shared};
use crate::{clock, control, explain, leave, peers, status, steer, writes};
use anyhow::Context;
use arc_swap::ArcSwap;
use lb_core::config::model::{Admin, Listener, Threading};
use lb_core::config::scalar::DurationText;
use lb_core::drain::DrainStatus;
use lb_core::status::{
    Explain, ExplainQuery, ListenerStatus, Readiness, ReplicaIdentity, Sheet, Status,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

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
}

/// Runs a program until it is told to end.
///
/// # Errors
/// The configuration, a file or an address can't be used; nothing was served then.
pub fn run<T: TierProgram>(path: &Path, exit_with_parent: bool) -> anyhow::Result<()> {
    let (config, hash) = reload::load::<T>(path)?;
    let common = T::common(&config);
    let metrics = Metrics::new(
        T::TIER.as_str(),
        common.region.map(|region| region.as_str()),
    )
    .context("registering metrics")?;
    let metrics = Arc::new(metrics);
    let boot_id = clock::unix_millis();
    let identity = Identity::new(T::TIER, common.name, common.region, boot_id)?;
    let base = path.parent().unwrap_or(Path::new(".")).to_owned();
    let site = Arc::new(Site::new(identity, metrics.clone(), base));
    let threads = threads(common.threads);
    let (sockets, tls) = bind(&common, &site, threads)?;
    let plan = build::plan::<T>(&config, &site, 1).map_err(anyhow::Error::msg)?;
    let log = AccessLog::start(common.access_log, metrics.families.log_dropped.clone())
        .with_context(|| format!("access_log.path {}", common.access_log.path))?;
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
    let (threading, admin) = (common.threading, common.admin.address);
    let listeners = bound(common.listeners, &sockets);
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
    });
    let admin = AdminServer::start(admin, process.clone(), gate)?;
    control::start(shared.clone(), site)?;
    worker::start(&shared, sockets, threading, threads)?;
    process.announce(&admin);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(process.supervise(exit_with_parent))
}

/// Binds every listener.
fn bind(common: &Common<'_>, site: &Site, threads: usize) -> anyhow::Result<Bound> {
    let columns = match common.threading {
        Threading::PerCore => threads,
        Threading::WorkStealing => 1,
    };
    let (mut sockets, mut tls) = (Vec::new(), Vec::new());
    for listener in common.listeners {
        let secured = match &listener.tls {
            None => None,
            Some(settings) => {
                let protocols = listener.effective_protocols();
                let made = TlsListener::new(settings, &protocols, &site.base)
                    .with_context(|| format!("listener \"{}\"", listener.name))?;
                let made = Arc::new(made);
                tls.push((listener.name.to_string(), made.clone()));
                Some(made)
            }
        };
        sockets.push(listen::bind(listener, secured.as_ref(), columns)?);
    }
    Ok((sockets, tls))
}

type Bound = (Vec<Vec<BoundListener>>, Vec<(String, Arc<TlsListener>)>);

fn bound(
    listeners: &[Listener],
    sockets: &[Vec<BoundListener>],
) -> Vec<(ListenerStatus, Arc<Counts>)> {
    let pairs = listeners.iter().zip(sockets);
    let status = |(config, row): (&Listener, &Vec<BoundListener>)| {
        let first = row.first()?;
        Some((
            status::listener(config, first.address),
            first.counts.clone(),
        ))
    };
    pairs.filter_map(status).collect()
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
    fn announce(&self, admin: &AdminHandle) {
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

    /// Watches the configuration and the signals; returns when the process may end.
    async fn supervise(self: &Arc<Self>, exit_with_parent: bool) -> anyhow::Result<()> {
        let watch = tokio::spawn(reload::watch(self.reload.clone()));
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let is_asked = tokio::select! {
            _ = term.recv() => true,
            _ = interrupt.recv() => false,
            () = orphaned(), if exit_with_parent => {
                log::info!("the parent is gone");
                false
            }
        };
        watch.abort();
        let mut shutdown = self.shared.plan.load().shutdown.clone();
        if !is_asked {
            shutdown.lame_duck = DurationText::secs(0);
        }
        tokio::select! {
            _ = term.recv() => log::warn!("second signal: ending at once"),
            _ = interrupt.recv() => log::warn!("second signal: ending at once"),
            () = leave::leave(&self.shared, &shutdown) => {}
        }
        Ok(())
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
        let grace = u64::try_from(PROBE_GRACE.as_nanos()).unwrap_or(0);
        if !self.warm.load(Relaxed) && clock::now().as_nanos() < grace {
            for pool in &self.shared.plan.load().pools {
                let view = pool.view();
                let unknown = view.members.iter().filter(|member| {
                    pool.spec.check.enabled && member.endpoint.last_check().is_none()
                });
                let unknown = unknown.count() + usize::from(view.members.is_empty());
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
        let overload = &self.shared.overload;
        let ready = pending.is_empty() && !self.has_left() && !overload.refuses();
        pending.extend(overload.complaint());
        Readiness { ready, pending }
    }
}

/// Returns when standard input ends: the parent holds its other end.
async fn orphaned() {
    use tokio::io::AsyncReadExt;
    let mut stdin = tokio::io::stdin();
    let mut byte = [0; 64];
    while stdin.read(&mut byte).await.is_ok_and(|count| count > 0) {}
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
        peers::identify(identity, self.shared.lifecycle.is_leaving())
    }

    fn region_report(&self) -> Option<serde_json::Value> {
        let report = self.shared.reporter.report(&self.shared)?;
        serde_json::to_value(report).ok()
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
