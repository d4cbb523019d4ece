//! Watches predecessor and successor until one of them serves for good.

use super::place::Place;
use super::steps::Steps;
use super::successor::{End, Successor};
use super::{GRACE, LOOK};
use crate::failure::{Exit, Failure};
use lb_core::status::{Handover, HandoverPhase as Phase};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Exit code of a program whose configuration is at fault.
const INVALID: i32 = 3;
/// What a successor may take to answer when its predecessor has given it up: it was silent for seconds before.
const WAKE: Duration = Duration::from_millis(500);

/// Waits until the successor serves. Where it can't, it is ended, and the predecessor serves.
pub(super) async fn until_commit(
    place: &Place,
    successor: &mut Successor,
    limit: Duration,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let pid = successor.pid();
    let end = Instant::now() + limit;
    let mut greeted = false;
    loop {
        let old = place.ask(place.pid).await;
        let new = place.ask(pid).await;
        // Another upgrade may have begun at the same time.
        let is_ours = old.as_ref().is_some_and(|old| old.peer_pid == Some(pid));
        if is_ours && !greeted {
            greeted = true;
            steps.done("it said hello, and has the sockets; the old process serves");
        }
        if serves(old.as_ref(), new.as_ref(), is_ours) {
            steps.done("it is ready and serves; the old process accepts no more");
            // Before it can become a service's main process.
            successor.release().await;
            return Ok(());
        }
        if let Some(new) = new.filter(|new| !new.pending.is_empty()) {
            steps.waits(&format!("waits for: {}", new.pending.join(", ")));
        }
        if let Some(end) = successor.ended().await {
            return Err(ended(place, end, successor, greeted).await);
        }
        if Instant::now() >= end + if greeted { GRACE } else { Duration::ZERO } {
            successor.kill().await;
            let what = if greeted { "become ready" } else { "say hello" };
            let message = format!("process {pid} did not {what} within {limit:?}, and was ended");
            return Err(Failure::new(Exit::Partial, message).hint(still_serves(place).await));
        }
        sleep(LOOK).await;
    }
}

/// Waits until the predecessor has ended, or until it will not be needed again.
pub(super) async fn until_end(
    place: &Place,
    successor: &mut Successor,
    no_wait: bool,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let pid = successor.pid();
    let mut settled = false;
    let mut heard = Instant::now();
    loop {
        let Some(old) = place.ask(place.pid).await else {
            if place.life.goes_on() {
                if heard.elapsed() > GRACE && is_settled(place, pid).await {
                    let message =
                        "does not answer, and is no longer needed: look at it, and end it";
                    steps.done(&format!("process {} {message}", place.pid));
                    return confirm(place, successor).await;
                }
                sleep(LOOK).await;
                continue;
            }
            steps.done(&format!("process {} has ended", place.pid));
            return confirm(place, successor).await;
        };
        heard = Instant::now();
        match old.phase {
            Phase::Retiring if !settled => {
                settled = true;
                steps.done("the new process has proved itself; the old one finishes its work");
                if no_wait {
                    return confirm(place, successor).await;
                }
            }
            Phase::None => {
                let why = old.last.map(|last| last.reason).unwrap_or_default();
                let message = format!("rolled back: {why}");
                let hung = if end(place, successor).await {
                    format!("; process {pid} hung, and was ended")
                } else {
                    String::new()
                };
                return Err(Failure::new(Exit::Failed, message)
                    .hint(format!("process {} serves again{hung}", place.pid)));
            }
            _ => {}
        }
        steps.drain(&old);
        if let Some(end) = successor.ended().await {
            steps.waits(&format!("process {pid} {end}"));
        }
        sleep(LOOK).await;
    }
}

/// Whether the successor waits for its predecessor no longer.
async fn is_settled(place: &Place, pid: u32) -> bool {
    let told = place.ask(pid).await;
    told.is_some_and(|told| told.phase == Phase::None)
}

/// Ends a successor that hangs: what it has accepted would hang with it. One that answers leaves by itself. Tells whether it was ended.
async fn end(place: &Place, successor: &mut Successor) -> bool {
    let limit = Instant::now() + WAKE;
    while successor.ended().await.is_none() {
        match timeout_at(limit, place.ask(successor.pid())).await {
            Ok(Some(_)) => return false,
            Ok(None) if Instant::now() < limit => sleep(LOOK).await,
            Ok(None) | Err(_) => {
                successor.kill().await;
                return true;
            }
        }
    }
    false
}

fn serves(old: Option<&Handover>, new: Option<&Handover>, is_ours: bool) -> bool {
    let handed = |old: &Handover| matches!(old.phase, Phase::Probation | Phase::Retiring);
    let took = |new: &Handover| {
        new.phase == Phase::OnProbation || new.last.as_ref().is_some_and(|last| last.ok)
    };
    is_ours && old.is_some_and(handed) || new.is_some_and(took)
}

/// The successor has ended before it served, or moments after.
async fn ended(place: &Place, end: End, successor: &Successor, greeted: bool) -> Failure {
    let exit = match end.code() {
        Some(INVALID) => Exit::Config,
        _ => Exit::Failed,
    };
    // The predecessor notices at about the same time.
    sleep(LOOK).await;
    let last = match place.ask(place.pid).await {
        Some(told) if greeted => told.last,
        _ => None,
    };
    let why = last.map_or("it got no sockets".to_owned(), |last| last.reason);
    let message = format!(
        "rolled back: the new process {end}: {why}; its last words are in {}",
        successor.log
    );
    Failure::new(exit, message).hint(still_serves(place).await)
}

async fn still_serves(place: &Place) -> String {
    match place.ask(place.pid).await {
        Some(_) => format!("process {} serves as before", place.pid),
        None => format!("process {} does not answer either: look at it", place.pid),
    }
}

/// The successor is there and ready.
async fn confirm(place: &Place, successor: &mut Successor) -> Result<(), Failure> {
    let pid = successor.pid();
    if let Some(end) = successor.ended().await {
        let message = format!("process {pid} took over, and then {end}");
        return Err(Failure::new(Exit::Failed, message));
    }
    let end = Instant::now() + GRACE;
    while !place.is_ready(pid).await {
        if Instant::now() < end {
            sleep(LOOK).await;
            continue;
        }
        let message = format!("process {pid} serves, but /readyz of it fails");
        return Err(Failure::new(Exit::Failed, message)
            .hint("`lbctl status` tells what it lacks; its predecessor has ended"));
    }
    Ok(())
}
