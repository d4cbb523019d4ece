//! Clients that are slow, greedy or hostile: each is stopped by a limit, reaches no server, and harms no other.

mod h2;
mod limits;
mod slow;
mod smuggling;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::load::Running;
use strata_tests::subject::Upstream;
use strata_tests::topology::{Platform, Topology};

const SOON: Duration = Duration::from_secs(6);

/// What stands between the clients and the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tiers {
    /// A regional replica.
    One,
    /// A global replica, and a regional one behind it.
    Both,
}

/// One regional replica with these limits, in flow style, and clients that are not trusted. The load of
/// [`bystanders`] has a server of its own.
async fn limited(server: SocketAddr, limits: &'static str) -> Result<Platform> {
    behind(Tiers::One, server, limits).await
}

/// The same behind these tiers: the first one has the limits and trusts no client, and passes on to one that has them
/// too and trusts it.
async fn behind(tiers: Tiers, server: SocketAddr, limits: &'static str) -> Result<Platform> {
    let limits = format!("limits: {{ {limits} }}\n");
    let topology = match tiers {
        Tiers::One => Topology::regional().tune_regional(|file| file.front.trusted = String::new()),
        Tiers::Both => {
            let limits = limits.clone();
            Topology::two_tier().tune_global(move |file| {
                file.front.trusted = String::new();
                file.extra.clone_from(&limits);
            })
        }
    };
    topology
        .external_pool("web", &[server], Upstream::Http1)
        .pool("calm", 1)
        .tune_regional(move |file| file.extra.clone_from(&limits))
        .start()
        .await
}

/// A calm load beside the abuse.
fn bystanders(platform: &Platform) -> Result<Running> {
    platform.load().paths(["/calm/x"]).rate(100.0).start()
}

/// The calm load went on as if nothing was.
async fn unharmed(running: Running) -> Result<()> {
    running.settle(100).await;
    let report = running.stop().await;
    ensure!(
        report.success_ratio() >= 0.999,
        "others suffered: {}",
        report.failures()
    );
    Ok(())
}
