//! Alive, but slow or wrong: one server among six, or a whole region among three.

use std::time::Duration;

use anyhow::Result;
use strata_tests::server::{Behaviour, Fault};

use super::RATE;
use crate::measures::Measures;
use crate::plan::{Order, Plan};
use crate::stats::{ratio, share};
use crate::trial::{Bed, FAULT, UNDONE};

/// A server without requests for so long is out: each of six gets 50 a second while it is in.
const GONE_S: f64 = 2.0;
/// Long enough to see that within 10 s.
const LOOK_S: f64 = 13.0;

pub(super) async fn server_slow(bed: &Bed) -> Result<Measures> {
    let plan = Plan::pool(6);
    let slow = plan.service * 10;
    let trial = bed.begin(&plan, |stack| stack.load(RATE)).await?;
    trial.mark(FAULT);
    trial.stack.server(0, 0)?.script(|b| b.head_delay = slow);
    trial.hold(10.0).await;
    let account = trial.end().await;
    let mut measures = account.since_fault()?;
    let (from, to) = (account.at(FAULT)?, account.end());
    let part = share(
        &account.arrivals,
        from.as_secs_f64(),
        to.as_secs_f64(),
        |server| server == 0,
    );
    measures.notes.insert("share of the slow server", part);
    let p99_ratio = measures.p99_ratio;
    measures.at_most("p99 ×", p99_ratio, 1.5);
    Ok(measures)
}

pub(super) async fn server_failing(bed: &Bed) -> Result<Measures> {
    one_wrong(bed, "/", |b| {
        b.error_share = 0.3;
        b.error_status = 503;
    })
    .await
}

pub(super) async fn server_truncating(bed: &Bed) -> Result<Measures> {
    one_wrong(bed, "/bytes/2000", |b| b.inject(Fault::Truncate, 0.5)).await
}

/// Health checks pass all the time: only its traffic tells that the server is ill.
async fn one_wrong(bed: &Bed, path: &str, ill: impl FnOnce(&mut Behaviour)) -> Result<Measures> {
    let load = |stack: &crate::stack::Stack| stack.load(RATE).paths([path]);
    let trial = bed.begin(&Plan::pool(6), load).await?;
    trial.mark(FAULT);
    trial.stack.server(0, 0)?.script(ill);
    trial.hold_for(LOOK_S, 8.0).await;
    let account = trial.end().await;
    let mut measures = account.since_fault()?;
    let out = account.out_after(0, account.at(FAULT)?, GONE_S);
    measures.at_most("out, s", out, 10.0);
    Ok(measures)
}

/// Every server of the first region takes five times as long, and answers well.
pub(super) async fn region_slow(bed: &Bed) -> Result<Measures> {
    let plan = Plan::regions(Order::Even);
    let slow = plan.service * 5;
    let trial = bed.begin(&plan, |stack| stack.load(RATE)).await?;
    trial.mark(FAULT);
    for server in &trial.stack.region_ref(0)?.servers {
        server.script(|b| b.head_delay = slow);
    }
    trial.hold_for(25.0, 10.0).await;
    trial.mark(UNDONE);
    for server in &trial.stack.region_ref(0)?.servers {
        server.script(|b| b.head_delay = plan.service);
    }
    trial.hold_for(10.0, 3.0).await;
    let account = trial.end().await;
    let (from, to) = (account.at(FAULT)?, account.at(UNDONE)?);
    let mut measures = account.measures(from, to)?;
    let first = account.servers_of(0);
    let part = |from: Duration, to: Duration| {
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        share(&account.arrivals, from, to, |server| {
            first.contains(&server)
        })
    };
    let window = Duration::from_secs(3);
    let before = part(from.saturating_sub(window), from);
    let during = part(to.saturating_sub(window), to);
    let after = part(account.end().saturating_sub(window), account.end());
    measures.notes.insert("share before", before);
    measures
        .notes
        .insert("share at the end of the fault", during);
    measures.notes.insert("share at the end", after);
    measures.at_most("share, of before", ratio(during, before), 0.7);
    measures.no_failed_gets();
    Ok(measures)
}
