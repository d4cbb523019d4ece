//! The predecessor's side until the commit: nothing of what a successor does before it is ready changes how this process serves.

use super::estate::Estate;
use super::frame::{BATCH, Link, LinkError};
use super::journal::Outcome;
use super::message::{Introduction, Message, SocketHead, SocketKind};
use super::other::Other;
use super::slot::{Gate, Lent, Slot};
use super::{DirectoryError, Draft, LONGEST, PROMPT, PROTOCOL, board::Board, board::KEEP};
use crate::lifecycle::Stage;
use lb_core::status::HandoverPhase;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::MissedTickBehavior;

/// How long a process that is refused may take for its hello.
const REFUSAL: Duration = Duration::from_secs(1);
/// How often it is looked whether another process is left.
const ALONE: Duration = Duration::from_millis(50);
/// How long a successor may take to begin: nobody accepts meanwhile, and connections wait in the kernel.
const TAKE: Duration = Duration::from_secs(2);

/// Waits for successors at `upgrade.sock`.
#[derive(Debug)]
pub(crate) struct Offer {
    board: Board,
    estate: Arc<Estate>,
}

/// A successor that serves.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(super) link: Link,
    pub(super) pid: u32,
    /// It gives signs of life.
    pub(super) beats: bool,
    pub(super) taken: Vec<Arc<Slot>>,
}

// === impl Offer ===

impl Offer {
    /// Takes the directory over.
    ///
    /// # Errors
    /// A file can't be renamed: somebody has removed it.
    pub(crate) fn publish(draft: Draft, estate: Arc<Estate>) -> Result<Self, DirectoryError> {
        let board = draft.put()?;
        Ok(Self { board, estate })
    }

    /// Takes the directory back from a successor that failed, whatever that has put there.
    pub(crate) fn take_back(&self) {
        self.board.take_back();
    }

    /// This process leaves: the directory is free for another.
    pub(crate) fn withdraw(&self) {
        self.board.withdraw();
    }

    /// Waits until no other process of this directory is left. Under systemd, the end of the main process is that of all: what those
    /// who served before still have in flight would be cut.
    pub(crate) async fn alone(&self) {
        let mut others = self.board.directory().others();
        if !others.is_empty() {
            let pids: Vec<_> = others.iter().map(Other::pid).collect();
            log::info!("waiting for the work of the process before: {pids:?}");
        }
        while !others.is_empty() {
            others.retain(Other::goes_on);
            tokio::time::sleep(ALONE).await;
        }
    }

    /// Waits for a successor that makes it. Failures are told and leave everything as it was.
    pub(crate) async fn attend(&self) -> Committed {
        let mut looks = tokio::time::interval(KEEP);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stream = tokio::select! {
                stream = self.next() => stream,
                _ = looks.tick() => {
                    self.board.keep();
                    continue;
                }
            };
            let session = self.session(stream);
            let outcome = tokio::select! {
                outcome = session => outcome,
                never = self.refuse_others() => match never {},
            };
            match outcome {
                Ok(committed) => return committed,
                Err((outcome, reason)) => {
                    log::error!("upgrade: {reason}; this process serves on");
                    self.estate.journal.note(outcome, &reason);
                    self.estate.journal.enter(HandoverPhase::None, None);
                }
            }
        }
    }

    async fn next(&self) -> UnixStream {
        loop {
            match self.board.accept().await {
                Ok(stream) => return stream,
                Err(error) => {
                    log::warn!("upgrade: accept: {error}");
                    tokio::time::sleep(REFUSAL).await;
                }
            }
        }
    }

    async fn refuse_others(&self) -> Infallible {
        loop {
            let stream = self.next().await;
            let reason = "another upgrade is under way";
            log::warn!("upgrade: a second successor is refused: {reason}");
            self.estate.journal.note(Outcome::Refused, reason);
            tokio::spawn(refuse(Link::new(stream), reason.to_owned()));
        }
    }

    async fn session(&self, stream: UnixStream) -> Result<Committed, (Outcome, String)> {
        let journal = &self.estate.journal;
        journal.attempt();
        let mut link = Link::new(stream);
        let (hello, pid) = match self.greet(&mut link).await {
            Ok(greeted) => greeted,
            Err(reason) => {
                tokio::spawn(refuse(link, reason.clone()));
                return Err((Outcome::Refused, format!("refused: {reason}")));
            }
        };
        log::info!(
            "upgrade: process {pid} ({} {}, configuration {}) gets the sockets; this process serves",
            hello.name,
            hello.version,
            hello.config
        );
        journal.enter(HandoverPhase::Greeted, Some(pid));
        let failed = |doing: &str, error: &LinkError| {
            let reason = format!("the successor (process {pid}) failed {doing}: {error}");
            (Outcome::Failed, reason)
        };
        let lent = self.hand_over(&mut link).await;
        let lent = lent.map_err(|error| failed("to take the sockets", &error))?;
        let taken = self.ready(&mut link, &hello, pid).await?;
        let taken: Vec<Arc<Slot>> = lent
            .into_iter()
            .filter(|(id, _)| taken.contains(id))
            .map(|(_, slot)| slot)
            .collect();
        taken.iter().for_each(|slot| slot.set(Gate::Shut));
        if let Err(error) = commit(&mut link, &self.estate).await {
            taken.iter().for_each(|slot| slot.set(Gate::Open));
            // Should it still live, it must not serve beside this process.
            let reason = error.to_string();
            let _ = link.send(&Message::Resumed { reason }).await;
            // It may have put its files there before it failed.
            self.board.take_back();
            return Err(failed("to begin", &error));
        }
        let beats = hello.beats;
        Ok(Committed {
            link,
            pid,
            beats,
            taken,
        })
    }

    /// Hears who it is.
    async fn greet(&self, link: &mut Link) -> Result<(Introduction, u32), String> {
        let (user, pid) = link.peer().map_err(|error| error.to_string())?;
        if user != 0 && user != rustix::process::geteuid().as_raw() {
            return Err(format!("user {user} may not take over"));
        }
        if self.estate.lifecycle.stage() != Stage::Serving {
            return Err("this process is leaving".to_owned());
        }
        if self.estate.probation.load(Relaxed) {
            return Err("this process took over moments ago; try again in some seconds".to_owned());
        }
        let hello = tokio::time::timeout(PROMPT, link.receive_value()).await;
        let hello = hello
            .unwrap_or(Err(LinkError::Silent(PROMPT)))
            .map_err(|error| format!("no hello: {error}"))?;
        let protocol = hello.get("protocol").and_then(serde_json::Value::as_u64);
        if protocol != Some(PROTOCOL.into()) {
            let theirs = protocol.map_or("none".to_owned(), |version| version.to_string());
            return Err(format!(
                "the successor speaks version {theirs} of the hand-over, and this process {PROTOCOL}: restart instead"
            ));
        }
        let Ok(Message::Hello(hello)) = serde_json::from_value(hello) else {
            return Err("the first message was no hello".to_owned());
        };
        if hello.tier != self.estate.tier {
            return Err("the successor is of another tier".to_owned());
        }
        let pid = pid.ok_or("the system does not tell its process id")?;
        Ok((hello, pid))
    }

    /// Sends copies of all sockets.
    async fn hand_over(&self, link: &mut Link) -> Result<Vec<(u32, Arc<Slot>)>, LinkError> {
        let estate = &self.estate;
        let admin = (SocketKind::Admin, 0, &estate.admin);
        let listeners = estate.slots.iter();
        let listeners = listeners.map(|(column, slot)| (SocketKind::Listener, *column, slot));
        let mut given: Vec<(SocketHead, Arc<Slot>, Lent)> = Vec::new();
        for (kind, column, slot) in listeners.chain([admin]) {
            // A socket that only listens after the probation has none yet, and nobody waits in its queue.
            let Some(lent) = slot.lend() else { continue };
            let head = SocketHead {
                id: u32::try_from(given.len()).unwrap_or(u32::MAX),
                kind,
                name: slot.name.clone(),
                address: slot.address,
                column: u32::try_from(column).unwrap_or(u32::MAX),
            };
            given.push((head, slot.clone(), lent));
        }
        let batches = given.chunks(BATCH).count();
        for (index, batch) in given.chunks(BATCH).enumerate() {
            let message = Message::Sockets {
                sockets: batch.iter().map(|(head, _, _)| head.clone()).collect(),
                more: index + 1 < batches,
            };
            let descriptors: Vec<_> = batch.iter().map(|(_, _, lent)| lent.as_fd()).collect();
            link.send_with(&message, &descriptors).await?;
        }
        let slots = given.into_iter().map(|(head, slot, _)| (head.id, slot));
        Ok(slots.collect())
    }

    /// Waits until the successor could serve; tells on which sockets.
    async fn ready(
        &self,
        link: &mut Link,
        hello: &Introduction,
        pid: u32,
    ) -> Result<Vec<u32>, (Outcome, String)> {
        let limit = Duration::from_millis(hello.deadline_ms).min(LONGEST);
        let mut leaving = self.estate.lifecycle.leaving();
        let answer = tokio::select! {
            answer = link.receive_within(limit) => answer,
            () = leaving.reached() => {
                let _ = link.send(&Message::Leaving).await;
                let reason = "this process was told to end before it handed over".to_owned();
                return Err((Outcome::Failed, reason));
            }
        };
        let why = match answer {
            Ok(Message::Ready { taken }) => return Ok(taken),
            Ok(Message::Leaving) => "it was told to end".to_owned(),
            Ok(other) => format!("it said {other:?}"),
            Err(error) => error.to_string(),
        };
        let reason = format!("the successor (process {pid}) did not become ready: {why}");
        let _ = link
            .send(&Message::Refused {
                reason: reason.clone(),
            })
            .await;
        Err((Outcome::Failed, reason))
    }
}

async fn commit(link: &mut Link, estate: &Estate) -> Result<(), LinkError> {
    let order = Message::Commit {
        orders: Some(Box::new(estate.orders.sheet())),
        beats: true,
        probation_ms: u64::try_from(estate.stands_by.as_millis()).ok(),
    };
    link.send(&order).await?;
    match link.receive_within(TAKE).await? {
        Message::Took => Ok(()),
        other => Err(LinkError::Nonsense(format!("{other:?}"))),
    }
}

/// Says no to a process, once it has said hello: it does not listen before.
async fn refuse(mut link: Link, reason: String) {
    let _ = tokio::time::timeout(REFUSAL, link.receive_value()).await;
    let _ = link.send(&Message::Refused { reason }).await;
}
