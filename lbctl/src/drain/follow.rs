//! Follows an order until enough replicas have it, and until it is carried out.
//!
//! # Choice
//! Every replica is asked by itself: what a replica says about its sisters is what it believes of them. Whether a replica has the order
//! is told by the record's stamp, as two operators may have given version 1 of different orders at two replicas at one time.
//!
//! # Limits
//! A replica that can't be asked may have the order: it counts when the replica that took the order heard so from it.

use super::args::Follow;
use super::progress::Progress;
use super::roster::Roster;
use super::sight::{Sights, goal};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::words;
use lb_core::drain::{Answer, Stage};
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// When enough have the order, the others that answer get this long to show it.
const COURTESY: Duration = Duration::from_secs(1);
/// Without --timeout-drained, requests may take this long after the ramp.
const IN_FLIGHT: Duration = Duration::from_secs(600);

/// What was seen last, and whether it is what was asked for.
pub(crate) type Followed = (Sights, Result<(), Failure>);

/// What to look at and what for.
pub(crate) struct Chase<'a, W> {
    pub(crate) client: &'a Client,
    pub(crate) roster: &'a Roster,
    pub(crate) answer: &'a Answer,
    pub(crate) follow: &'a Follow,
    pub(crate) progress: &'a mut Progress<W>,
}

// === impl Chase ===

impl<W: Write> Chase<'_, W> {
    /// Follows the order as far as was asked.
    pub(crate) fn run(mut self) -> Result<Followed, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("can't wait: {error}")))?;
        let followed = runtime.block_on(async {
            let (sights, verdict) = self.spread().await;
            if verdict.is_err() || !self.follow.wait_drained {
                return (sights, verdict);
            }
            self.carried_out().await
        });
        self.progress.end();
        Ok(followed)
    }

    fn look(&self) -> Sights {
        Sights::of(self.roster, self.roster.views(self.client), self.answer)
    }

    /// Until enough have it.
    async fn spread(&mut self) -> Followed {
        let (wait, begin) = (self.follow.wait, Instant::now());
        loop {
            let sights = self.look();
            let (has, all) = (sights.applied(), sights.all());
            let scope = &self.answer.record.scope;
            self.progress
                .show(&format!("{scope}  applied {has}/{all}"), "");
            let waited = begin.elapsed();
            if sights.is_enough(wait) && (!sights.is_on_its_way() || waited >= COURTESY) {
                let halt = sights.halt(&self.answer.record);
                return (sights, halt.map_or(Ok(()), Err));
            }
            if waited >= self.follow.timeout_wait {
                let message = format!(
                    "applied {has}/{all} within {:?}; missing: {}",
                    self.follow.timeout_wait,
                    sights.missing()
                );
                let failure = Failure::new(Exit::Partial, message).hint(
                    "the order stands: the others fetch it as soon as they can reach a replica that has it",
                );
                return (sights, Err(failure));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Until it is carried out everywhere.
    async fn carried_out(&mut self) -> Followed {
        let record = &self.answer.record;
        let ramp = Duration::from_secs(u64::from(record.ramp_s));
        let patience = self.follow.timeout_drained.unwrap_or(ramp + IN_FLIGHT);
        let begin = Instant::now();
        let mut only_silent: Option<Instant> = None;
        loop {
            let sights = self.look();
            let (news, rest) = line(&sights, self.answer);
            self.progress.show(&news, &rest);
            let (done, silent) = (sights.done(record), sights.silent().count());
            if done == sights.all() {
                return (sights, Ok(()));
            }
            if let Some(failure) = sights.halt(record) {
                return (sights, Err(failure));
            }
            only_silent = match only_silent {
                _ if done + silent < sights.all() => None,
                None => Some(Instant::now()),
                since => since,
            };
            let given_up = only_silent.is_some_and(|at| at.elapsed() >= self.follow.timeout_wait);
            if given_up || begin.elapsed() >= patience {
                let failure = unfinished(&sights, self.answer);
                return (sights, Err(failure));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The news and the figures of a line of progress.
fn line(sights: &Sights, answer: &Answer) -> (String, String) {
    let record = &answer.record;
    let goal = goal(record);
    let (done, all) = (sights.done(record), sights.all());
    let mut news = format!("{}  {} {done}/{all}", record.scope, goal.as_str());
    let most = |part: fn(&_) -> u64| sights.statuses().map(part).max().unwrap_or(0);
    let shares = || sights.statuses().map(|status| status.share);
    let stage = sights.statuses().map(|status| status.stage);
    if let Some(stage) = stage.filter(|stage| *stage != goal).min_by_key(rank) {
        news += &format!("  {}", stage.as_str());
    }
    if let Some(held) = sights.statuses().find_map(|s| s.held_by.as_deref()) {
        news += &format!("  held by {held}");
    }
    let share = match goal {
        Stage::Active => shares().fold(1.0, f64::min),
        _ => shares().fold(0.0, f64::max),
    };
    let in_flight: u64 = sights.statuses().map(|status| status.in_flight).sum();
    let rest = format!(
        "share {}  in flight {in_flight}  left {}",
        words::percent(Some(share)),
        words::age(most(|status| status.left_ms))
    );
    (news, rest)
}

/// The stage that is furthest from the end is told.
const fn rank(stage: &Stage) -> u8 {
    match stage {
        Stage::Suspended | Stage::ExpiredUnhealthy => 0,
        Stage::Ramping | Stage::Undraining => 1,
        _ => 2,
    }
}

fn unfinished(sights: &Sights, answer: &Answer) -> Failure {
    let goal = goal(&answer.record).as_str();
    let (done, all) = (sights.done(&answer.record), sights.all());
    let silent: Vec<&str> = sights.silent().map(|s| s.member.name.as_str()).collect();
    let (news, rest) = line(sights, answer);
    let message = if silent.is_empty() {
        format!("not {goal} everywhere in time: {news}  {rest}")
    } else {
        format!(
            "{goal} at {done} of {all} replicas; no word from {}",
            silent.join(", ")
        )
    };
    Failure::new(Exit::Partial, message).hint("the order stands: lbctl region drains shows it")
}
