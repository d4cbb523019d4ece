//! The access log: one JSON object a line, written by a thread of its own.
//!
//! A line is handed over through a bounded queue. When the writer is behind, lines are dropped and
//! counted; a request never waits for a disk. At the end of the process the writer gets a moment for what it has; what a reader
//! that hangs keeps it from writing is counted and told.

use crate::clock;
use arc_swap::ArcSwap;
use lb_core::config::model::AccessLog as Settings;
use prometheus::IntCounter;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that wait for the writer.
const QUEUE: usize = 16 << 10;
/// How long the writer may take for the last lines.
const FLUSH: Duration = Duration::from_secs(2);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// A request, for the log.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// When it ended, RFC 3339 in UTC.
    pub ts: String,
    /// `info`, `warn` for a status from 400, `error` from 500.
    pub level: &'a str,
    /// The tier.
    pub tier: &'a str,
    /// The region, on the regional tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<&'a str>,
    /// This replica.
    pub instance: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// The client's address behind trusted proxies.
    pub client_ip: String,
    /// The method.
    pub method: &'a str,
    /// The host asked for.
    pub host: &'a str,
    /// The path, with the query only when it is configured.
    pub path: &'a str,
    /// The protocol.
    pub proto: &'a str,
    /// The status; 0 when none was sent.
    pub status: u16,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's head to the response's end.
    pub duration_ms: f64,
    /// The route.
    pub route: &'a str,
    /// The pool or region.
    pub pool: &'a str,
    /// The server or replica.
    pub server: &'a str,
    /// Its address.
    pub addr: String,
    /// Tries made.
    pub attempts: u32,
    /// The upstream connection was reused.
    pub reused: bool,
    /// Opening the upstream connection.
    pub connect_ms: f64,
    /// From the last try to its response's head.
    pub ttfb_ms: f64,
    /// Why it failed; empty when it did not.
    pub flags: &'a str,
    /// The client's `User-Agent`.
    pub ua: &'a str,
}

/// The log's front end.
#[derive(Debug)]
pub struct AccessLog {
    queue: Option<SyncSender<String>>,
    settings: ArcSwap<Settings>,
    dropped: IntCounter,
    /// Lines that the writer was given.
    given: AtomicU64,
    /// Lines that it is done with.
    done: Arc<AtomicU64>,
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the log and starts its writer. `dropped` counts lines that were lost.
    ///
    /// # Errors
    /// The file can't be opened, or there is no thread to be had.
    pub fn start(settings: &Settings, dropped: IntCounter) -> io::Result<Self> {
        let done = Arc::<AtomicU64>::default();
        let queue = match settings.path.as_str() {
            "" => None,
            path => {
                let sink: Box<dyn Write + Send> = if path == "-" {
                    Box::new(io::stdout())
                } else {
                    Box::new(OpenOptions::new().create(true).append(true).open(path)?)
                };
                let (sender, receiver) = sync_channel(QUEUE);
                let counter = done.clone();
                let write = move || write_lines(&receiver, sink, &counter);
                std::thread::Builder::new()
                    .name("access-log".into())
                    .spawn(write)?;
                Some(sender)
            }
        };
        Ok(Self {
            queue,
            settings: ArcSwap::from_pointee(settings.clone()),
            dropped,
            given: AtomicU64::new(0),
            done,
        })
    }

    /// Takes over what a reload may change: the sample, the limit of slowness, and queries.
    pub fn reconfigure(&self, settings: &Settings) {
        self.settings.store(Arc::new(settings.clone()));
    }

    /// Whether a request is written. `draw` is uniform in 0.0 to 1.0.
    #[must_use]
    pub fn wants(
        &self,
        status: u16,
        failed: bool,
        took: Duration,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        let settings = self.settings.load();
        self.queue.is_some()
            && (failed
                || !(100..400).contains(&status)
                || took > settings.slow.get()
                || draw() < settings.sample.ratio())
    }

    /// Whether queries are written.
    #[must_use]
    pub fn has_query(&self) -> bool {
        self.settings.load().query
    }

    /// Hands a line over; never waits.
    pub fn write(&self, line: &Line<'_>) {
        let (Some(queue), Ok(text)) = (&self.queue, serde_json::to_string(line)) else {
            return;
        };
        // First, so that the writer is never ahead.
        self.given.fetch_add(1, Relaxed);
        if queue.try_send(text).is_err() {
            self.given.fetch_sub(1, Relaxed);
            self.dropped.inc();
        }
    }

    /// Waits until every line is written, for a moment at most. For the end of the process: what is not written then is lost.
    pub(crate) async fn finish(&self) {
        let begun = clock::now();
        while self.waiting() > 0 && clock::now().since(begun) < FLUSH {
            tokio::time::sleep(LOOK).await;
        }
        let lost = self.waiting();
        if lost > 0 {
            self.dropped.inc_by(lost);
            log::warn!(
                "{lost} lines of the access log are lost: its reader did not take them within {FLUSH:?}"
            );
        }
    }

    /// Lines that are not written yet.
    fn waiting(&self) -> u64 {
        let done = self.done.load(Acquire);
        self.given.load(Relaxed).saturating_sub(done)
    }
}

/// Writes until every front end is gone; flushes when the queue runs empty.
fn write_lines(lines: &Receiver<String>, sink: Box<dyn Write + Send>, done: &AtomicU64) {
    let mut sink = BufWriter::new(sink);
    while let Ok(line) = lines.recv() {
        let mut failed = writeln!(sink, "{line}").is_err();
        let mut count = 1;
        while let Ok(line) = lines.try_recv() {
            failed |= writeln!(sink, "{line}").is_err();
            count += 1;
        }
        failed |= sink.flush().is_err();
        done.fetch_add(count, Release);
        if failed {
            log::debug!("the access log can't be written");
        }
    }
}
