//! Request ids, trace contexts and `Via`.

use anyhow::{Result, ensure};
use regex::Regex;
use strata_tests::http as client;
use strata_tests::subject::Upstream;
use strata_tests::topology::Topology;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{both_tiers, echo, value, values};

#[tokio::test]
async fn a_strangers_request_gets_a_fresh_id() -> Result<()> {
    let platform = both_tiers(false).await?;
    let uuid7 =
        Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")?;
    let mut known = Vec::new();
    for _ in 0..3 {
        let seen = echo(&platform, &[("x-request-id", "chosen-by-a-stranger")]).await?;
        let id = value(&seen, "x-request-id")?;
        ensure!(uuid7.is_match(&id), "not a UUIDv7: {id}");
        ensure!(!known.contains(&id), "{id} twice");
        known.push(id);
    }
    Ok(())
}

#[tokio::test]
async fn a_trusted_valid_id_stays_and_an_invalid_one_does_not() -> Result<()> {
    let platform = both_tiers(true).await?;
    let seen = echo(&platform, &[("x-request-id", "order-4711.a_b")]).await?;
    ensure!(value(&seen, "x-request-id")? == "order-4711.a_b", "{seen}");
    let long = "x".repeat(500);
    for bad in ["", "a b", "<script>", long.as_str()] {
        let seen = echo(&platform, &[("x-request-id", bad)]).await?;
        ensure!(value(&seen, "x-request-id")? != bad, "{bad:?} was kept");
    }
    Ok(())
}

#[tokio::test]
async fn both_tiers_log_the_id_that_the_server_got() -> Result<()> {
    let mut platform = both_tiers(false).await?;
    let seen = echo(&platform, &[]).await?;
    let id = value(&seen, "x-request-id")?;
    for replica in platform.replicas() {
        let found =
            strata_tests::eventually(std::time::Duration::from_secs(5), "log line", async || {
                ensure!(replica.output().contains(&id), "no line with {id}");
                Ok(())
            });
        found.await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_goes_on_with_a_new_parent() -> Result<()> {
    let platform = both_tiers(false).await?;
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let seen = echo(&platform, &[("traceparent", given), ("tracestate", "a=1")]).await?;
    let parent = value(&seen, "traceparent")?;
    ensure!(
        parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{parent}"
    );
    ensure!(parent.ends_with("-01") && parent != given, "{parent}");
    ensure!(value(&seen, "tracestate")? == "a=1", "{seen}");
    let seen = echo(
        &platform,
        &[("traceparent", "00-0-0-0"), ("tracestate", "a=1")],
    )
    .await?;
    let fresh = Regex::new("^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")?;
    ensure!(fresh.is_match(&value(&seen, "traceparent")?), "{seen}");
    ensure!(
        values(&seen, "tracestate").is_empty(),
        "a state without its trace: {seen}"
    );
    Ok(())
}

#[tokio::test]
async fn each_hop_signs() -> Result<()> {
    let platform = both_tiers(false).await?;
    let seen = echo(&platform, &[("via", "1.0 elsewhere")]).await?;
    let via = values(&seen, "via").join(", ");
    let hops: Vec<&str> = via.split(", ").collect();
    ensure!(hops.len() == 3 && hops[0] == "1.0 elsewhere", "{via}");
    let answer = client::get(platform.address()?, "/").await?;
    ensure!(
        answer.headers.get_all("via").iter().count() >= 1,
        "{:?}",
        answer.headers
    );
    Ok(())
}

/// A server that is the platform itself, which no check of the configuration can see.
#[tokio::test]
async fn a_way_that_leads_back_is_refused() -> Result<()> {
    let relay = TcpListener::bind(strata_tests::ports::free()?).await?;
    let platform = Topology::two_tier()
        .external_pool("web", &[relay.local_addr()?], Upstream::Http1)
        .tune_regional(|file| {
            let unchecked = Some("enabled: false".to_owned());
            file.pools
                .iter_mut()
                .for_each(|pool| pool.health_check = unchecked.clone());
        })
        .start()
        .await?;
    let back = platform.address()?;
    let task = tokio::spawn(async move {
        while let Ok((mut near, _)) = relay.accept().await {
            tokio::spawn(async move {
                let mut far = TcpStream::connect(back).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    let answer = client::get(back, "/").await?;
    task.abort();
    ensure!(answer.status == 508, "{} {}", answer.status, answer.text());
    Ok(())
}
