//! gRPC where it can't pass: the troubleshooting page says how that looks.

use anyhow::{Result, ensure};
use strata_tests::eventually;
use strata_tests::peers::{self, Peer};
use strata_tests::subject::Upstream;
use strata_tests::topology::{Platform, Topology};

use super::Link;

const SOON: std::time::Duration = std::time::Duration::from_secs(5);

/// Both tiers in front of a gRPC server, with these protocols between the tiers and to the server.
async fn start(peer: &Peer, between: Link, to_server: Upstream) -> Result<Platform> {
    Topology::two_tier()
        .external_pool("web", &[peer.address], to_server)
        .tune_global(move |file| {
            if between == Link::H2c {
                for region in &mut file.regions {
                    region.extra = "protocol: h2".to_owned();
                }
            }
        })
        .tune_regional(|file| {
            for pool in &mut file.pools {
                pool.health_check = Some("enabled: false".to_owned());
            }
        })
        .start()
        .await
}

#[tokio::test]
async fn grpc_over_a_link_of_http1_is_seen_in_the_log() -> Result<()> {
    let peer = peers::grpc_server("g1").await?;
    for (between, to_server, flag) in [
        (Link::H2c, Upstream::Http1, "UPE"),
        (Link::Http1, Upstream::H2c, "UC"),
    ] {
        let platform = start(&peer, between, to_server).await?;
        let outcome = peers::grpc_client(platform.address()?).await;
        ensure!(outcome.is_err(), "{between:?} {to_server:?}: {outcome:?}");
        let wanted = format!("\"flags\":\"{flag}\"");
        eventually(SOON, &wanted, async || {
            let replicas = platform.regions.iter().flat_map(|region| &region.replicas);
            let output: String = replicas.map(|replica| replica.output()).collect();
            let mut lines = output.lines().filter(|line| line.contains(&wanted));
            ensure!(
                lines.any(|line| line.contains("/strata.Echo/Unary")),
                "{output}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// gRPC wants our own refusals in one HEADERS frame that ends the stream.
#[tokio::test]
async fn a_grpc_client_is_told_the_reason() -> Result<()> {
    let peer = peers::grpc_server("g1").await?;
    let platform = start(&peer, Link::H2c, Upstream::Http1).await?;
    let Err(error) = peers::grpc_client(platform.address()?).await else {
        anyhow::bail!("it passed");
    };
    let told = format!("{error:#}");
    ensure!(told.contains("StatusCode.UNAVAILABLE: malformed"), "{told}");
    Ok(())
}
