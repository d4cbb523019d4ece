//! Clients that hold on to what they can: heads that never end, bodies byte by byte, answers that nobody reads.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use strata_tests::raw::RawConn;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::RATE;
use crate::measures::Measures;
use crate::plan::Plan;
use crate::trial::{Bed, FAULT};

const HEADS: usize = 300;
const BODIES: usize = 100;
const READERS: usize = 20;
const UPLOADS_END: usize = HEADS + BODIES;
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn slow(bed: &Bed) -> Result<Measures> {
    let trial = bed.begin(&Plan::pool(3), |stack| stack.load(RATE)).await?;
    trial.mark(FAULT);
    let mut clients = JoinSet::new();
    let targets: Vec<SocketAddr> = trial.stack.globals.iter().map(|g| g.address).collect();
    for (number, target) in targets
        .iter()
        .cycle()
        .take(HEADS + BODIES + READERS)
        .enumerate()
    {
        let target = *target;
        match number {
            0..HEADS => clients.spawn(dribble(
                target,
                "GET / HTTP/1.1\r\nHost: slow\r\n",
                "X-A: b\r\n",
            )),
            HEADS..UPLOADS_END => clients.spawn(dribble(
                target,
                "POST / HTTP/1.1\r\nHost: slow\r\nContent-Length: 100000\r\n\r\n",
                "x",
            )),
            _ => clients.spawn(never_read(target)),
        };
    }
    trial.hold(10.0).await;
    let still_there = clients.len();
    clients.abort_all();
    let mut measures = trial.end().await.since_fault()?;
    measures
        .notes
        .insert("slow clients at the end", still_there as f64);
    let percent = measures.success_percent;
    measures.at_least("success, %", percent, 99.9);
    Ok(measures)
}

/// Sends the beginning, then a bit every half second until the proxy has had enough.
async fn dribble(target: SocketAddr, beginning: &'static str, bit: &'static str) {
    let Ok(mut conn) = RawConn::connect(target).await else {
        return;
    };
    let mut next = beginning;
    while conn.write(next.as_bytes()).await.is_ok() {
        sleep(PAUSE).await;
        next = bit;
    }
}

async fn never_read(target: SocketAddr) {
    let Ok(mut conn) = RawConn::connect(target).await else {
        return;
    };
    let head = b"GET /bytes/2000000 HTTP/1.1\r\nHost: slow\r\n\r\n";
    if conn.write(head).await.is_ok() {
        std::future::pending::<()>().await;
    }
}
