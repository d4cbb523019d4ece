//! The successor's side until the commit.

use super::frame::{Link, LinkError};
use super::inherit::Inheritance;
use super::journal::{Journal, Outcome};
use super::message::{Introduction, Message};
use super::watch::{Office, Turns};
use super::{
    DirectoryError, Estate, LONGEST, OVERDUE, PROBATION, PROMPT, PROTOCOL, Parent, RunDirectory,
    Slot,
};
use lb_core::status::{HandoverPhase, Sheet, Tier};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::UnixStream;

/// How often the successor looks whether it is ready.
const LOOK: Duration = Duration::from_millis(20);

/// Why a successor does not take over. The predecessor serves on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error(
        "nobody waits for a successor at {path} ({source}): start without --upgrade when no process serves"
    )]
    Nobody {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the process that serves refuses: {0}")]
    Refused(String),
    #[error("the process that serves was told to end, and handed nothing over")]
    Leaving,
    #[error("talking to the process that serves: {0}")]
    Link(#[from] LinkText),
    #[error("a socket can't be used: {0}")]
    Socket(std::io::Error),
    #[error("not ready within {limit:?}: {pending}")]
    Late { limit: Duration, pending: String },
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// A fault of the connection, as text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LinkText(String);

/// A process that is about to take over.
#[derive(Debug)]
pub(crate) struct Succession {
    pub(super) link: Link,
    pub(super) predecessor: Option<u32>,
    limit: Duration,
    /// The predecessor waits for signs of life.
    beats: bool,
    /// How long the predecessor may take until it settles the upgrade.
    patience: Duration,
}

// === impl Succession ===

impl Succession {
    /// Says hello, and gets copies of the sockets.
    ///
    /// # Errors
    /// Nobody serves, or the serving process refuses.
    pub(crate) async fn claim(
        directory: &RunDirectory,
        introduction: Introduction,
    ) -> Result<(Self, Inheritance), JoinError> {
        let limit = Duration::from_millis(introduction.deadline_ms).min(LONGEST);
        let path = directory.upgrade();
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(source) => return Err(JoinError::Nobody { path, source }),
        };
        let mut link = Link::new(stream);
        let predecessor = link.peer().ok().and_then(|(_, pid)| pid);
        // When the peer has refused already this fails, and what it said is there to be read.
        let _ = link.send(&Message::Hello(introduction)).await;
        let mut inheritance = Inheritance::default();
        loop {
            let (sockets, more) = match link.receive_within(PROMPT).await {
                Ok(Message::Sockets { sockets, more }) => (sockets, more),
                other => return Err(unwanted(other)),
            };
            let descriptors = link.take_descriptors(sockets.len());
            let descriptors = descriptors.map_err(LinkText::from)?;
            for (head, descriptor) in sockets.into_iter().zip(descriptors) {
                inheritance
                    .add(head, descriptor)
                    .map_err(JoinError::Socket)?;
            }
            if !more {
                break;
            }
        }
        let made = Self {
            link,
            predecessor,
            limit,
            beats: false,
            patience: PROBATION + OVERDUE,
        };
        Ok((made, inheritance))
    }

    /// Waits until `pending` says that nothing is, and gives the word; returns when this process is to serve, with what
    /// operators ordered.
    ///
    /// # Errors
    /// It took too long, or the predecessor changed its mind.
    pub(crate) async fn get_ready(
        &mut self,
        taken: Vec<u32>,
        journal: &Journal,
        pending: impl Fn() -> Vec<String>,
    ) -> Result<Option<Box<Sheet>>, JoinError> {
        journal.enter(HandoverPhase::Waiting, self.predecessor);
        let warm = async {
            loop {
                let left = pending();
                journal.waits_for(&left);
                if left.is_empty() {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            said = self.link.receive() => return Err(unwanted(said)),
            warm = tokio::time::timeout(self.limit, warm) => if warm.is_err() {
                let (limit, pending) = (self.limit, pending().join(", "));
                return Err(JoinError::Late { limit, pending });
            }
        }
        let ready = self.link.send(&Message::Ready { taken }).await;
        ready.map_err(LinkText::from)?;
        match self.link.receive_within(PROMPT).await {
            Ok(Message::Commit {
                orders,
                beats,
                probation_ms,
            }) => {
                self.beats = beats;
                self.patience = probation_ms.map_or(PROBATION, Duration::from_millis) + OVERDUE;
                Ok(orders)
            }
            other => Err(unwanted(other)),
        }
    }

    /// Tells that this process serves, and watches the predecessor from then on. `late` sockets begin to listen after the probation;
    /// until then `turns` tells whether the event loops do.
    pub(crate) async fn took(
        mut self,
        estate: &Estate,
        late: Vec<Arc<Slot>>,
        turns: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Parent {
        let journal = &estate.journal;
        journal.enter(HandoverPhase::OnProbation, self.predecessor);
        let reason = "this process serves in place of another";
        journal.note(Outcome::TakenOver, reason);
        estate.probation.store(true, Relaxed);
        // One that has gone is noticed by whoever watches the connection.
        let _ = self.link.send(&Message::Took).await;
        let (journal, probation) = (journal.clone(), estate.probation.clone());
        let turns: Option<Turns> = self.beats.then(|| Box::new(turns) as Turns);
        let office = Office {
            late,
            journal,
            probation,
        };
        Parent::watch(self.link, office, self.patience, turns)
    }

    /// Tells that this process was told to end.
    pub(crate) async fn leave(mut self) {
        let _ = self.link.send(&Message::Leaving).await;
    }
}

// === impl Introduction ===

impl Introduction {
    /// This process.
    pub(crate) fn new(tier: Tier, name: &str, config: &str, deadline: Duration) -> Self {
        Self {
            protocol: PROTOCOL,
            tier,
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.to_owned(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            beats: true,
        }
    }
}

// === impl LinkText ===

impl From<LinkError> for LinkText {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}

fn unwanted(said: Result<Message, LinkError>) -> JoinError {
    match said {
        Ok(Message::Refused { reason } | Message::Resumed { reason }) => JoinError::Refused(reason),
        Ok(Message::Leaving) => JoinError::Leaving,
        Ok(other) => JoinError::Link(LinkText(format!("it said {other:?}"))),
        Err(error) => JoinError::Link(error.into()),
    }
}
