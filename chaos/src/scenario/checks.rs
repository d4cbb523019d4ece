//! Health checks that lie: the servers serve all the time.

use anyhow::Result;
use strata_tests::server::Health;

use super::{POSTS, RATE};
use crate::measures::Measures;
use crate::plan::{Order, Plan};
use crate::stats::{peak_share, share};
use crate::trial::{Bed, FAULT};

/// Five of six servers: some 2 s of failing checks, as long of passing ones, in turn. The sixth could carry half of the load.
pub(super) async fn flapping(bed: &Bed) -> Result<Measures> {
    let plan = Plan {
        slow_start_s: bed.slow_start_s(),
        workers: Some(3),
        ..Plan::pool(6)
    };
    let load = |stack: &crate::stack::Stack| stack.load(RATE).posts(POSTS.0, POSTS.1);
    let trial = bed.begin(&plan, load).await?;
    trial.mark(FAULT);
    for turn in 0..if bed.is_quick { 3 } else { 6 } {
        let health = if turn % 2 == 0 {
            Health::Fail(503)
        } else {
            Health::Pass
        };
        for server in trial.stack.servers().take(plan.servers - 1) {
            server.script(|b| b.health = health);
        }
        trial.hold_for(2.5, 2.5).await;
    }
    let account = trial.end().await;
    let mut measures = account.since_fault()?;
    let (from, to) = (
        account.at(FAULT)?.as_secs_f64(),
        account.end().as_secs_f64(),
    );
    let peak = peak_share(&account.arrivals, from, to, 1.0, 50, plan.servers);
    measures.notes.insert("peak ÷ fair share", peak);
    let errors = 100.0 - measures.success_percent;
    measures.at_most("errors, %", errors, 0.1);
    Ok(measures)
}

/// A bad release of the health endpoint, everywhere at once.
pub(super) async fn all_fail(bed: &Bed) -> Result<Measures> {
    let load = |stack: &crate::stack::Stack| stack.load(RATE).posts(POSTS.0, POSTS.1);
    let trial = bed.begin(&Plan::regions(Order::Priority), load).await?;
    trial.mark(FAULT);
    trial.stack.script(|b| b.health = Health::Fail(503));
    trial.hold_for(9.0, 6.0).await;
    let account = trial.end().await;
    let mut measures = account.since_fault()?;
    let end = account.end().as_secs_f64();
    let first = account.servers_of(0);
    let kept = share(&account.arrivals, end - 3.0, end, |s| first.contains(&s));
    let percent = measures.success_percent;
    measures.at_least("success, %", percent, 99.9);
    measures.at_least("share of the first region", kept, 0.9);
    Ok(measures)
}
