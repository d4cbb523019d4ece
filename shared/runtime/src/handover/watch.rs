//! What a successor hears of its predecessor after the commit, and says to it.

use super::frame::{Link, LinkError};
use super::journal::Journal;
use super::message::Message;
use super::notify::Supervisor;
use super::slot::{Gate, Slot};
use super::{BEAT, PROMPT};
use lb_core::status::HandoverPhase;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// The predecessor, while it lives.
#[derive(Debug)]
pub(crate) struct Parent {
    say: mpsc::Sender<(Message, oneshot::Sender<()>)>,
    fate: watch::Receiver<Fate>,
}

/// Tells whether all event loops turn.
pub(super) type Turns = Box<dyn Fn() -> bool + Send + Sync>;

/// How it stands with this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The predecessor may still take over again.
    OnProbation,
    /// This process serves for good.
    Settled,
    /// The predecessor serves again: this process has to end.
    Dismissed(String),
}

/// What the end of the probation changes.
pub(super) struct Office {
    /// Sockets that begin to listen then.
    pub(super) late: Vec<Arc<Slot>>,
    pub(super) journal: Arc<Journal>,
    /// Becomes false.
    pub(super) probation: Arc<AtomicBool>,
}

struct Watcher {
    link: Link,
    office: Office,
    /// When the predecessor hangs, if it has not settled the upgrade.
    overdue: Instant,
    fate: watch::Sender<Fate>,
    /// The predecessor waits for signs of life.
    turns: Option<Turns>,
}

// === impl Parent ===

impl Parent {
    /// Watches the connection. The probation is over when the predecessor says so, at the latest after `patience`.
    pub(super) fn watch(
        link: Link,
        office: Office,
        patience: Duration,
        turns: Option<Turns>,
    ) -> Self {
        let (say, heard) = mpsc::channel(1);
        let (fate, seen) = watch::channel(Fate::OnProbation);
        let watcher = Watcher {
            link,
            office,
            overdue: Instant::now() + patience,
            fate,
            turns,
        };
        tokio::spawn(watcher.run(heard));
        Self { say, fate: seen }
    }

    /// This process was told to end: no reason for the predecessor to take over.
    pub(crate) async fn leave(&self) {
        self.say(Message::Leaving).await;
    }

    /// Another process has replaced this one: the predecessor is to let go of the sockets.
    pub(crate) async fn replaced(&self) {
        self.say(Message::Replaced).await;
    }

    /// Waits until the predecessor serves again; tells why.
    pub(crate) async fn dismissed(&mut self) -> String {
        let is_dismissed = |fate: &Fate| matches!(fate, Fate::Dismissed(_));
        if let Ok(fate) = self.fate.wait_for(is_dismissed).await
            && let Fate::Dismissed(reason) = &*fate
        {
            return reason.clone();
        }
        std::future::pending().await
    }

    async fn say(&self, message: Message) {
        let (done, is_said) = oneshot::channel();
        let said = async {
            if self.say.send((message, done)).await.is_ok() {
                let _ = is_said.await;
            }
        };
        // One that hangs does not read.
        let _ = timeout(PROMPT, said).await;
    }
}

// === impl Watcher ===

impl Watcher {
    async fn run(mut self, mut commands: mpsc::Receiver<(Message, oneshot::Sender<()>)>) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            let waits = *self.fate.borrow() == Fate::OnProbation;
            tokio::select! {
                biased;
                said = self.link.receive() => if self.hear(said).await.is_break() {
                    return;
                },
                () = sleep_until(self.overdue), if waits => match self.link.receive_late().await {
                    Some(said) => if self.hear(said).await.is_break() {
                        return;
                    },
                    None => self.give_up().await,
                },
                _ = beat.tick(), if self.turns.is_some() => self.beat().await,
                command = commands.recv() => {
                    let Some((message, done)) = command else { return };
                    let _ = self.link.send(&message).await;
                    let _ = done.send(());
                }
            }
        }
    }

    async fn hear(&mut self, said: Result<Message, LinkError>) -> ControlFlow<()> {
        match said {
            Ok(Message::Settled) => {
                log::info!("upgrade: the probation is over");
                self.settle();
                return ControlFlow::Continue(());
            }
            Ok(Message::Resumed { reason }) => {
                self.fate.send_replace(Fate::Dismissed(reason));
            }
            other => self.bereaved(other.is_ok()).await,
        }
        ControlFlow::Break(())
    }

    /// Gives a sign of life, if there is one. What can't be sent is noticed by who receives.
    async fn beat(&mut self) {
        if self.turns.as_ref().is_some_and(|turns| turns()) {
            let _ = self.link.send(&Message::Alive).await;
        }
    }

    /// The predecessor hangs. Should it wake, it must not take over again.
    async fn give_up(&mut self) {
        log::warn!(
            "upgrade: the predecessor hangs: it has not ended the probation; this process serves on without it"
        );
        let _ = self.link.send(&Message::Replaced).await;
        Supervisor::from_env().main_pid(std::process::id()).await;
        self.settle();
    }

    fn settle(&mut self) {
        self.turns = None;
        let office = &mut self.office;
        office.late.drain(..).for_each(|slot| slot.set(Gate::Open));
        office.probation.store(false, Relaxed);
        office.journal.enter(HandoverPhase::None, None);
        self.fate.send_if_modified(|fate| {
            let first = *fate != Fate::Settled;
            *fate = Fate::Settled;
            first
        });
    }

    /// The predecessor has ended, as it should when its work is done.
    async fn bereaved(&mut self, said_nonsense: bool) {
        if *self.fate.borrow() == Fate::OnProbation {
            let how = if said_nonsense {
                "lost its mind"
            } else {
                "died"
            };
            log::warn!(
                "upgrade: the predecessor {how} during the probation; this process serves on"
            );
            Supervisor::from_env().main_pid(std::process::id()).await;
        } else {
            log::info!("upgrade: the predecessor has ended");
        }
        self.settle();
    }
}
