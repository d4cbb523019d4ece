//! What the protocols promise, through both tiers, with HTTP/1.1 or HTTP/2 behind the front.

mod goodbye;
mod grpc;
mod http1;
mod memory;
mod streams;
mod tunnel;

use std::net::SocketAddr;

use anyhow::Result;
use strata_tests::server::Server;
use strata_tests::subject::Upstream;
use strata_tests::topology::{Platform, Topology};

/// What is spoken between the tiers and to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Http1,
    H2c,
}

const LINKS: [Link; 2] = [Link::Http1, Link::H2c];

/// Timeouts that any quiet time in these tests is longer than.
const SHORT: &str = "timeouts: { first_byte: 500ms, idle: 500ms, request: 1s }";

/// Both tiers in front of one scripted server.
async fn start(server: &Server, link: Link) -> Result<Platform> {
    plan(server.address(), link).start().await
}

fn plan(server: SocketAddr, link: Link) -> Topology {
    let upstream = match link {
        Link::Http1 => Upstream::Http1,
        Link::H2c => Upstream::H2c,
    };
    Topology::two_tier()
        .external_pool("web", &[server], upstream)
        .tune_global(move |file| {
            if link == Link::H2c {
                file.regions
                    .iter_mut()
                    .for_each(|r| r.extra = "protocol: h2".to_owned());
            }
        })
}

/// The same with timeouts that are [`SHORT`] in both tiers.
fn impatient(server: SocketAddr, link: Link) -> Topology {
    plan(server, link)
        .tune_regional(|file| {
            file.routes
                .iter_mut()
                .for_each(|r| r.extra = SHORT.to_owned())
        })
        .tune_global(|file| file.route_extra = SHORT.to_owned())
}
