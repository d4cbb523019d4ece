//! What the main thread does: it takes over, waits for signals and for successors, and ends the process in the right way.

use crate::admin::AdminHandle;
use crate::handover::notify::Supervisor;
use crate::handover::{
    Committed, Draft, Estate, Gate, Inheritance, Introduction, JoinError, Journal, Offer,
    PROBATION, Parent, Retired, RunDirectory, Slot, Succession, retire,
};
use crate::plan::Tier;
use crate::process::{Process, Start};
use crate::signals::Signals;
use crate::sockets::Sockets;
use crate::tier::{Common, TierProgram};
use crate::worker::Shared;
use crate::{clock, leave, reload, watchdog};
use lb_core::config::scalar::DurationText;
use lb_core::status::Tier as TierStatus;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often a starting process looks whether it is ready.
const LOOK: Duration = Duration::from_millis(50);
/// When its supervisor is told in any case: a process that answers with errors is better than one that is killed for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sockets' places, as the hand-over needs them.
pub(crate) struct Posts {
    pub(crate) estate: Arc<Estate>,
    /// Opened at the commit.
    first: Vec<Arc<Slot>>,
    /// Opened when the upgrade is settled.
    late: Vec<Arc<Slot>>,
}

/// Why the main thread stops waiting.
enum End {
    /// Somebody told it to end, and it has.
    Told,
    /// A successor serves.
    Replaced(Committed),
    /// The predecessor serves again.
    Dismissed(String),
}

/// A task that ends with its owner.
struct Watching(AbortHandle);

/// The run directory, if there is one, checked.
///
/// # Errors
/// It can't be used, or another process serves there.
pub(crate) fn directory(
    common: &Common<'_>,
    base: &Path,
    start: &Start,
) -> anyhow::Result<Option<RunDirectory>> {
    let Some(path) = common.run_directory else {
        anyhow::ensure!(
            start.upgrade.is_none(),
            "--upgrade needs a run_directory in the configuration"
        );
        return Ok(None);
    };
    let mut directory = RunDirectory::open(&base.join(path))?;
    if start.upgrade.is_none() {
        directory.claim()?;
    }
    Ok(Some(directory))
}

/// Gets copies of the sockets, when this process is to take over.
///
/// # Errors
/// Nobody serves, or who does refuses.
pub(crate) async fn claim<T: TierProgram>(
    common: &Common<'_>,
    hash: &str,
    directory: Option<&RunDirectory>,
    start: &Start,
) -> Result<Option<(Succession, Inheritance)>, JoinError> {
    let (Some(limit), Some(directory)) = (start.upgrade, directory) else {
        return Ok(None);
    };
    // The process is a service of its own, and not part of the terminal of whoever started it. It leads its session already
    // where this fails.
    let _ = rustix::process::setsid();
    let introduction = Introduction::new(tier::<T>(), common.name.as_str(), hash, limit);
    Succession::claim(directory, introduction).await.map(Some)
}

fn tier<T: TierProgram>() -> TierStatus {
    match T::TIER {
        Tier::Global => TierStatus::Global,
        Tier::Regional => TierStatus::Regional,
    }
}

// === impl Posts ===

impl Posts {
    pub(crate) fn new<T: TierProgram>(
        sockets: &Sockets,
        threads: usize,
        shared: &Shared,
        journal: Journal,
        start: &Start,
    ) -> Self {
        let (first, late) = sockets.gates();
        let estate = Estate::new(
            tier::<T>(),
            sockets.slots(threads),
            sockets.admin.slot.clone(),
            shared.lifecycle.clone(),
            shared.orders.clone(),
            journal,
            start.probation.unwrap_or(PROBATION),
        );
        Self {
            estate: Arc::new(estate),
            first,
            late,
        }
    }
}

// === impl Process ===

impl<T: TierProgram> Process<T> {
    /// From the first request to the last.
    pub(crate) async fn live(
        self: &Arc<Self>,
        admin: &AdminHandle,
        directory: Option<RunDirectory>,
        succession: Option<(Succession, Vec<u32>)>,
        posts: Posts,
        start: &Start,
    ) -> anyhow::Result<()> {
        let mut signals = Signals::new(start)?;
        watchdog::start(&self.shared, &self.journal, succession.is_some());
        let draft = directory.map(|directory| Draft::new(directory, admin.local()));
        let draft = draft.transpose()?;
        let publish = |draft: Draft| Offer::publish(draft, posts.estate.clone());
        let (offer, parent) = if let Some((mut succession, taken)) = succession {
            let orders = tokio::select! {
                ready = succession.get_ready(taken, &self.journal, || self.unready(true)) => ready?,
                _ = signals.next() => {
                    log::info!("told to end before it took over; the process that serves goes on");
                    succession.leave().await;
                    return Ok(());
                }
            };
            if let Some(Err(error)) = orders.map(|orders| self.shared.orders.merge(&orders)) {
                log::error!("orders of the process before are not taken: {error}");
            }
            self.announce(admin);
            // Before a connection is accepted, which would be lost if this failed.
            let offer = draft.map(publish).transpose()?;
            posts.first.iter().for_each(|slot| slot.set(Gate::Open));
            let shared = self.shared.clone();
            let turns = move || shared.pulse.is_alive(clock::now());
            let parent = succession.took(&posts.estate, posts.late, turns).await;
            (offer, Some(parent))
        } else {
            self.announce(admin);
            let offer = draft.map(publish).transpose()?;
            self.tell_ready();
            (offer, None)
        };
        let probation = start.probation.unwrap_or(PROBATION);
        self.supervise(offer, parent, probation, &mut signals).await
    }

    async fn supervise(
        self: &Arc<Self>,
        offer: Option<Offer>,
        mut parent: Option<Parent>,
        probation: Duration,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        loop {
            let end = self.serve(offer.as_ref(), parent.as_mut(), signals).await;
            let successor = match end {
                End::Told => return Ok(()),
                End::Replaced(successor) => successor,
                End::Dismissed(reason) => {
                    log::error!("the process before serves again: {reason}");
                    self.shared.lifecycle.set_replaced(true);
                    // At once, and not after the drain: the directory is that process's.
                    if let Some(offer) = offer {
                        offer.withdraw();
                    }
                    self.leave(false).await;
                    anyhow::bail!("the process before serves again: {reason}");
                }
            };
            if let Some(parent) = parent.take() {
                parent.replaced().await;
            }
            let shutdown = self.shared.plan.load().shutdown.clone();
            let (shared, journal) = (&self.shared, &self.journal);
            let retired = retire(shared, &shutdown, journal, successor, probation, signals);
            if retired.await == Retired::Done {
                return Ok(());
            }
            // It serves again after the death of its successor.
            if let Some(offer) = &offer {
                offer.take_back();
            }
        }
    }

    /// Serves until another process does, or until this one was told to end and has.
    async fn serve(
        self: &Arc<Self>,
        offer: Option<&Offer>,
        mut parent: Option<&mut Parent>,
        signals: &mut Signals,
    ) -> End {
        let reload = tokio::spawn(reload::watch(self.reload.clone()));
        let reload = Watching(reload.abort_handle());
        let mut attend = std::pin::pin!(attend(offer));
        let has_time = tokio::select! {
            has_time = signals.next() => has_time,
            successor = &mut attend => return End::Replaced(successor),
            reason = dismissed(parent.as_deref_mut()) => return End::Dismissed(reason),
        };
        drop(reload);
        Supervisor::from_env().stopping();
        if let Some(offer) = offer {
            offer.withdraw();
        }
        if let Some(parent) = parent {
            parent.leave().await;
        }
        tokio::select! {
            () = self.finish(has_time, offer) => {}
            _ = signals.next() => {
                log::warn!("second signal: ending at once");
                leave::cut(&self.shared).await;
            }
            never = replaced_meanwhile(&self.shared, attend) => match never {},
        }
        End::Told
    }

    /// Leaves, and as a service's main process waits for those who served before.
    async fn finish(&self, lame_duck: bool, offer: Option<&Offer>) {
        self.leave(lame_duck).await;
        if let Some(offer) = offer.filter(|_| Supervisor::from_env().is_there()) {
            offer.alone().await;
        }
    }

    async fn leave(&self, lame_duck: bool) {
        let mut shutdown = self.shared.plan.load().shutdown.clone();
        if !lame_duck {
            shutdown.lame_duck = DurationText::secs(0);
        }
        leave::leave(&self.shared, &shutdown).await;
    }

    /// Tells the supervisor when this process is ready.
    fn tell_ready(self: &Arc<Self>) {
        let supervisor = Supervisor::from_env();
        if !supervisor.is_there() {
            return;
        }
        let process = self.clone();
        tokio::spawn(async move {
            let ready = async {
                while !process.readiness().ready {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(PATIENCE, ready).await.is_err() {
                log::warn!(
                    "not ready after {PATIENCE:?}; the supervisor is told to wait no longer"
                );
            }
            supervisor.ready();
        });
    }
}

// === impl Watching ===

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn attend(offer: Option<&Offer>) -> Committed {
    match offer {
        Some(offer) => offer.attend().await,
        None => std::future::pending().await,
    }
}

async fn dismissed(parent: Option<&mut Parent>) -> String {
    match parent {
        Some(parent) => parent.dismissed().await,
        None => std::future::pending().await,
    }
}

/// Refuses successors while this process leaves. One that was to begin in the very moment of the signal serves: so be it.
async fn replaced_meanwhile(
    shared: &Shared,
    attend: impl Future<Output = Committed>,
) -> Infallible {
    let _successor = attend.await;
    log::info!("upgrade: the successor began as this process was told to end; it serves");
    shared.lifecycle.set_replaced(true);
    std::future::pending().await
}
