//! The predecessor's life after the commit: it finishes its work, and stands by.
//!
//! It is in no hurry. At an ordinary end, idle connections are closed when the lame duck is over, and a request that its client sends at
//! that very moment is lost. Here they stay through `shutdown.drain` too: each is closed after its next response, or by its client,
//! and only those that were idle for all that time are closed without a word. Streams, which never end by themselves, are asked to end
//! as soon as nothing else is left.

use super::SILENCE;
use super::journal::{Journal, Outcome};
use super::message::Message;
use super::notify::Supervisor;
use super::offer::Committed;
use super::slot::{Gate, Slot};
use crate::clock;
use crate::leave;
use crate::signals::Signals;
use crate::worker::Shared;
use lb_core::config::model::Shutdown;
use lb_core::config::scalar::DurationText;
use lb_core::status::HandoverPhase;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often connections are counted.
const LOOK: Duration = Duration::from_millis(10);

/// How the predecessor's life goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// Its work is done.
    Done,
    /// It serves again.
    Resumed,
}

/// A predecessor and its successor.
struct Retirement<'a> {
    shared: &'a Shared,
    journal: &'a Journal,
    successor: Committed,
    supervisor: Supervisor,
    settled: bool,
    /// The probation is over but for a last sign of life.
    due: bool,
    /// The successor's last sign of life; none when it gives none.
    heard: Option<Instant>,
    /// The successor is watched: when it dies, this process serves again.
    stands_by: bool,
}

/// Asks connections to leave and finishes requests, as at any end, but tells nobody: the address serves on. For `probation` at
/// least, and as long as there is work, the death of the successor makes this process serve again.
pub(crate) async fn retire(
    shared: &Shared,
    shutdown: &Shutdown,
    journal: &Journal,
    successor: Committed,
    probation: Duration,
    signals: &mut Signals,
) -> Retired {
    let pid = successor.pid;
    log::info!("upgrade: process {pid} serves; this one finishes its work");
    let mut retirement = Retirement {
        heard: successor.beats.then(Instant::now),
        shared,
        journal,
        successor,
        supervisor: Supervisor::from_env(),
        settled: false,
        due: false,
        stands_by: true,
    };
    journal.enter(HandoverPhase::Probation, Some(pid));
    let drain = shutdown.drain.get();
    let longest = shutdown.lame_duck.get() + drain + drain.max(shutdown.stream_drain.get());
    let longest = probation.max(longest);
    journal.ends_at(Some(clock::now() + longest));
    retirement.supervisor.status("handing over");
    shared.lifecycle.set_replaced(true);
    let mut work = std::pin::pin!(finish(shared, shutdown));
    let mut probation = std::pin::pin!(tokio::time::sleep(probation));
    let (mut worked, mut told) = (false, false);
    while !(worked && retirement.settled) {
        let watched = retirement.watched();
        tokio::select! {
            biased;
            said = retirement.successor.link.receive(), if retirement.stands_by => match said {
                Ok(message) => retirement.hear(&message).await,
                Err(error) => {
                    retirement.resume("died", &error.to_string()).await;
                    return Retired::Resumed;
                }
            },
            () = silence(watched) => match retirement.successor.link.receive_late().await {
                Some(Ok(message)) => retirement.hear(&message).await,
                // An end is found again.
                Some(Err(_)) => retirement.heard = Some(Instant::now()),
                None => {
                    let why = format!("no sign of life for {SILENCE:?}");
                    retirement.resume("hangs", &why).await;
                    return Retired::Resumed;
                }
            },
            () = &mut work, if !worked => worked = true,
            () = &mut probation, if !retirement.due => retirement.fall_due().await,
            is_asked = signals.next() => {
                if told || !is_asked {
                    log::warn!("ending at once");
                    leave::cut(shared).await;
                    return Retired::Done;
                }
                told = true;
                retirement.asked_to_end().await;
            }
        }
    }
    retirement.handed_over();
    Retired::Done
}

/// Waits until the last sign of life is too old.
async fn silence(heard: Option<Instant>) {
    match heard {
        Some(heard) => tokio::time::sleep_until(heard + SILENCE).await,
        None => std::future::pending().await,
    }
}

/// Finishes what is under way.
async fn finish(shared: &Shared, shutdown: &Shutdown) {
    let lame_duck = shutdown.lame_duck.get();
    shared.lifecycle.leave(lame_duck, clock::now());
    tokio::time::sleep(lame_duck).await;
    let begun = clock::now();
    let has_more = || u64::from(shared.caps.open()) > shared.requests.carriers();
    while has_more() && clock::now().since(begun) < shutdown.drain.get() {
        tokio::time::sleep(LOOK).await;
    }
    let mut shutdown = shutdown.clone();
    shutdown.lame_duck = DurationText::secs(0);
    leave::leave(shared, &shutdown).await;
}

// === impl Retirement ===

impl Retirement<'_> {
    fn slots(&self) -> &[Arc<Slot>] {
        &self.successor.taken
    }

    /// The successor has proved itself.
    async fn settle(&mut self) {
        let pid = self.successor.pid;
        self.supervisor.main_pid(pid).await;
        let _ = self.successor.link.send(&Message::Settled).await;
        self.journal.enter(HandoverPhase::Retiring, Some(pid));
        self.settled = true;
    }

    fn handed_over(&self) {
        let reason = format!("process {} serves", self.successor.pid);
        self.journal.note(Outcome::HandedOver, &reason);
        log::info!("upgrade: {reason}; the work of this one is done");
    }

    /// The successor's last sign of life, while its silence would mean that it hangs.
    fn watched(&self) -> Option<Instant> {
        self.heard.filter(|_| self.stands_by && !self.settled)
    }

    /// The probation is over: with the next sign of life, if there are any.
    async fn fall_due(&mut self) {
        self.due = true;
        if self.watched().is_none() && !self.settled {
            self.settle().await;
        }
    }

    async fn hear(&mut self, message: &Message) {
        match message {
            Message::Alive => self.heard = Some(Instant::now()),
            Message::Leaving | Message::Replaced => self.let_go(),
            other => log::warn!("upgrade: the successor says {other:?}"),
        }
        if self.due && !self.settled {
            self.settle().await;
        }
    }

    /// The successor was told to end, or has a successor itself: it won't need this process again.
    fn let_go(&mut self) {
        self.stands_by = false;
        self.slots()
            .iter()
            .for_each(|slot| slot.set(Gate::Released));
    }

    /// The successor has died, or hangs.
    async fn resume(&mut self, how: &str, why: &str) {
        let reason = format!(
            "the successor (process {}) {how} after it had taken over: {why}",
            self.successor.pid
        );
        log::error!("upgrade: {reason}; this process serves again");
        // Should it live after all, it must not serve beside this process.
        let text = reason.clone();
        let _ = self
            .successor
            .link
            .send(&Message::Resumed { reason: text })
            .await;
        self.shared.lifecycle.resume();
        self.slots().iter().for_each(|slot| slot.set(Gate::Open));
        self.journal.ends_at(None);
        self.journal.enter(HandoverPhase::None, None);
        self.journal.note(Outcome::Resumed, &reason);
        self.supervisor.status("serving again, the upgrade failed");
    }

    /// Whoever ends this process by its supervisor means the service: the successor, which is not its main process yet, has to end too.
    async fn asked_to_end(&mut self) {
        let means_service = self.supervisor.is_there() && !self.settled;
        if !self.settled {
            self.settle().await;
        }
        if !means_service {
            log::info!("told to end: this process does, and the successor serves");
            return;
        }
        log::info!("told to end: so is the successor");
        let pid = i32::try_from(self.successor.pid)
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            log::warn!("the successor can't be told: {error}");
        }
    }
}
