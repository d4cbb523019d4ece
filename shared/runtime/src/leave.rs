//! From the order to leave to the moment when nothing is left to do.
//!
//! # Problem
//! Whoever sends traffic here learns of the end later than this process: endpoints of a Service are removed 0.1 to 5 s after the
//! signal, behind cloud balancers 10 to 60 s. A listener that closes at once refuses what still comes.
//!
//! # Choice
//! **Lame duck**: everything is accepted and served for a while. The tier above is told with the first answer (`x-lb-draining`) and
//! by the report, and goes elsewhere within a second; clients are asked to close (`Connection: close`, GOAWAY), each connection at a
//! moment of its own, so that they don't connect anew in one instant. Then **drain**: no new connections, and the exit at the
//! moment when the last request has ended and its response is on its way, or at the deadline.
//!
//! **Streams** (websockets, events, gRPC) never end by themselves. Each is told in its turn, over the second half of
//! `stream_drain` (at most its last 30 s): see `exchange::pump`. **At the deadline** HTTP/2 connections get GOAWAY with the code
//! CANCEL, so that their clients know a cut stream from a whole one; HTTP/1 connections are closed in the middle of the message,
//! which says the same.
//!
//! # Rejected
//! Pingora's grace period, which closes listeners first and is slept in full; HAProxy's `grace`, which keeps readiness green all the time.
//!
//! # Limits
//! An idle connection is closed when the drain begins, and a request that its client sends at that very moment is lost, as with
//! any keep-alive limit. Those whose clients asked within the lame duck have been told before.

use crate::clock;
use crate::lifecycle::Stage;
use crate::worker::Shared;
use lb_core::config::model::Shutdown;
use lb_core::time::Instant;
use std::time::Duration;

/// How often what is left is counted.
const LOOK: Duration = Duration::from_millis(10);
/// How long connections without a request may take to get what was written last: HTTP/2 writes beside its streams.
const FLUSH: Duration = Duration::from_secs(2);
/// How long what ended just now has to get out before others are cut on the same connections: when the last stream has parted,
/// the time of those that are no streams may have been over for long.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long connections that are cut may take to be told.
const CUT: Duration = Duration::from_millis(200);

/// A departure under way.
struct Leave<'a> {
    shared: &'a Shared,
    shutdown: &'a Shutdown,
    begun: Instant,
}

/// Goes through lame duck and drain; returns when the process may end.
pub(crate) async fn leave(shared: &Shared, shutdown: &Shutdown) {
    let begun = clock::now();
    shared.lifecycle.leave(shutdown.lame_duck.get(), begun);
    let leave = Leave {
        shared,
        shutdown,
        begun,
    };
    leave.lame_duck().await;
    shared
        .lifecycle
        .close(shutdown.stream_drain.get(), clock::now());
    log::info!("draining: {} requests in flight", leave.show().0);
    if leave.drained().await > 0 {
        log::warn!(
            "the time is over: shutdown.drain is {}, shutdown.stream_drain {}",
            shutdown.drain,
            shutdown.stream_drain
        );
        closed(shared, LAST_WORDS).await;
    } else {
        closed(shared, FLUSH).await;
    }
    cut(shared).await;
}

/// Ends what is in flight; it is counted, and has its lines in the access log when this returns.
pub(crate) async fn cut(shared: &Shared) {
    let (left, streams) = (shared.requests.in_flight(), shared.requests.streams());
    if left > 0 {
        shared.metrics.families.drain_aborted.inc_by(left);
        log::warn!("{left} requests were cut off, {streams} of them streams");
    }
    shared.lifecycle.advance(Stage::Ending);
    closed(shared, CUT).await;
}

/// Waits until no connection is open, `limit` at most.
async fn closed(shared: &Shared, limit: Duration) {
    let begun = clock::now();
    while shared.caps.open() > 0 && clock::now().since(begun) < limit {
        tokio::time::sleep(LOOK).await;
    }
}

// === impl Leave ===

impl Leave<'_> {
    /// Serves on until the lame duck is over.
    async fn lame_duck(&self) {
        let span = self.shutdown.lame_duck.get();
        if span.is_zero() {
            return;
        }
        let in_flight = self.show().0;
        log::info!(
            "leaving: lame duck for {}, {in_flight} requests in flight",
            self.shutdown.lame_duck
        );
        let end = self.begun + span;
        while clock::now() < end {
            self.show();
            tokio::time::sleep(LOOK.min(clock::now().until(end))).await;
        }
    }

    /// Waits until nothing is in flight, or the deadline; tells how many requests are left. While streams have time left, so
    /// have the others.
    async fn drained(&self) -> u64 {
        let begun = clock::now();
        loop {
            let (left, streams) = self.show();
            if left == 0 || clock::now().since(begun) >= self.limit(streams) {
                return left;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How long the drain may take.
    fn limit(&self, streams: u64) -> Duration {
        let drain = self.shutdown.drain.get();
        if streams > 0 {
            drain.max(self.shutdown.stream_drain.get())
        } else {
            drain
        }
    }

    /// Brings the gauges up to date; requests in flight, and how many of them are streams.
    fn show(&self) -> (u64, u64) {
        let requests = &self.shared.requests;
        let (left, streams) = (requests.in_flight(), requests.streams());
        let whole = self.shutdown.lame_duck.get() + self.limit(streams);
        let families = &self.shared.metrics.families;
        families
            .drain_inflight
            .set(i64::try_from(left).unwrap_or(i64::MAX));
        families
            .drain_progress
            .set(share(clock::now().since(self.begun), whole));
        (left, streams)
    }
}

/// How much of a time is over, 0 to 1.
fn share(gone: Duration, whole: Duration) -> f64 {
    if gone >= whole {
        1.0
    } else {
        gone.as_secs_f64() / whole.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_out_of_range() {
        let secs = Duration::from_secs;
        assert_eq!(share(secs(0), secs(0)), 1.0);
        assert_eq!(share(secs(0), secs(4)), 0.0);
        assert_eq!(share(secs(1), secs(4)), 0.25);
        assert_eq!(share(secs(9), secs(4)), 1.0);
    }
}
