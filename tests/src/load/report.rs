//! What came of a load: counts, latency, a timeline, and tables for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::Method;

use super::exchange::{Failure, Kind, Served};

/// How many failures [`Report::failures`] lists one by one.
const LISTED: usize = 20;

/// A generator that is so late was not given its time.
const STALL: Duration = Duration::from_millis(200);

/// One request and what came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The id it was (last) sent under.
    pub id: String,
    /// Its number in the load, from 0.
    pub index: u64,
    /// Method.
    pub method: Method,
    /// When it was due, from the start of the load.
    pub due: Duration,
    /// How late the generator itself started it.
    pub lag: Duration,
    /// From when it was due to the end of the answer, or to giving up.
    pub latency: Duration,
    /// Whether `latency` is above the load's limit.
    pub is_late: bool,
    /// Whether it was sent twice, see [`super`].
    pub is_resent: bool,
    /// The answer, or why there is none.
    pub result: Result<Served, Failure>,
}

/// An event in the timeline.
#[derive(Debug, Clone)]
pub struct Mark {
    /// What happened.
    pub what: String,
    /// When, from the start of the load.
    pub at: Duration,
}

/// A part of the timeline, by the time requests were due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// Start, from the start of the load.
    pub from: Duration,
    /// Answered in time.
    pub ok: usize,
    /// Answered late.
    pub late: usize,
    /// Failed.
    pub failed: usize,
    /// Longest latency, failures included.
    pub max: Duration,
    /// Good answers by server.
    pub by_server: BTreeMap<String, usize>,
}

/// The account of a load, or of a part of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Requests started, those under way included.
    pub sent: u64,
    /// Answered well and in time.
    pub ok: u64,
    /// Answered well but late.
    pub late: u64,
    /// Failed.
    pub failed: u64,
    /// Sent twice by the client, see [`super`].
    pub resent: u64,
    /// How late the generator itself started a request, at most.
    pub max_lag: Duration,
    /// All finished requests in the order of due times.
    pub outcomes: Vec<Outcome>,
    /// Events.
    pub marks: Vec<Mark>,
    latencies: Vec<Duration>,
}

// === impl Report ===

impl Report {
    pub(super) fn new(sent: u64, mut outcomes: Vec<Outcome>, marks: Vec<Mark>) -> Self {
        outcomes.sort_by_key(|outcome| outcome.index);
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|o| is(o)).count() as u64;
        let mut latencies: Vec<Duration> = outcomes
            .iter()
            .filter(|o| o.result.is_ok())
            .map(|o| o.latency)
            .collect();
        latencies.sort_unstable();
        Self {
            sent,
            ok: count(Outcome::is_good),
            late: count(|o| o.result.is_ok() && o.is_late),
            failed: count(|o| o.result.is_err()),
            resent: count(|o| o.is_resent),
            max_lag: outcomes.iter().map(|o| o.lag).max().unwrap_or_default(),
            outcomes,
            marks,
            latencies,
        }
    }

    /// Share of requests answered well and in time; those without an outcome count against it. 1 when none was sent.
    pub fn success_ratio(&self) -> f64 {
        if self.sent == 0 {
            1.0
        } else {
            self.ok as f64 / self.sent as f64
        }
    }

    /// Latency of good answers (late ones included) at a quantile of 0 to 1; zero when there were none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = (self.latencies.len() as f64 * quantile).ceil() as usize;
        self.latencies
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }

    /// Median latency.
    pub fn p50(&self) -> Duration {
        self.quantile(0.50)
    }

    /// 99th percentile of latency.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// Longest latency of a good answer.
    pub fn max(&self) -> Duration {
        self.latencies.last().copied().unwrap_or_default()
    }

    /// Failures by kind.
    pub fn by_kind(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for failure in self.outcomes.iter().filter_map(|o| o.result.as_ref().err()) {
            *kinds.entry(failure.kind).or_insert(0) += 1;
        }
        kinds
    }

    /// Good answers by server.
    pub fn by_server(&self) -> BTreeMap<String, usize> {
        let mut servers = BTreeMap::new();
        for served in self.outcomes.iter().filter_map(|o| o.result.as_ref().ok()) {
            *servers.entry(served.server.clone()).or_insert(0) += 1;
        }
        servers
    }

    /// Failures of requests with this method.
    pub fn failed_of(&self, method: &Method) -> usize {
        self.outcomes
            .iter()
            .filter(|o| o.method == method && o.result.is_err())
            .count()
    }

    /// The requests that were due from `from` on and before `to`.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        let inside = |at: Duration| from <= at && at < to;
        let outcomes: Vec<_> = self
            .outcomes
            .iter()
            .filter(|o| inside(o.due))
            .cloned()
            .collect();
        let marks = self
            .marks
            .iter()
            .filter(|mark| inside(mark.at))
            .cloned()
            .collect();
        Self::new(outcomes.len() as u64, outcomes, marks)
    }

    /// The requests that were due after an event; all of them when there is no such event.
    #[must_use]
    pub fn since(&self, mark: &str) -> Self {
        self.between(self.time_of(mark), Duration::MAX)
    }

    /// How long after an event the last request was due that failed or came late; `None` when all went well. An answer that was late while
    /// the machine stood still, which the generator notices by its own lag, says nothing.
    pub fn recovery_after(&self, mark: &str) -> Option<Duration> {
        let at = self.time_of(mark);
        let stalls = self.outcomes.iter().filter(|o| o.lag >= STALL);
        let stalls: Vec<_> = stalls.map(|o| (o.due, o.due + o.lag)).collect();
        let is_excused = |o: &&Outcome| {
            let meets =
                |&(from, to): &(Duration, Duration)| from <= o.due + o.latency && o.due <= to;
            o.result.is_ok() && stalls.iter().any(meets)
        };
        let bad = self.outcomes.iter().filter(|o| !o.is_good() && o.due >= at);
        bad.filter(|o| !is_excused(o)).map(|o| o.due - at).max()
    }

    /// The timeline in slots of `width`.
    pub fn timeline(&self, width: Duration) -> Vec<Slot> {
        let mut slots: BTreeMap<u128, Slot> = BTreeMap::new();
        for outcome in &self.outcomes {
            let number = outcome.due.as_nanos() / width.as_nanos().max(1);
            let slot = slots.entry(number).or_default();
            slot.from = width.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            slot.max = slot.max.max(outcome.latency);
            match &outcome.result {
                Err(_) => slot.failed += 1,
                Ok(served) => {
                    *slot.by_server.entry(served.server.clone()).or_insert(0) += 1;
                    *if outcome.is_late {
                        &mut slot.late
                    } else {
                        &mut slot.ok
                    } += 1;
                }
            }
        }
        slots.into_values().collect()
    }

    /// The first failed and late requests, one a line, for assertion messages.
    pub fn failures(&self) -> String {
        let mut table = String::new();
        let bad: Vec<_> = self.outcomes.iter().filter(|o| !o.is_good()).collect();
        for outcome in bad.iter().take(LISTED) {
            let verdict = match &outcome.result {
                Ok(served) => format!("late, {} from {}", served.status, served.server),
                Err(failure) => format!("{}: {}", failure.kind, failure.detail),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "  at {:>7.3} s  {:<4} {:<14} {:>7.0} ms  {verdict}",
                outcome.due.as_secs_f64(),
                outcome.method.as_str(),
                outcome.id,
                outcome.latency.as_secs_f64() * 1e3,
            );
        }
        if bad.len() > LISTED {
            let _ = writeln!(table, "  … and {} more", bad.len() - LISTED);
        }
        table
    }

    fn time_of(&self, mark: &str) -> Duration {
        self.marks
            .iter()
            .find(|known| known.what == mark)
            .map_or(Duration::ZERO, |known| known.at)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            f,
            "{} sent, {} ok, {} late, {} failed, {} resent; p50 {:.1} p99 {:.1} max {:.1} ms; generator lag ≤ {:.1} ms",
            self.sent,
            self.ok,
            self.late,
            self.failed,
            self.resent,
            ms(self.p50()),
            ms(self.p99()),
            ms(self.max()),
            ms(self.max_lag),
        )?;
        for (kind, count) in self.by_kind() {
            writeln!(f, "  {count:>6} × {kind}")?;
        }
        for (server, count) in self.by_server() {
            writeln!(f, "  {count:>6} from {server}")?;
        }
        for mark in &self.marks {
            writeln!(f, "  at {:.3} s: {}", mark.at.as_secs_f64(), mark.what)?;
        }
        f.write_str(&self.failures())
    }
}

// === impl Outcome ===

impl Outcome {
    /// Answered well and in time.
    pub fn is_good(&self) -> bool {
        self.result.is_ok() && !self.is_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(due: u64, lag: u64, latency: u64) -> Outcome {
        Outcome {
            id: String::new(),
            index: due,
            method: Method::GET,
            due: Duration::from_millis(due),
            lag: Duration::from_millis(lag),
            latency: Duration::from_millis(latency),
            is_late: latency > 1_000,
            is_resent: false,
            result: Ok(Served {
                status: 200,
                server: "s".to_owned(),
            }),
        }
    }

    fn recovery(outcomes: Vec<Outcome>) -> Option<Duration> {
        let mark = Mark {
            what: "fault".to_owned(),
            at: Duration::from_millis(50),
        };
        Report::new(outcomes.len() as u64, outcomes, vec![mark]).recovery_after("fault")
    }

    #[test]
    fn only_what_was_under_way_while_the_generator_lagged_is_excused() {
        let late = || outcome(150, 0, 1_500);
        let at = Some(Duration::from_millis(100));
        assert_eq!(recovery(vec![late()]), at);
        assert_eq!(recovery(vec![late(), outcome(1_600, 700, 701)]), None);
        assert_eq!(recovery(vec![late(), outcome(1_600, 70, 71)]), at);
        assert_eq!(recovery(vec![late(), outcome(1_700, 700, 701)]), at);
        let failed = |mut outcome: Outcome| {
            outcome.result = Err(Failure {
                kind: Kind::Timeout,
                detail: String::new(),
            });
            outcome
        };
        assert_eq!(recovery(vec![failed(late()), outcome(160, 700, 701)]), at);
    }
}
