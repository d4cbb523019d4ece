//! Short requests over every kind of connection, and what became of them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::load::{Load, Mode, Report, Running};
use strata_tests::reconcile::reconcile;
use strata_tests::topology::Platform;

use crate::rig::SOON;

/// Requests over kept, new and HTTP/2 connections.
pub(crate) struct Requests(Vec<Running>);

// === impl Requests ===

impl Requests {
    /// Sent a second time is only what had not left the client when its connection said goodbye, as any client does.
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let load = |mode, rate| {
            let load = Load::at(address).mode(mode).rate(rate);
            // Two cores run everything here: late is what matters elsewhere.
            let load = load.late_after(Duration::from_secs(4));
            load.posts(0.3, 500).resend_unsent().start()
        };
        let loads = [
            load(Mode::KeepAlive, 60.0),
            load(Mode::NewConnection, 40.0),
            load(Mode::H2c(4), 40.0),
        ];
        Ok(Self(loads.into_iter().collect::<Result<_>>()?))
    }

    /// Waits until all are at work.
    pub(crate) async fn at_work(&self) -> Result<()> {
        let before: Vec<u64> = self.0.iter().map(Running::sent).collect();
        eventually(SOON, "requests of every kind", async || {
            for (load, before) in self.0.iter().zip(&before) {
                ensure!(load.sent() > before + 20, "{} {before}", load.sent());
            }
            Ok(())
        })
        .await
    }

    /// Ends them; fails when a request did, or when the servers' account differs from theirs. Gives back how many there were.
    pub(crate) async fn satisfied(self, platform: &Platform) -> Result<u64> {
        let (sent, reports) = self.end().await?;
        for report in reports {
            ensure!(report.failed == 0, "{report}");
            let account = reconcile(&report, platform.ledgers());
            ensure!(account.is_clean(), "{account:?}");
        }
        Ok(sent)
    }

    /// Ends them; tells how many there were, and what became of them.
    pub(crate) async fn end(self) -> Result<(u64, Vec<Report>)> {
        let (mut sent, mut failed, mut resent) = (0, 0, 0);
        let mut reports = Vec::new();
        for load in self.0 {
            let report = load.stop().await;
            if report.failed > 0 {
                eprintln!("{report}\n{}", report.failures());
            }
            resent += report.resent;
            sent += report.sent;
            failed += report.failed;
            reports.push(report);
        }
        eprintln!("{sent} requests, {resent} sent again, {failed} failed");
        Ok((sent, reports))
    }
}
