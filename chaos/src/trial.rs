//! One scenario at work: a stack under an open-loop load, with the times at which things happened.

use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use strata_tests::load::{Load, Outcome, Report, Running};
use strata_tests::reconcile::reconcile;
use tokio::time::{Instant, sleep};

use crate::contender::{Places, Subject};
use crate::measures::Measures;
use crate::plan::Plan;
use crate::stack::Stack;
use crate::stats::{self, Arrival};

/// The mark at which the healthy baseline begins.
const BASELINE: &str = "baseline";
/// The mark at which the fault begins.
pub const FAULT: &str = "fault";
/// The mark at which it is undone.
pub const UNDONE: &str = "undone";

/// Requests due so shortly before an event may be under way when it happens: they belong to it.
const LEAD: Duration = Duration::from_millis(200);
/// How many failures are kept in words.
const EXAMPLES: usize = 12;

/// What all scenarios of a run have in common.
#[derive(Debug, Clone)]
pub struct Bed {
    /// Where programs and templates are.
    pub places: Places,
    /// Who is tried.
    pub subject: Subject,
    /// Short measuring spans.
    pub is_quick: bool,
}

/// A stack under load.
#[derive(Debug)]
pub struct Trial {
    /// The stack.
    pub stack: Stack,
    running: Running,
    begin: Instant,
    is_quick: bool,
}

/// A trial whose load has ended, with both sides' accounts.
#[derive(Debug)]
pub struct Account {
    /// The stack, still running.
    pub stack: Stack,
    /// The clients' account.
    pub report: Report,
    /// The servers' account.
    pub arrivals: Vec<Arrival>,
    begin: Instant,
}

// === impl Bed ===

impl Bed {
    /// Length of slow start in the scenarios in which servers come back, in seconds.
    pub fn slow_start_s(&self) -> u64 {
        if self.is_quick { 5 } else { 10 }
    }

    /// Starts a stack, puts it under `load`, lets it warm up, and measures the healthy baseline.
    ///
    /// # Errors
    ///
    /// When the stack does not start.
    pub async fn begin(&self, plan: &Plan, load: impl FnOnce(&Stack) -> Load) -> Result<Trial> {
        let stack = Stack::start(self.subject, plan, &self.places).await?;
        let running = load(&stack).start()?;
        let trial = Trial {
            stack,
            running,
            begin: Instant::now(),
            is_quick: self.is_quick,
        };
        // Envoy chooses by other rules during slow start, which at the start all servers are in.
        sleep(Duration::from_secs(plan.slow_start_s)).await;
        trial.hold(1.5).await;
        trial.mark(BASELINE);
        trial.hold(3.0).await;
        Ok(trial)
    }
}

// === impl Trial ===

impl Trial {
    /// Lets the load go on for a measuring span; in quick mode for half of it.
    pub async fn hold(&self, seconds: f64) {
        self.hold_for(seconds, seconds / 2.0).await;
    }

    /// Lets the load go on for a span whose length in quick mode is given too, because the target needs it.
    pub async fn hold_for(&self, seconds: f64, quick: f64) {
        let seconds = if self.is_quick { quick } else { seconds };
        sleep(Duration::from_secs_f64(seconds)).await;
    }

    /// Notes that something happens now.
    pub fn mark(&self, what: &str) {
        self.running.mark(what);
    }

    /// Seconds since the load began.
    pub fn now(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Ends the load and takes both accounts.
    pub async fn end(self) -> Account {
        let report = self.running.stop().await;
        let mut account = Account {
            stack: self.stack,
            report,
            arrivals: Vec::new(),
            begin: self.begin,
        };
        account.take_arrivals();
        account
    }
}

// === impl Account ===

impl Account {
    /// When something was noted, from the begin of the load.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn at(&self, mark: &str) -> Result<Duration> {
        let known = self.report.marks.iter().find(|known| known.what == mark);
        Ok(known.with_context(|| format!("no mark {mark}"))?.at)
    }

    /// When the last request was due.
    pub fn end(&self) -> Duration {
        let last = self.report.outcomes.last();
        last.map_or(Duration::ZERO, |outcome| outcome.due)
    }

    /// Requests due in `from..to`.
    pub fn due(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Outcome> + Clone {
        let inside = move |o: &&Outcome| from <= o.due && o.due < to;
        self.report.outcomes.iter().filter(inside)
    }

    /// Healthy p99 in seconds.
    ///
    /// # Errors
    ///
    /// When there was no baseline.
    pub fn healthy_p99(&self) -> Result<f64> {
        let until = self.at(FAULT)?.saturating_sub(LEAD);
        let healthy = self.due(self.at(BASELINE)?, until);
        Ok(stats::quantile(healthy, 0.99))
    }

    /// The usual numbers for requests due in `from..to`, and those that may have been under way at `from`; recovery
    /// counts from `from`.
    ///
    /// # Errors
    ///
    /// When there was no baseline.
    pub fn measures(&self, from: Duration, to: Duration) -> Result<Measures> {
        let part = self.report.between(from.saturating_sub(LEAD), to);
        let accounts = reconcile(&part, self.stack.ledgers());
        let healthy = self.healthy_p99()?;
        let p99 = stats::quantile(&part.outcomes, 0.99);
        let failures = part
            .by_kind()
            .into_iter()
            .map(|(kind, count)| (kind.to_string(), count as u64))
            .collect();
        let failed = part.outcomes.iter();
        let failed = failed.filter_map(|o| Some((o, o.result.as_ref().err()?)));
        let examples = failed.take(EXAMPLES).map(|(o, failure)| {
            let (at, after) = (
                o.due.as_secs_f64() - from.as_secs_f64(),
                o.latency.as_secs_f64(),
            );
            let (method, why) = (&o.method, &failure.detail);
            format!(
                "{at:.2} s: {method} after {after:.2} s: {}: {why}",
                failure.kind
            )
        });
        Ok(Measures {
            sent: part.sent,
            success_percent: part.success_ratio() * 100.0,
            failed_gets: part.failed_of(&Method::GET) as u64,
            failed_posts: part.failed_of(&Method::POST) as u64,
            late: part.late,
            recovery: Some(stats::recovery(&part.outcomes, from, to)),
            amplification: Some(accounts.amplification()),
            p99_ratio: (p99 > 0.0).then(|| stats::ratio(p99, healthy)),
            healthy_p99_ms: healthy * 1e3,
            repeated_posts: accounts.repeated_posts.len() as u64,
            generator_lag_ms: self.report.max_lag.as_secs_f64() * 1e3,
            failures,
            examples: examples.collect(),
            ..Measures::default()
        })
    }

    /// The usual numbers from the fault to the end.
    ///
    /// # Errors
    ///
    /// As [`Account::measures`].
    pub fn since_fault(&self) -> Result<Measures> {
        self.measures(self.at(FAULT)?, self.end())
    }

    /// Numbers of the servers of a region, in the order of the stack.
    pub fn servers_of(&self, region: usize) -> std::ops::Range<usize> {
        let count = |index: usize| {
            let before = self.stack.regions.iter().take(index);
            before.map(|r| r.servers.len()).sum::<usize>()
        };
        count(region)..count(region + 1)
    }

    /// Seconds from `from` on until a server got nothing for `gap` seconds; `None` when that did not happen.
    pub fn out_after(&self, server: usize, from: Duration, gap: f64) -> Option<f64> {
        let (from, to) = (from.as_secs_f64(), self.end().as_secs_f64());
        stats::out_after(&self.arrivals, server, from, to, gap)
    }

    fn take_arrivals(&mut self) {
        let begin = self.begin;
        let ledgers = self.stack.ledgers().into_iter().enumerate();
        let all = ledgers.flat_map(|(server, ledger)| {
            let seen = ledger.seen().into_iter();
            seen.map(move |one| Arrival {
                at: one.at.saturating_duration_since(begin).as_secs_f64(),
                server,
            })
        });
        self.arrivals = all.collect();
    }
}
