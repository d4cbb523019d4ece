//! Places are counted exactly: limits hold, and whatever ends a request gives its place back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use strata_tests::eventually;
use strata_tests::feed::feed;
use strata_tests::http as client;
use strata_tests::http::{Dial, empty};
use strata_tests::raw::RawConn;
use strata_tests::server::Fault;
use strata_tests::topology::{Platform, Topology};

use strata_tests::alone;

const SOON: Duration = Duration::from_secs(10);

/// One regional replica whose pool has these lines more.
async fn start(servers: usize, extra: &'static str) -> Result<Platform> {
    let plan = Topology::regional().pool("web", servers);
    let plan = plan.tune_regional(move |file| {
        for pool in &mut file.pools {
            pool.extra = extra.to_owned();
        }
    });
    plan.start().await
}

/// The first pool's status.
async fn pool(platform: &Platform) -> Result<serde_json::Value> {
    let status = platform.regions[0].replicas[0].status().await?;
    Ok(status["pools"][0].clone())
}

/// Waits until nothing is counted as under way.
async fn is_empty(platform: &Platform) -> Result<()> {
    eventually(SOON, "all places free", async || {
        let pool = pool(platform).await?;
        let admission = &pool["admission"];
        ensure!(
            pool["inflight"] == 0 && admission["inflight"] == 0 && admission["pending"] == 0,
            "{pool}"
        );
        Ok(())
    })
    .await
}

/// Waits until so many are under way, and wait.
async fn holds(platform: &Platform, inflight: u64, pending: u64) -> Result<()> {
    let what = format!("{inflight} under way, {pending} waiting");
    eventually(SOON, &what, async || {
        let pool = pool(platform).await?;
        ensure!(
            pool["inflight"] == inflight && pool["admission"]["pending"] == pending,
            "{pool}"
        );
        Ok(())
    })
    .await
}

fn get_in_background(
    platform: &Platform,
) -> Result<tokio::task::JoinHandle<Result<client::Answer>>> {
    let address = platform.address()?;
    Ok(tokio::spawn(async move { client::get(address, "/").await }))
}

#[tokio::test]
async fn every_way_to_end_gives_the_place_back() -> Result<()> {
    let platform = start(2, "").await?;
    let address = platform.address()?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = Duration::from_secs(30));
    }
    // Clients that leave: before the answer, over both protocols, and in the middle of a body.
    let mut gone = RawConn::connect(address).await?;
    gone.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await?;
    let (mut body, upload) = feed();
    body.send_data("half".into()).await?;
    let mut near = Dial::http1(address).connect().await?;
    let post = tokio::spawn(async move { near.begin(Request::post("/").body(upload)?).await });
    let mut far = Dial::h2c(address).connect().await?;
    let stream = tokio::spawn(async move { far.begin(Request::get("/").body(empty())?).await });
    holds(&platform, 3, 0).await?;
    gone.reset()?;
    drop(body);
    post.abort();
    stream.abort();
    is_empty(&platform).await?;
    // Servers that break.
    for fault in [
        Fault::ResetBeforeHead,
        Fault::ResetAfterHead,
        Fault::Truncate,
        Fault::Garbage,
    ] {
        for server in platform.servers() {
            server.script(|b| {
                b.head_delay = Duration::ZERO;
                b.inject(fault, 1.0);
            });
        }
        for path in ["/", "/bytes/100000"] {
            // How it fails is other suites' business.
            let _ = client::get(address, path).await;
        }
        is_empty(&platform).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_running_download_takes_no_place_of_the_limit() -> Result<()> {
    let platform = start(1, "").await?;
    for server in platform.servers() {
        server.script(|b| b.chunk_delay = Duration::from_secs(1));
    }
    let mut conn = Dial::http1(platform.address()?).connect().await?;
    let answer = conn
        .begin(Request::get("/events/100").body(empty())?)
        .await?;
    ensure!(answer.status() == 200);
    let pool = pool(&platform).await?;
    ensure!(
        pool["inflight"] == 1 && pool["admission"]["inflight"] == 0,
        "{pool}"
    );
    drop((answer, conn));
    is_empty(&platform).await
}

#[tokio::test]
async fn a_full_server_is_passed_over_and_full_servers_refuse() -> Result<()> {
    let breaker = "circuit_breaker: { max_in_flight: 2, max_pending: 0 }";
    let platform = start(2, breaker).await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = Duration::from_secs(30));
    }
    let held: Vec<_> = (0..4)
        .map(|_| get_in_background(&platform))
        .collect::<Result<_>>()?;
    holds(&platform, 4, 0).await?;
    let pool = pool(&platform).await?;
    for endpoint in pool["endpoints"].as_array().context("no endpoints")? {
        ensure!(endpoint["inflight"] == 2, "{pool}");
    }
    let answer = Dial::http1(platform.address()?).get("/").await?;
    ensure!(
        answer.status == 503
            && answer.header("x-lb-overloaded") == "1"
            && answer.text().contains("overloaded"),
        "{answer:?}"
    );
    let wait: u64 = answer.header("retry-after").parse()?;
    ensure!((1..=3).contains(&wait), "{answer:?}");
    let replica = &platform.regions[0].replicas[0];
    let shed = replica
        .metric("lb_shed_total", &["endpoints", "default"])
        .await?;
    ensure!(shed == 1.0, "{shed}");
    for held in held {
        held.abort();
    }
    is_empty(&platform).await
}

#[tokio::test]
async fn who_finds_no_place_waits_for_one() -> Result<()> {
    let _alone = alone().await;
    let breaker = "circuit_breaker: { max_in_flight: 1, max_pending: 4, max_wait: 20s }";
    let platform = start(1, breaker).await?;
    let server = platform.servers().next().context("no server")?;
    server.freeze();
    let first = get_in_background(&platform)?;
    holds(&platform, 1, 0).await?;
    let second = get_in_background(&platform)?;
    holds(&platform, 1, 1).await?;
    // A client that leaves while it waits leaves the queue.
    let third = get_in_background(&platform)?;
    holds(&platform, 1, 2).await?;
    third.abort();
    holds(&platform, 1, 1).await?;
    server.thaw();
    ensure!(first.await??.status == 200 && second.await??.status == 200);
    is_empty(&platform).await
}

#[tokio::test]
async fn who_waits_too_long_is_refused() -> Result<()> {
    let breaker = "circuit_breaker: { max_in_flight: 1, max_pending: 4, max_wait: 50ms }";
    let platform = start(1, breaker).await?;
    for server in platform.servers() {
        server.script(|b| b.head_delay = Duration::from_secs(30));
    }
    let held = get_in_background(&platform)?;
    holds(&platform, 1, 0).await?;
    let answer = client::get(platform.address()?, "/").await?;
    ensure!(answer.status == 503, "{answer:?}");
    let replica = &platform.regions[0].replicas[0];
    ensure!(replica.metric("lb_shed_total", &["wait"]).await? == 1.0);
    held.abort();
    is_empty(&platform).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_waits_instead_of_failing() -> Result<()> {
    let _alone = alone().await;
    for (breaker, is_queued) in [
        ("circuit_breaker: { max_in_flight: 4, max_wait: 2s }", true),
        (
            "circuit_breaker: { max_in_flight: 4, max_pending: 0 }",
            false,
        ),
    ] {
        let platform = start(1, breaker).await?;
        for server in platform.servers() {
            server.script(|b| b.head_delay = Duration::from_millis(20));
        }
        let burst: Vec<_> = (0..20)
            .map(|_| get_in_background(&platform))
            .collect::<Result<_>>()?;
        let mut refused = 0;
        for one in burst {
            refused += usize::from(one.await??.status == 503);
        }
        ensure!((refused == 0) == is_queued, "{breaker}: {refused} refused");
        is_empty(&platform).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pool_learned_survives_a_reload() -> Result<()> {
    let _alone = alone().await;
    let platform = start(2, "").await?;
    let load = platform.load().rate(100.0);
    let report = load.run_for(Duration::from_secs(2)).await?;
    ensure!(report.success_ratio() > 0.9, "{report}");
    let learned = pool(&platform).await?["admission"]["baseline_ms"].clone();
    ensure!(learned.is_number(), "{learned}");
    let replica = &platform.regions[0].replicas[0];
    replica
        .rewrite(|text| text.replace("    servers:\n", "    idle_timeout: 31s\n    servers:\n"))?;
    eventually(SOON, "the next generation", async || {
        let status = replica.status().await?;
        ensure!(status["config"]["generation"] == 2, "{}", status["config"]);
        let now = &status["pools"][0]["admission"]["baseline_ms"];
        ensure!(*now == learned, "{learned}, then {now}");
        Ok(())
    })
    .await
}

/// With places for 19, thirty uploads that take their time: they hold back nobody for longer than others may wait.
#[tokio::test]
async fn slow_uploads_take_no_places_from_others() -> Result<()> {
    let platform = start(2, "adaptive_concurrency: { max_limit: 20 }").await?;
    let address = platform.address()?;
    let users = platform.load().rate(100.0).no_resend().start()?;
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..30 {
        uploads.spawn(async move {
            let mut conn = RawConn::connect(address).await?;
            let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000\r\n\r\n";
            conn.write(head).await?;
            // Seldom enough that no piece comes while the others wait.
            for _ in 0..4 {
                conn.write(b"x").await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            anyhow::Ok(())
        });
    }
    let all = uploads.join_all().await;
    let report = users.stop().await;
    let served = all.iter().filter(|upload| upload.is_ok()).count();
    ensure!(served == 30, "{served} of 30 uploads went on");
    ensure!(report.failed == 0 && report.sent > 150, "{report}");
    Ok(())
}
