//! Processes that die or freeze: servers, replicas, whole regions.

use anyhow::Result;

use super::{POSTS, RATE};
use crate::measures::Measures;
use crate::plan::{Order, Plan};
use crate::stack::Stack;
use crate::stats::{Recovery, ratio};
use crate::trial::{Bed, FAULT, UNDONE};

fn mixed(stack: &Stack) -> strata_tests::load::Load {
    stack.load(RATE).posts(POSTS.0, POSTS.1)
}

/// The port closes and each connection is reset, as when the kernel clears up after a killed process.
pub(super) async fn server_killed(bed: &Bed) -> Result<Measures> {
    let trial = bed.begin(&Plan::regions(Order::Priority), mixed).await?;
    trial.mark(FAULT);
    trial.stack.server(0, 0)?.crash().await;
    trial.hold(8.0).await;
    let mut measures = trial.end().await.since_fault()?;
    measures.no_failed_gets();
    measures.no_repeated_posts();
    Ok(measures)
}

pub(super) async fn replica_killed(bed: &Bed) -> Result<Measures> {
    let mut trial = bed.begin(&Plan::regions(Order::Priority), mixed).await?;
    trial.mark(FAULT);
    let region = trial.stack.region(0)?;
    region
        .replicas
        .first_mut()
        .into_iter()
        .for_each(|r| r.kill());
    trial.hold(8.0).await;
    let mut measures = trial.end().await.since_fault()?;
    measures.no_failed_gets();
    measures.no_repeated_posts();
    Ok(measures)
}

/// Thawed at the end: what it still held must not reach the servers a second time.
pub(super) async fn replica_frozen(bed: &Bed) -> Result<Measures> {
    let mut trial = bed.begin(&Plan::regions(Order::Priority), mixed).await?;
    trial.mark(FAULT);
    for replica in trial.stack.region(0)?.replicas.iter_mut().take(1) {
        replica.freeze().await?;
    }
    trial.hold_for(8.0, 6.0).await;
    trial.mark(UNDONE);
    for replica in trial.stack.region(0)?.replicas.iter_mut().take(1) {
        replica.thaw().await?;
    }
    trial.hold_for(2.0, 1.0).await;
    let account = trial.end().await;
    let mut measures = account.measures(account.at(FAULT)?, account.at(UNDONE)?)?;
    measures.no_failed_gets();
    // From outside its share shows as requests that take longer than they should.
    measures.recovers_within(3.0);
    measures.no_repeated_posts();
    Ok(measures)
}

/// The first region carries all traffic when its replicas die. What failed until it was well again is held against the
/// requests of 60 s; if it never was, against those of the window.
pub(super) async fn region_killed(bed: &Bed) -> Result<Measures> {
    let mut trial = bed.begin(&Plan::regions(Order::Priority), mixed).await?;
    trial.mark(FAULT);
    let region = trial.stack.region(0)?;
    region.replicas.iter_mut().for_each(|r| r.kill());
    trial.hold_for(8.0, 6.0).await;
    let mut measures = trial.end().await.since_fault()?;
    let bad = measures.failed_gets + measures.failed_posts + measures.late;
    let percent = match measures.recovery {
        Some(Recovery::After(_)) => 100.0 * (1.0 - ratio(bad as f64, RATE * 60.0)),
        _ => measures.success_percent,
    };
    measures.at_least("success in 60 s, %", percent, 99.9);
    measures.recovers_within(1.0);
    measures.no_repeated_posts();
    Ok(measures)
}

/// Stopped processes take connections and bytes and say nothing, as behind a link that drops everything once a
/// connection stands.
pub(super) async fn region_cut(bed: &Bed) -> Result<Measures> {
    let mut trial = bed.begin(&Plan::regions(Order::Priority), mixed).await?;
    trial.mark(FAULT);
    for replica in &mut trial.stack.region(0)?.replicas {
        replica.freeze().await?;
    }
    trial.hold_for(9.0, 6.0).await;
    trial.mark(UNDONE);
    for replica in &mut trial.stack.region(0)?.replicas {
        replica.thaw().await?;
    }
    trial.hold_for(2.0, 1.0).await;
    let account = trial.end().await;
    let mut measures = account.measures(account.at(FAULT)?, account.at(UNDONE)?)?;
    measures.recovers_within(3.0);
    measures.no_repeated_posts();
    Ok(measures)
}
