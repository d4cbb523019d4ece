//! Forwarding fields: a stranger's claims are dropped, a trusted proxy's are kept and extended.

use anyhow::{Result, ensure};
use http::{HeaderName, HeaderValue};
use strata_tests::http as client;
use strata_tests::topology::Topology;

use super::{both_tiers, echo, value, values};

const CLAIMS: [(&str, &str); 9] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "bank.example"),
    ("x-forwarded-port", "443"),
    ("forwarded", "for=203.0.113.9;proto=https"),
    ("x-real-ip", "203.0.113.9"),
    ("x-lb-attempt", "7"),
    ("x-lb-deadline-ms", "1"),
    ("x-lb-priority", "critical"),
];

#[tokio::test]
async fn a_strangers_claims_reach_no_server() -> Result<()> {
    let platform = both_tiers(false).await?;
    let seen = echo(&platform, &CLAIMS).await?;
    for (name, claim) in CLAIMS {
        let all = values(&seen, name);
        ensure!(
            all.iter()
                .all(|value| !value.contains(claim) || claim == "1"),
            "{name}: {claim} got through: {seen}"
        );
    }
    let chain = value(&seen, "x-forwarded-for")?;
    let hops: Vec<&str> = chain.split(", ").collect();
    ensure!(
        hops.len() == 2 && hops.iter().all(|hop| hop.starts_with("127.")),
        "the client and the global tier, not {chain}"
    );
    ensure!(value(&seen, "x-forwarded-proto")? == "http", "{seen}");
    ensure!(value(&seen, "x-lb-attempt")? == "1", "{seen}");
    ensure!(
        value(&seen, "x-lb-deadline-ms")?.parse::<u32>()? > 1_000,
        "{seen}"
    );
    ensure!(values(&seen, "x-lb-priority").is_empty(), "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_trusted_proxys_claims_are_kept_and_extended() -> Result<()> {
    let platform = both_tiers(true).await?;
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank.example"),
        ("x-lb-attempt", "7"),
        ("x-lb-deadline-ms", "4000"),
        ("x-lb-priority", "critical"),
    ];
    let seen = echo(&platform, &claims).await?;
    let chain = value(&seen, "x-forwarded-for")?;
    ensure!(
        chain.starts_with("203.0.113.9, 127.") && chain.split(", ").count() == 3,
        "{chain}"
    );
    ensure!(value(&seen, "x-forwarded-proto")? == "https", "{seen}");
    ensure!(
        value(&seen, "x-forwarded-host")? == "bank.example",
        "{seen}"
    );
    ensure!(value(&seen, "x-lb-attempt")? == "7", "{seen}");
    ensure!(value(&seen, "x-lb-priority")? == "critical", "{seen}");
    let left: u32 = value(&seen, "x-lb-deadline-ms")?.parse()?;
    ensure!(
        (1..=4_000).contains(&left),
        "the time left only shrinks: {left}"
    );
    Ok(())
}

#[tokio::test]
async fn fields_of_one_connection_end_with_it() -> Result<()> {
    let platform = both_tiers(false).await?;
    let fields = [
        ("connection", "x-private, keep-alive"),
        ("x-private", "secret"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("x-kept", "1"),
    ];
    let seen = echo(&platform, &fields).await?;
    for name in [
        "x-private",
        "keep-alive",
        "proxy-connection",
        "connection",
        "te",
    ] {
        ensure!(values(&seen, name).is_empty(), "{name} went on: {seen}");
    }
    ensure!(value(&seen, "x-kept")? == "1", "{seen}");
    Ok(())
}

#[tokio::test]
async fn internal_fields_of_an_answer_reach_no_user() -> Result<()> {
    let platform = both_tiers(false).await?;
    for server in platform.servers() {
        server.script(|script| {
            for name in [
                "x-lb-region-load",
                "x-lb-draining",
                "x-lb-debug",
                "keep-alive",
                "x-kept",
            ] {
                script
                    .headers
                    .push((name.parse().unwrap(), HeaderValue::from_static("1")));
            }
        });
    }
    let answer = client::get(platform.address()?, "/").await?;
    let leaked: Vec<_> = answer
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-lb-"))
        .collect();
    ensure!(leaked.is_empty(), "{leaked:?} reached a user");
    ensure!(
        answer.header("keep-alive").is_empty(),
        "{:?}",
        answer.headers
    );
    ensure!(answer.header("x-kept") == "1", "{:?}", answer.headers);
    Ok(())
}

/// Only a region is believed that nobody got a request: a server that says so has got it.
#[tokio::test]
async fn a_server_that_claims_to_be_unserved_gets_a_post_once() -> Result<()> {
    let platform = Topology::two_tier().pool("web", 2).start().await?;
    for server in platform.servers() {
        server.script(|script| {
            script.status = Some(503);
            let name = HeaderName::from_static("x-lb-unserved");
            script.headers.push((name, HeaderValue::from_static("1")));
        });
    }
    let answer = client::post(platform.address()?, "/", "once").await?;
    ensure!(answer.status == 503, "{answer:?}");
    let ledgers = platform.ledgers().into_iter();
    let requests: u64 = ledgers.map(|ledger| ledger.counts().requests).sum();
    ensure!(requests == 1, "{requests} arrived");
    Ok(())
}
