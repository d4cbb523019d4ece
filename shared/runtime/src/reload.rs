//! Configuration that reloads while requests go on.
//!
//! The file's content decides, not its time: it is read every half second, on SIGHUP at once, and
//! compared by hash, so that Kubernetes' symlink swaps, editors that rename and copies that keep the
//! time all work. The files that it includes belong to it. Content counts once it has stayed for a moment ([`settle`]): a file may be caught half
//! written. Certificates' files are watched in the same way. A new content is parsed, checked as a
//! whole and built into a plan before anything changes; then the plan is swapped in one step. Whatever
//! is wrong with it, the last good configuration serves on and the fault is told.

mod file;
mod settle;

use crate::build::{self, Site};
use crate::clock;
use crate::listen::TlsListener;
use crate::status;
use crate::tier::TierProgram;
use crate::worker::Shared;
pub(crate) use file::{LoadError, load};
use file::{faults, hash, parse};
use lb_core::config::change::{Deferred, content_hash};
use lb_core::config::model::ListenerTls;
use lb_core::config::read::Layers;
use lb_core::status::ConfigStatus;
use settle::{CONFIRM, Look, Settle};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How often the file is looked at.
pub(crate) const INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// A file and what was made of it.
pub(crate) struct Reload<T: TierProgram> {
    path: PathBuf,
    site: Arc<Site>,
    shared: Arc<Shared>,
    tls: Vec<(String, Arc<TlsListener>)>,
    state: Mutex<State<T::Config>>,
}

struct State<C> {
    config: Arc<C>,
    /// The file's content, good or bad, or why it can't be read.
    content: Settle,
    /// The certificates' files.
    certificates: Settle,
    status: ConfigStatus,
}

// === impl Reload ===

impl<T: TierProgram> Reload<T> {
    pub(crate) fn new(
        path: PathBuf,
        site: Arc<Site>,
        shared: Arc<Shared>,
        tls: Vec<(String, Arc<TlsListener>)>,
        config: T::Config,
        hash: String,
    ) -> Self {
        let families = &site.metrics.families;
        families.config_info.with_label_values(&[&hash]).set(1);
        families.config_last_reload_successful.set(1);
        families.config_generation.set(1);
        let status = status::live(&path.display().to_string(), &hash, 1);
        let certificates = certificates::<T>(&config, &site.base);
        export_expiries(&site, &tls);
        let state = State {
            config: Arc::new(config),
            content: Settle::new(hash),
            certificates: Settle::new(certificates),
            status,
        };
        Self {
            path,
            site,
            shared,
            tls,
            state: Mutex::new(state),
        }
    }

    /// The configuration that serves.
    pub(crate) fn config(&self) -> Arc<T::Config> {
        self.lock().config.clone()
    }

    /// How the configuration fares.
    pub(crate) fn status(&self) -> ConfigStatus {
        self.lock().status.clone()
    }

    /// Looks at the file and the certificates, and takes over what changed and has settled. When an operator
    /// `asked` for it, a refused file is tried again: what was at fault may be a file that it names.
    ///
    /// Tells whether something has changed that has not settled yet: look again after [`CONFIRM`].
    pub(crate) fn check(&self, asked: bool) -> bool {
        let mut state = self.lock();
        let read = lb_files::read_with_environment(&self.path);
        let found = match &read {
            Ok(layers) => hash(layers),
            Err(error) => format!("unreadable: {error}"),
        };
        let look = state.content.look(found, clock::now());
        let again = look == Look::Same && asked && !state.status.last_reload_ok;
        if look == Look::Sighted {
            log::info!("the configuration has changed; reading it again in {CONFIRM:?}");
        }
        if look == Look::Settled || again {
            match read {
                Ok(layers) => self.apply(&mut state, &layers),
                Err(error) => self.refuse(&mut state, &LoadError::from(error)),
            }
        }
        let certificates = self.check_certificates(&mut state);
        look.is_open() || certificates.is_open()
    }

    fn apply(&self, state: &mut State<T::Config>, layers: &Layers) {
        match self.build(state, layers) {
            Ok((config, hash, deferred)) => {
                let families = &self.site.metrics.families;
                let _ = families
                    .config_info
                    .remove_label_values(&[&state.status.hash]);
                families.config_info.with_label_values(&[&hash]).set(1);
                families.config_last_reload_successful.set(1);
                families.config_reloads.with_label_values(&["ok"]).inc();
                let generation = state.status.generation + 1;
                families
                    .config_generation
                    .set(i64::try_from(generation).unwrap_or(i64::MAX));
                let mut status = status::live(&state.status.file, &hash, generation);
                status.reloads_total = state.status.reloads_total;
                status.reloads_total.ok += 1;
                status.deferred = deferred.iter().map(ToString::to_string).collect();
                log::info!("configuration {hash} is live (generation {generation})");
                for sentence in &status.deferred {
                    log::warn!("configuration: {sentence}");
                }
                state.status = status;
                state.config = Arc::new(config);
            }
            Err(error) => self.refuse(state, &error),
        }
    }

    fn build(
        &self,
        state: &State<T::Config>,
        layers: &Layers,
    ) -> Result<(T::Config, String, Vec<Deferred>), LoadError> {
        let (config, hash) = parse::<T>(layers)?;
        let (config, deferred) = T::carry_over(&state.config, config);
        let generation = state.status.generation + 1;
        let plan = build::plan::<T>(&config, &self.site, generation).map_err(LoadError::Build)?;
        self.shared.plan.store(Arc::new(plan));
        self.shared.log.reconfigure(T::common(&config).access_log);
        Ok((config, hash, deferred))
    }

    fn refuse(&self, state: &mut State<T::Config>, error: &LoadError) {
        let families = &self.site.metrics.families;
        families.config_last_reload_successful.set(0);
        families.config_reloads.with_label_values(&["failed"]).inc();
        log::error!("the configuration is refused, the last good one serves on: {error}");
        state.status.last_reload_ok = false;
        state.status.reloads_total.failed += 1;
        state.status.error = Some(faults(&self.path, error));
    }

    fn check_certificates(&self, state: &mut State<T::Config>) -> Look {
        let hash = certificates::<T>(&state.config, &self.site.base);
        let look = state.certificates.look(hash, clock::now());
        if look != Look::Settled {
            return look;
        }
        for listener in T::common(&state.config).listeners {
            let Some(tls) = &listener.tls else { continue };
            let bound = self
                .tls
                .iter()
                .find(|(name, _)| name == listener.name.as_str());
            let Some((name, bound)) = bound else { continue };
            match bound.reload(tls, &self.site.base) {
                Ok(()) => log::info!("listener {name}: certificates were read again"),
                Err(error) => log::error!(
                    "listener {name}: new certificates are refused, the old ones serve on: {error}"
                ),
            }
        }
        export_expiries(&self.site, &self.tls);
        look
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T::Config>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash over all certificates' and keys' contents.
fn certificates<T: TierProgram>(config: &T::Config, base: &Path) -> String {
    let tls = T::common(config)
        .listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref());
    let files = tls.flat_map(|tls: &ListenerTls| {
        tls.certificates
            .iter()
            .flat_map(|entry| [&entry.certificate, &entry.key])
    });
    let contents: Vec<String> = files
        .map(|file| {
            let bytes = std::fs::read(base.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .collect();
    let parts: Vec<&str> = contents.iter().map(String::as_str).collect();
    content_hash(&parts)
}

fn export_expiries(site: &Site, tls: &[(String, Arc<TlsListener>)]) {
    for (name, at) in tls.iter().flat_map(|(_, tls)| tls.expiries()) {
        site.metrics
            .families
            .cert_not_after
            .with_label_values(&[&name])
            .set(at as f64);
    }
}

/// Looks at the file again and again, on SIGHUP, and soon after a change was seen.
pub(crate) async fn watch<T: TierProgram>(reload: Arc<Reload<T>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let mut hangup = hangup
        .inspect_err(|error| {
            log::warn!(
                "SIGHUP can't be obeyed ({error}); the file is looked at every {INTERVAL:?}"
            );
        })
        .ok();
    let mut unsettled = false;
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            () = tokio::time::sleep(CONFIRM), if unsettled => false,
            () = next(&mut hangup) => true,
        };
        if asked {
            log::info!("SIGHUP: looking at the configuration");
        }
        unsettled = reload.check(asked);
    }
}

/// The next signal; never, when there is none to come.
async fn next(signals: &mut Option<tokio::signal::unix::Signal>) {
    match signals {
        Some(signals) => {
            let _ = signals.recv().await;
        }
        None => std::future::pending().await,
    }
}
