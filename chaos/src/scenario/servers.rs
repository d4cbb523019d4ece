//! Servers that come back, and servers that close what they are not asked to close.

use std::time::Duration;

use anyhow::Result;

use super::RATE;
use crate::measures::Measures;
use crate::plan::Plan;
use crate::stats::{peak_share, ratio};
use crate::trial::{Bed, FAULT, UNDONE};

/// All servers die for four seconds, then all come back: whoever is found first gets the whole load of the pool, unless
/// something holds it back.
pub(super) async fn pool_returns(bed: &Bed) -> Result<Measures> {
    let plan = Plan {
        slow_start_s: bed.slow_start_s(),
        ..Plan::pool(6)
    };
    let trial = bed.begin(&plan, |stack| stack.load(RATE)).await?;
    trial.mark(FAULT);
    for server in trial.stack.servers() {
        server.crash().await;
    }
    trial.hold_for(4.0, 3.0).await;
    trial.mark(UNDONE);
    for server in trial.stack.servers() {
        server.reopen().await?;
    }
    trial.hold_for(8.0, 6.0).await;
    let account = trial.end().await;
    let from = account.at(UNDONE)?;
    let mut measures = account.measures(from, account.end())?;
    let (begin, end) = (from.as_secs_f64(), account.end().as_secs_f64());
    let peak = peak_share(&account.arrivals, begin, end, 1.0, 50, plan.servers);
    measures.at_most("peak ÷ fair share", peak, 1.5);
    Ok(measures)
}

/// One process a tier and a strict clock: requests come every 10 ms, so a connection is used again 10, 20 or 30 ms after its
/// last request; the servers' limit of idle time moves over the second of these, so that it ends just then.
pub(super) async fn stale_connections(bed: &Bed) -> Result<Measures> {
    const STEPS: u32 = 28;
    let plan = Plan {
        globals: 1,
        replicas: 1,
        service: Duration::from_millis(1),
        ..Plan::pool(2)
    };
    let load = |stack: &crate::stack::Stack| stack.load(100.0).posts(1.0, 200);
    let trial = bed.begin(&plan, load).await?;
    trial.mark(FAULT);
    for step in 0..STEPS {
        let limit = Duration::from_millis(14) + Duration::from_micros(250) * step;
        trial.stack.script(|b| b.idle_close = Some(limit));
        trial.hold(0.5).await;
    }
    let account = trial.end().await;
    let mut measures = account.since_fault()?;
    let failed = 100.0 * ratio(measures.failed_posts as f64, measures.sent as f64);
    let opened = |ledger: &&strata_tests::server::Ledger| ledger.counts().connections;
    let opened: u64 = account.stack.ledgers().iter().map(opened).sum();
    measures.notes.insert("connections opened", opened as f64);
    measures.at_most("failed POSTs, %", failed, 0.1);
    measures.no_repeated_posts();
    Ok(measures)
}
