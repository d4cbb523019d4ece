//! What a successor hears of its predecessor after the commit, and says to it.

use super::BEAT;
use super::frame::Link;
use super::journal::Journal;
use super::message::Message;
use super::notify::Supervisor;
use super::slot::{Gate, Slot};
use lb_core::status::HandoverPhase;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::{mpsc, oneshot, watch};

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

struct Watcher {
    link: Link,
    late: Vec<Arc<Slot>>,
    journal: Arc<Journal>,
    probation: Arc<AtomicBool>,
    fate: watch::Sender<Fate>,
    /// The predecessor waits for signs of life.
    turns: Option<Turns>,
}

// === impl Parent ===

impl Parent {
    /// Watches the connection. `late` sockets begin to listen when the probation is over, and `probation` becomes false.
    pub(super) fn watch(
        link: Link,
        late: Vec<Arc<Slot>>,
        journal: Arc<Journal>,
        probation: Arc<AtomicBool>,
        turns: Option<Turns>,
    ) -> Self {
        let (say, heard) = mpsc::channel(1);
        let (fate, seen) = watch::channel(Fate::OnProbation);
        let watcher = Watcher {
            link,
            late,
            journal,
            probation,
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
        if self.say.send((message, done)).await.is_ok() {
            let _ = is_said.await;
        }
    }
}

// === impl Watcher ===

impl Watcher {
    async fn run(mut self, mut commands: mpsc::Receiver<(Message, oneshot::Sender<()>)>) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = beat.tick(), if self.turns.is_some() => self.beat().await,
                command = commands.recv() => {
                    let Some((message, done)) = command else { return };
                    let _ = self.link.send(&message).await;
                    let _ = done.send(());
                }
                said = self.link.receive() => match said {
                    Ok(Message::Settled) => {
                        log::info!("upgrade: the probation is over");
                        self.settle();
                    }
                    Ok(Message::Resumed { reason }) => {
                        self.fate.send_replace(Fate::Dismissed(reason));
                        return;
                    }
                    other => return self.bereaved(other.is_ok()).await,
                },
            }
        }
    }

    /// Gives a sign of life, if there is one. What can't be sent is noticed by who receives.
    async fn beat(&mut self) {
        if self.turns.as_ref().is_some_and(|turns| turns()) {
            let _ = self.link.send(&Message::Alive).await;
        }
    }

    fn settle(&mut self) {
        self.turns = None;
        self.late.drain(..).for_each(|slot| slot.set(Gate::Open));
        self.probation.store(false, Relaxed);
        self.journal.enter(HandoverPhase::None, None);
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
