//! One drill: load, a fault in the middle of it, and the two ledgers compared at the end.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use strata_tests::load::{Load, Report};
use strata_tests::reconcile::{Reconciliation, reconcile};
use strata_tests::topology::{Platform, Replica};
use strata_tests::{eventually, steadily};

/// Long enough for anything that is to happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// A server or replica that failed comes back gently: what it failed counts against it for a while.
pub(crate) const RETURN: Duration = Duration::from_secs(90);
/// The mark at which the fault begins.
pub(crate) const FAULT: &str = "fault";
/// Within this time a frozen process must have lost its share.
pub(crate) const SHARE_GONE: Duration = Duration::from_secs(3);
/// Time that a server takes for an answer: long enough that each has requests under way when it dies.
const WORK: Duration = Duration::from_millis(100);
/// Requests a second.
pub(crate) const RATE: f64 = 60.0;

/// What a drill left behind.
#[derive(Debug)]
pub(crate) struct Drill {
    pub(crate) report: Report,
    pub(crate) accounts: Reconciliation,
}

/// A load of GETs and one POST in five, given up late enough for every deadline of the proxies.
pub(crate) fn mixed(platform: &Platform) -> Load {
    let load = platform.load().rate(RATE).posts(0.2, 2_000);
    load.deadline(Duration::from_secs(20))
}

/// Loads the platform, lets `fault` happen once traffic flows, and goes on for `rest`.
pub(crate) async fn drill<F>(
    platform: &mut Platform,
    load: Load,
    rest: Duration,
    fault: F,
) -> Result<Drill>
where
    F: AsyncFnOnce(&mut Platform) -> Result<()>,
{
    for server in platform.servers() {
        server.script(|b| b.head_delay = WORK);
    }
    let running = load.start()?;
    running.settle(60).await;
    running.mark(FAULT);
    fault(platform).await?;
    steadily(rest, "the rest of the drill", async || Ok(())).await?;
    let report = running.stop().await;
    let accounts = reconcile(&report, platform.ledgers());
    Ok(Drill { report, accounts })
}

/// The tries that the first global replica made at a regional replica.
pub(crate) async fn tries_at(global: &Replica, replica: &str) -> Result<u64> {
    let status = global.status().await?;
    let regions = status["regions"].as_array().cloned().unwrap_or_default();
    let replicas = regions.iter().filter_map(|r| r["replicas"].as_array());
    let found = replicas.flatten().find(|known| known["server"] == replica);
    let total = found.and_then(|known| known["requests_total"].as_u64());
    total.ok_or_else(|| anyhow::anyhow!("no {replica} in {status}"))
}

/// Waits until the first global replica sends requests to a regional replica again.
pub(crate) async fn takes_traffic_again(platform: &Platform, replica: &str) -> Result<()> {
    let Some(global) = platform.globals.first() else {
        anyhow::bail!("no global replica")
    };
    let before = tries_at(global, replica).await?;
    let what = format!("traffic at {replica}");
    let start = tokio::time::Instant::now();
    eventually(RETURN, &what, async || {
        let now = tries_at(global, replica).await?;
        ensure!(now > before + 2, "{before} tries, then {now}");
        Ok(())
    })
    .await?;
    eprintln!("{replica} took traffic again after {:?}", start.elapsed());
    Ok(())
}

// === impl Drill ===

impl Drill {
    /// No GET failed, no POST arrived twice, and both ledgers agree.
    pub(crate) fn no_get_fails(&self) -> Result<()> {
        let Self { report, accounts } = self;
        ensure!(report.sent > 60 && report.max_lag < SOON, "{report}");
        let failed = report.failed_of(&Method::GET);
        ensure!(failed == 0, "{failed} GETs failed: {report}\n{accounts}");
        self.nothing_is_repeated()
    }

    /// No POST arrived twice, nothing was made up or damaged.
    pub(crate) fn nothing_is_repeated(&self) -> Result<()> {
        let Self { report, accounts } = self;
        let is_honest = accounts.repeated_posts.is_empty()
            && accounts.forged.is_empty()
            && accounts.damaged.is_empty()
            && accounts.strangers.is_empty();
        ensure!(is_honest, "{accounts}{report}");
        Ok(())
    }

    /// At most `count` POSTs failed: those that were under way.
    pub(crate) fn posts_failed_at_most(&self, count: usize) -> Result<()> {
        let failed = self.report.failed_of(&Method::POST);
        ensure!(failed <= count, "{failed} POSTs failed: {}", self.report);
        Ok(())
    }

    /// The control: with the mechanism off the drill must show failures.
    pub(crate) fn gets_fail(&self) -> Result<()> {
        let failed = self.report.failed_of(&Method::GET);
        ensure!(failed > 0, "the drill sees nothing: {}", self.report);
        self.nothing_is_repeated()
    }

    /// Whoever asked later than [`SHARE_GONE`] after the fault did not wait for it.
    pub(crate) fn share_is_gone(&self, first_byte: Duration) -> Result<()> {
        let report = self.report.since(FAULT);
        let fault = report.marks.first().map(|mark| mark.at).unwrap_or_default();
        let later = self.report.between(fault + SHARE_GONE, Duration::MAX);
        ensure!(later.sent > 30, "too short a drill: {report}");
        let waited = later.outcomes.iter().filter(|o| o.latency >= first_byte);
        let waited = waited.count();
        ensure!(waited == 0, "{waited} still met the fault: {later}");
        Ok(())
    }
}
