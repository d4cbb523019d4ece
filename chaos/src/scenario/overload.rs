//! More work than the servers can do.
//!
//! A server has workers, each request keeps one busy for its service time, and whoever finds none waits in line: its
//! capacity is workers ÷ service time, and its latency says nothing until it is full.

use std::time::Duration;

use anyhow::Result;
use strata_tests::load::{Load, Outcome};

use crate::measures::Measures;
use crate::plan::{Order, Plan};
use crate::stack::Stack;
use crate::stats::{quantile, rank, ratio};
use crate::trial::{Bed, FAULT, UNDONE};

/// Users go away after this.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nobody can tell an overload before its first requests are late: what comes after this time is compared with the target, and the
/// whole is told beside it.
const ONSET: Duration = Duration::from_secs(2);
/// An answer later than this is of no use to them.
const USEFUL: Duration = Duration::from_secs(1);

fn impatient(stack: &Stack, rate: f64) -> Load {
    stack.load(rate).deadline(PATIENCE).late_after(USEFUL)
}

/// `factor` × the capacity for a while, half of it before and after; nobody was told the capacity.
pub(super) async fn overload(bed: &Bed, factor: f64) -> Result<Measures> {
    let plan = Plan {
        service: Duration::from_millis(100),
        workers: Some(6),
        adaptive: true,
        ..Plan::pool(3)
    };
    let capacity = plan.region_rps();
    let base = capacity / 2.0;
    let trial = bed.begin(&plan, |stack| impatient(stack, base)).await?;
    // Limits that are found from latency need some time to be found.
    trial.hold_for(2.0, 1.0).await;
    let (begin, surge) = (
        trial.now(),
        impatient(&trial.stack, capacity * factor - base),
    );
    trial.mark(FAULT);
    let surge = surge.start()?;
    trial.hold(10.0).await;
    trial.mark(UNDONE);
    let span = trial.now() - begin;
    let surge = surge.stop().await;
    trial.hold_for(8.0, 6.5).await;
    let account = trial.end().await;
    let (from, to) = (account.at(FAULT)?, account.at(UNDONE)?);
    let mut measures = account.measures(from, to)?;
    let all = || account.due(from, to).chain(&surge.outcomes);
    let sent = all().count();
    let good = all().filter(|o| o.is_good()).count();
    measures.sent = sent as u64;
    measures.success_percent = 100.0 * ratio(good as f64, sent as f64);
    measures.failed_gets += surge.failed;
    measures.late += surge.late;
    for (kind, count) in surge.by_kind() {
        *measures.failures.entry(kind.to_string()).or_default() += count as u64;
    }
    let arrived = account.arrivals.iter();
    let arrived = arrived.filter(|a| from.as_secs_f64() <= a.at && a.at < to.as_secs_f64());
    measures.amplification = Some(ratio(arrived.count() as f64, sent as f64));
    measures.recovery = account.measures(to, account.end())?.recovery;
    let healthy = account.healthy_p99()?;
    measures.p99_ratio = Some(ratio(quantile(all(), 0.99), healthy));
    // Outcomes of the surge count their time from its own begin.
    let late = surge.between(ONSET, Duration::MAX);
    let settled = account.due(from + ONSET, to).chain(&late.outcomes);
    let settled = ratio(quantile(settled, 0.99), healthy);
    measures.generator_lag_ms = measures
        .generator_lag_ms
        .max(surge.max_lag.as_secs_f64() * 1e3);
    measures.at_least("goodput ÷ capacity", good as f64 / span / capacity, 0.9);
    measures.at_most("p99 × once seen", settled, 2.0);
    measures.recovers_within(5.0);
    Ok(measures)
}

/// Three regions share 80 % of what they can do, and one of them loses its replicas: the others get 120 % of what they
/// can do. Everybody was told the capacity: what one replica may have under way at one server, and, where a tier asks
/// for it, the region's rate.
pub(super) async fn region_loss(bed: &Bed) -> Result<Measures> {
    let plan = Plan {
        servers: 2,
        service: Duration::from_millis(100),
        workers: Some(4),
        is_capacity_known: true,
        ..Plan::regions(Order::Even)
    };
    let rate = 0.8 * plan.region_rps() * plan.regions as f64;
    let left = plan.region_rps() * (plan.regions - 1) as f64;
    let mut trial = bed.begin(&plan, |stack| impatient(stack, rate)).await?;
    trial.mark(FAULT);
    let region = trial.stack.region(0)?;
    region.replicas.iter_mut().for_each(|r| r.kill());
    trial.hold_for(12.0, 8.0).await;
    let account = trial.end().await;
    let mut measures = account.since_fault()?;
    // Until then the loss has been noticed, which is another scenario's matter.
    let from = account.at(FAULT)? + Duration::from_secs(3);
    let settled = || account.due(from, account.end());
    let good = settled().filter(|o| o.is_good()).count() as f64;
    let goodput = good / (account.end().saturating_sub(from)).as_secs_f64();
    let refused = settled().filter(|o| o.result.is_err());
    let waited = |o: &Outcome| o.latency.as_secs_f64();
    let refusal_p99 = rank(refused.map(waited).collect(), 0.99);
    measures.recovery = None;
    measures.at_least("goodput ÷ what is left", goodput / left, 0.9);
    measures.at_most("p99 of refusals, s", refusal_p99, 0.5);
    Ok(measures)
}
