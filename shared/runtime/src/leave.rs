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
use std::time::Duration;

/// How often what is left is counted.
const LOOK: Duration = Duration::from_millis(10);
/// How long connections without a request may take to get what was written last: HTTP/2 writes beside its streams.
const FLUSH: Duration = Duration::from_secs(2);
/// How long connections that are cut may take to be told.
const CUT: Duration = Duration::from_millis(200);

/// Goes through lame duck and drain; returns when the process may end.
pub(crate) async fn leave(shared: &Shared, shutdown: &Shutdown) {
    let requests = &shared.requests;
    let lame_duck = shutdown.lame_duck.get();
    shared.lifecycle.leave(lame_duck, clock::now());
    if !lame_duck.is_zero() {
        log::info!(
            "leaving: lame duck for {}, {} requests in flight",
            shutdown.lame_duck,
            requests.in_flight()
        );
        tokio::time::sleep(lame_duck).await;
    }
    shared
        .lifecycle
        .close(shutdown.stream_drain.get(), clock::now());
    log::info!("draining: {} requests in flight", requests.in_flight());
    let cut = drained(shared, shutdown).await;
    if cut > 0 {
        shared.metrics.families.drain_aborted.inc_by(cut);
        log::warn!(
            "{cut} requests were cut off, {} of them streams; shutdown.drain is {}, shutdown.stream_drain {}",
            requests.streams(),
            shutdown.drain,
            shutdown.stream_drain
        );
    } else {
        closed(shared, FLUSH).await;
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

/// Waits until nothing is in flight, or the deadline; tells how many requests are cut off. While streams have time left,
/// so have the others.
async fn drained(shared: &Shared, shutdown: &Shutdown) -> u64 {
    let begun = clock::now();
    loop {
        let (left, streams) = (shared.requests.in_flight(), shared.requests.streams());
        let limit = if streams > 0 {
            shutdown.drain.get().max(shutdown.stream_drain.get())
        } else {
            shutdown.drain.get()
        };
        if left == 0 || clock::now().since(begun) >= limit {
            return left;
        }
        tokio::time::sleep(LOOK).await;
    }
}
