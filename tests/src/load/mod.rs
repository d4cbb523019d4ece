//! An open-loop load generator with an account of each request.
//!
//! **Problem.** A generator that waits for an answer before it sends the next request slows down together with the
//! server, and so hides just the stall that a test wants to see ("coordinated omission").
//!
//! **Choice.** Requests start at fixed times, whatever happens to earlier ones, and latency counts from the time a
//! request was due. An answer that comes later than `late_after` is late, which is not a success. Each
//! request has an id; answers are checked: complete, of the same id, and with the right bytes where they are patterned.
//!
//! **What a client may do.** An HTTP/1.1 connection may close just as it is reused, and HTTP/2 may refuse a stream.
//! When it is certain that the request was not processed, or it is idempotent and its reused connection died before a
//! byte of the answer, every real client sends it again on a new connection. So do we, under the id with `+1`
//! at its end, and count it: up to three times what is certain, the other once. [`Load::no_resend`] turns that off, [`Load::resend_unsent`] the less certain half of it.
//!
//! **Limits.** One process shares its two cores with the servers: hundreds to a few thousand requests per second.
//! [`Report::max_lag`] tells how late the generator itself was.

mod exchange;
mod pool;
mod report;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use http::{HeaderName, HeaderValue, Method};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) use self::exchange::RESENDS;
pub use self::exchange::{Failure, Kind, Served};
use self::pool::Pool;
pub use self::report::{Mark, Outcome, Report, Slot};

/// How requests get their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// HTTP/1.1, the connection used last is taken first.
    KeepAlive,
    /// HTTP/1.1, one connection per request.
    NewConnection,
    /// HTTP/2 in the clear, spread over this many connections.
    H2c(usize),
}

/// Which requests are sent again, see the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resend {
    Never,
    /// Those that certainly were not processed.
    Unsent,
    /// Those, and idempotent ones whose reused connection died silently.
    Safe,
}

/// What to send, how often, and what counts as an answer.
#[derive(Debug, Clone)]
pub struct Load {
    targets: Vec<SocketAddr>,
    mode: Mode,
    rate: f64,
    post_share: f64,
    post_bytes: usize,
    paths: Vec<String>,
    fields: Vec<(HeaderName, HeaderValue)>,
    users: u16,
    deadline: Duration,
    late_after: Duration,
    max_outstanding: usize,
    resend: Resend,
    accept: fn(u16) -> bool,
}

/// A load that runs in the background until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    runner: Arc<Runner>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Runner {
    load: Load,
    run: String,
    start: Instant,
    pool: Pool,
    sent: AtomicU64,
    outstanding: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    outcomes: Vec<Outcome>,
    marks: Vec<Mark>,
}

/// One request, before it is sent.
#[derive(Debug, Clone)]
struct Ticket {
    id: String,
    method: Method,
    path: String,
    target: usize,
    due: Instant,
    index: u64,
}

// === impl Load ===

impl Load {
    /// 100 GETs of `/` per second to one address, over kept-alive HTTP/1.1 connections; given up after 5 s, late after 1 s.
    pub fn at(target: SocketAddr) -> Self {
        Self::across([target])
    }

    /// As [`Load::at`], in turn to several addresses; one that refuses to connect is passed over.
    pub fn across(targets: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            targets: targets.into_iter().collect(),
            mode: Mode::KeepAlive,
            rate: 100.0,
            post_share: 0.0,
            post_bytes: 0,
            paths: vec!["/".to_owned()],
            fields: Vec::new(),
            users: 0,
            deadline: Duration::from_secs(5),
            late_after: Duration::from_secs(1),
            max_outstanding: 10_000,
            resend: Resend::Safe,
            accept: |status| (200..400).contains(&status),
        }
    }

    /// Requests per second.
    #[must_use]
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = per_second;
        self
    }

    /// How to connect.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Makes this share of the requests, 0 to 1, POSTs with a patterned body of `bytes`.
    #[must_use]
    pub fn posts(mut self, share: f64, bytes: usize) -> Self {
        self.post_share = share;
        self.post_bytes = bytes;
        self
    }

    /// Paths, taken in turn.
    #[must_use]
    pub fn paths<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a header field to each request.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        ));
        self
    }

    /// Requests come from so many users in turn, by `X-Forwarded-For`; with 0 all are this process's.
    #[must_use]
    pub fn users(mut self, users: u16) -> Self {
        self.users = users;
        self
    }

    /// Gives a request up this long after it was due.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// An answer later than this after the request was due is late.
    #[must_use]
    pub fn late_after(mut self, limit: Duration) -> Self {
        self.late_after = limit;
        self
    }

    /// Never sends a request again, see the module's text.
    #[must_use]
    pub fn no_resend(mut self) -> Self {
        self.resend = Resend::Never;
        self
    }

    /// Sends a request again only when it certainly was not processed: over HTTP/2 that is what GOAWAY tells a client to do
    /// (RFC 9113 §6.8), and no fault.
    #[must_use]
    pub fn resend_unsent(mut self) -> Self {
        self.resend = Resend::Unsent;
        self
    }

    /// Which statuses are a success; 200 to 399 by default.
    #[must_use]
    pub fn accept(mut self, accept: fn(u16) -> bool) -> Self {
        self.accept = accept;
        self
    }

    /// Starts in the background.
    ///
    /// # Errors
    ///
    /// When there is no target or path, or the rate is not above zero.
    pub fn start(self) -> Result<Running> {
        static RUNS: AtomicU64 = AtomicU64::new(1);
        ensure!(
            self.rate > 0.0 && self.rate.is_finite(),
            "rate must be above zero"
        );
        ensure!(
            !self.targets.is_empty() && !self.paths.is_empty(),
            "nothing to send to"
        );
        let run = format!(
            "{:x}.{}",
            std::process::id(),
            RUNS.fetch_add(1, Ordering::Relaxed)
        );
        let runner = Arc::new(Runner {
            pool: Pool::new(self.mode, self.targets.clone()),
            run,
            start: Instant::now(),
            sent: AtomicU64::new(0),
            outstanding: AtomicUsize::new(0),
            book: Mutex::default(),
            load: self,
        });
        let stop = watch::Sender::new(false);
        let task = tokio::spawn(schedule(runner.clone(), stop.subscribe()));
        Ok(Running { runner, stop, task })
    }

    /// Runs for `span`, then waits for the last answers.
    ///
    /// # Errors
    ///
    /// As [`Load::start`].
    pub async fn run_for(self, span: Duration) -> Result<Report> {
        let running = self.start()?;
        sleep(span).await;
        Ok(running.stop().await)
    }
}

// === impl Running ===

impl Running {
    /// Writes an event into the timeline; see [`Report::since`].
    pub fn mark(&self, what: &str) {
        let at = self.runner.start.elapsed();
        self.runner.lock().marks.push(Mark {
            what: what.to_owned(),
            at,
        });
    }

    /// Requests started so far.
    pub fn sent(&self) -> u64 {
        self.runner.sent.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests have been started and answered (or given up).
    pub async fn settle(&self, count: u64) {
        let goal = self.sent() + count;
        let is_done = || {
            let book = self.runner.lock();
            book.outcomes
                .iter()
                .filter(|outcome| outcome.index < goal)
                .count() as u64
                >= goal
        };
        while self.sent() < goal || !is_done() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What is known now; requests under way are only in [`Report::sent`].
    pub fn snapshot(&self) -> Report {
        self.runner.report()
    }

    /// Stops sending, waits for the requests under way (at most their deadline) and gives the account.
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        // Fails only when the scheduler panicked; then its requests stay pending in the report.
        let _ = (&mut self.task).await;
        self.runner.report()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Runner ===

impl Runner {
    fn ticket(&self, index: u64, due: Instant) -> Ticket {
        let load = &self.load;
        let posts_before = |count: u64| (count as f64 * load.post_share).floor();
        let is_post = posts_before(index + 1) > posts_before(index);
        let turn = usize::try_from(index).unwrap_or(0);
        Ticket {
            id: format!("{}-{index}", self.run),
            method: if is_post { Method::POST } else { Method::GET },
            path: load
                .paths
                .get(turn % load.paths.len())
                .cloned()
                .unwrap_or_default(),
            target: turn % load.targets.len(),
            due,
            index,
        }
    }

    async fn perform(self: Arc<Self>, ticket: Ticket) {
        let lag = ticket.due.elapsed();
        let (id, result, is_resent) = exchange::perform(&self.load, &self.pool, &ticket).await;
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.write(&ticket, id, result, is_resent, lag);
    }

    fn write(
        &self,
        ticket: &Ticket,
        id: String,
        result: Result<Served, Failure>,
        is_resent: bool,
        lag: Duration,
    ) {
        let latency = ticket.due.elapsed();
        let outcome = Outcome {
            id,
            index: ticket.index,
            method: ticket.method.clone(),
            due: ticket.due - self.start,
            lag,
            latency,
            is_late: latency > self.load.late_after,
            is_resent,
            result,
        };
        self.lock().outcomes.push(outcome);
    }

    fn report(&self) -> Report {
        let sent = self.sent.load(Ordering::Relaxed);
        let book = self.lock();
        Report::new(sent, book.outcomes.clone(), book.marks.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn schedule(runner: Arc<Runner>, mut stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    for index in 0_u64.. {
        let due = runner.start + Duration::from_secs_f64(index as f64 / runner.load.rate);
        tokio::select! {
            biased;
            _ = stop.wait_for(|is_stopped| *is_stopped) => break,
            () = sleep_until(due) => {}
        }
        while tasks.try_join_next().is_some() {}
        let ticket = runner.ticket(index, due);
        runner.sent.fetch_add(1, Ordering::Relaxed);
        if runner.outstanding.load(Ordering::Relaxed) >= runner.load.max_outstanding {
            let failure = Failure::new(Kind::Saturated, "too many requests under way");
            runner.write(
                &ticket,
                ticket.id.clone(),
                Err(failure),
                false,
                Duration::ZERO,
            );
            continue;
        }
        runner.outstanding.fetch_add(1, Ordering::Relaxed);
        tasks.spawn(runner.clone().perform(ticket));
    }
    while tasks.join_next().await.is_some() {}
}
