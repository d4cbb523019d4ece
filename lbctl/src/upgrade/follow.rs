//! Watches predecessor and successor until one of them serves for good.

use super::place::{Place, is_alive};
use super::steps::Steps;
use super::successor::Successor;
use super::{GRACE, LOOK};
use crate::failure::{Exit, Failure};
use lb_core::status::{Handover, HandoverPhase as Phase};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Exit code of a program whose configuration is at fault.
const INVALID: i32 = 3;

/// Waits until the successor serves. Where it can't, it is ended, and the predecessor serves.
pub(super) async fn until_commit(
    place: &Place,
    successor: &mut Successor,
    attempts: u64,
    limit: Duration,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let pid = successor.pid();
    let end = Instant::now() + limit;
    let mut greeted = false;
    loop {
        let old = place.ask(place.pid).await;
        let new = place.ask(pid).await;
        let is_ours = old.as_ref().is_some_and(|old| old.attempts > attempts);
        if is_ours && !greeted {
            greeted = true;
            steps.done("it said hello, and has the sockets; the old process serves");
        }
        if serves(old.as_ref(), new.as_ref(), is_ours) {
            steps.done("it is ready and serves; the old process accepts no more");
            return Ok(());
        }
        if let Some(new) = new.filter(|new| !new.pending.is_empty()) {
            steps.waits(&format!("waits for: {}", new.pending.join(", ")));
        }
        if let Some(status) = successor.ended() {
            return Err(ended(place, status, successor, greeted).await);
        }
        if Instant::now() >= end + if greeted { GRACE } else { Duration::ZERO } {
            successor.kill();
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
    loop {
        let Some(old) = place.ask(place.pid).await else {
            if is_alive(place.pid) {
                sleep(LOOK).await;
                continue;
            }
            steps.done(&format!("process {} has ended", place.pid));
            return confirm(place, successor).await;
        };
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
                return Err(Failure::new(Exit::Failed, message)
                    .hint(format!("process {} serves again", place.pid)));
            }
            _ => {}
        }
        steps.drain(&old);
        if let Some(status) = successor.ended() {
            steps.waits(&format!("process {pid} ended ({status})"));
        }
        sleep(LOOK).await;
    }
}

fn serves(old: Option<&Handover>, new: Option<&Handover>, is_ours: bool) -> bool {
    let handed = |old: &Handover| matches!(old.phase, Phase::Probation | Phase::Retiring);
    let took = |new: &Handover| {
        new.phase == Phase::OnProbation || new.last.as_ref().is_some_and(|last| last.ok)
    };
    is_ours && old.is_some_and(handed) || new.is_some_and(took)
}

/// The successor has ended before it served, or moments after.
async fn ended(place: &Place, status: ExitStatus, successor: &Successor, greeted: bool) -> Failure {
    let exit = match status.code() {
        Some(INVALID) => Exit::Config,
        _ => Exit::Failed,
    };
    // The predecessor notices at about the same time.
    sleep(LOOK).await;
    let last = match place.ask(place.pid).await {
        Some(told) if greeted => told.last,
        _ => None,
    };
    let why = last.map_or("it had not said hello".to_owned(), |last| last.reason);
    let message = format!(
        "rolled back: the new process ended ({status}): {why}; its last words are in {}",
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
    if let Some(status) = successor.ended() {
        let message = format!("process {pid} took over, and then ended: {status}");
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
