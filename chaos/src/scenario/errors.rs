//! Everything fails: what the tiers add to it, and how fast it is over when the servers are well again.

use std::time::Duration;

use anyhow::Result;

use super::RATE;
use crate::measures::Measures;
use crate::plan::{Order, Plan};
use crate::stack::Stack;
use crate::stats::{self, Recovery, ratio};
use crate::storm::{Storm, Try};
use crate::trial::{Bed, FAULT, UNDONE};

/// All servers of all regions answer with `status`; requests are GETs, so each of them may be repeated.
pub(super) async fn all_answer(bed: &Bed, status: u16, limit: f64) -> Result<Measures> {
    let plan = Plan::regions(Order::Priority);
    let trial = bed.begin(&plan, |stack| stack.load(RATE)).await?;
    trial.mark(FAULT);
    trial.stack.script(|b| b.status = Some(status));
    trial.hold(8.0).await;
    trial.mark(UNDONE);
    trial.stack.script(|b| b.status = None);
    trial.hold_for(6.0, 3.0).await;
    let account = trial.end().await;
    let mut measures = account.measures(account.at(FAULT)?, account.at(UNDONE)?)?;
    measures.recovery = account
        .measures(account.at(UNDONE)?, account.end())?
        .recovery;
    let amplification = measures.amplification;
    measures.at_most("amplification", amplification, limit);
    if status == 500 {
        // Whoever keeps to its cap has servers left to ask, so each request still reaches one.
        measures.at_least("reached a server", amplification, 0.9);
    }
    measures.recovers_within(1.0);
    Ok(measures)
}

/// Users who try four times, 50 ms apart. Amplification counts from their tries, not from their requests: what they add
/// is theirs.
pub(super) async fn outage_storm(bed: &Bed) -> Result<Measures> {
    let plan = Plan::regions(Order::Priority);
    let stack = Stack::start(bed.subject, &plan, &bed.places).await?;
    let storm = Storm {
        targets: stack.globals.iter().map(|global| global.address).collect(),
        rate: 80.0,
        tries: 4,
        pause: Duration::from_millis(50),
        patience: Duration::from_secs(5),
    }
    .start();
    let begin = storm.begin();
    let factor = if bed.is_quick { 0.5 } else { 1.0 };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let fault = begin.elapsed();
    stack.script(|b| b.status = Some(503));
    tokio::time::sleep(Duration::from_secs_f64(8.0 * factor)).await;
    let undone = begin.elapsed();
    stack.script(|b| b.status = None);
    tokio::time::sleep(Duration::from_secs_f64(6.0 * factor)).await;
    let end = begin.elapsed();
    let tries = storm.stop().await;
    let arrivals = stack.ledgers().into_iter().flat_map(|ledger| ledger.seen());
    let within = |at: Duration| fault <= at && at < undone;
    let arrived = arrivals
        .filter(|seen| within(seen.at.saturating_duration_since(begin)))
        .count();
    let mut measures = judge(&tries, [fault, undone, end], arrived);
    let amplification = measures.amplification;
    measures.at_most("amplification", amplification, 1.44);
    measures.recovers_within(3.0);
    Ok(measures)
}

fn judge(tries: &[Try], [fault, undone, end]: [Duration; 3], arrived: usize) -> Measures {
    let due =
        |from: Duration, to: Duration| tries.iter().filter(move |t| from <= t.at && t.at < to);
    let p99 = |from, to| {
        let good = due(from, to).filter(|t| t.is_good);
        stats::rank(good.map(|t| t.took.as_secs_f64()).collect(), 0.99)
    };
    let sent = due(fault, undone).count();
    let good = due(fault, undone).filter(|t| t.is_good).count();
    let healthy = p99(Duration::ZERO, fault);
    let disturbed = |t: &&Try| !t.is_good || t.took > stats::SLOW;
    let last = due(undone, end).filter(disturbed).map(|t| t.at).max();
    let recovery = match last {
        None => Recovery::After(0.0),
        Some(last) if last + stats::CALM > end => Recovery::Never,
        Some(last) => Recovery::After((last - undone).as_secs_f64()),
    };
    let users = due(fault, undone).filter(|t| t.is_first).count();
    let mut measures = Measures {
        sent: sent as u64,
        success_percent: ratio(good as f64, sent as f64) * 100.0,
        failed_gets: (sent - good) as u64,
        recovery: Some(recovery),
        amplification: Some(ratio(arrived as f64, sent as f64)),
        p99_ratio: Some(ratio(p99(undone, end), healthy)),
        healthy_p99_ms: healthy * 1e3,
        ..Measures::default()
    };
    let added = ratio(sent as f64, users as f64);
    measures.notes.insert("tries per request of a user", added);
    measures
}
