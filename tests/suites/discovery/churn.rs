//! Thousands of servers that change all the time.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strata_tests::eventually;
use strata_tests::load::Load;
use strata_tests::server::Server;
use tokio::time::MissedTickBehavior;

use crate::bed::{Bed, Is, NAMESPACE, SLICES, SOON, Setup, slice};

const SERVERS: usize = 5000;
const A_SLICE: usize = 100;
/// Changes until each table has reached its size.
const WARM: usize = 500;

/// 5,000 servers in 50 slices; each change replaces one by a new pod at another address, whose predecessor leaves first.
struct Fleet {
    port: u16,
    slices: Vec<Vec<Value>>,
    /// Pods so far.
    pods: usize,
}

// === impl Fleet ===

impl Fleet {
    fn new(port: u16) -> Self {
        let mut fleet = Self {
            port,
            slices: Vec::new(),
            pods: 0,
        };
        for _ in 0..SERVERS / A_SLICE {
            let pods = (0..A_SLICE).map(|_| fleet.pod()).collect();
            fleet.slices.push(pods);
        }
        fleet
    }

    /// A pod that never was, at an address of the loopback network, all of which one listener answers on.
    fn pod(&mut self) -> Value {
        self.pods += 1;
        let number = self.pods;
        let [_, b, c, d] = u32::try_from(number + 0x01_00_00)
            .unwrap_or(1)
            .to_be_bytes();
        json!({
            "addresses": [Ipv4Addr::new(127, b, c, d).to_string()],
            "conditions": Is::Ready.conditions(),
            "targetRef": { "kind": "Pod", "name": format!("pod-{number}"), "uid": format!("uid-{number}") },
        })
    }

    fn object(&self, at: usize) -> Result<Value> {
        let endpoints = self.slices.get(at).context("no slice")?.clone();
        Ok(slice(&format!("web-{at}"), "web", self.port, endpoints))
    }

    /// The next change: who leaves is gone with the next change of its slice, and somebody else begins to leave.
    fn change(&mut self, turn: usize) -> Result<(usize, Value)> {
        let at = turn % self.slices.len();
        let new = self.pod();
        let pods = self.slices.get_mut(at).context("no slice")?;
        pods.retain(|pod| pod["conditions"] != Is::Leaving.conditions());
        pods.push(new);
        let place = turn / 7 % A_SLICE.min(pods.len());
        let leaves = pods.get_mut(place).context("no pod")?;
        leaves["conditions"] = Is::Leaving.conditions();
        Ok((at, self.object(at)?))
    }
}

/// Changes at 100 a second, `count` of them.
async fn churn(bed: &Bed, fleet: &mut Fleet, from: usize, count: usize) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in from..from + count {
        ticks.tick().await;
        let (_, object) = fleet.change(turn)?;
        bed.api.put(&SLICES, NAMESPACE, object)?;
    }
    Ok(())
}

/// Waits until the program knows what the fleet is.
async fn agree(bed: &Bed, fleet: &Fleet) -> Result<()> {
    let of = |pod: &Value| pod["targetRef"]["name"].as_str().map(str::to_owned);
    let wanted: BTreeSet<String> = fleet.slices.iter().flatten().filter_map(of).collect();
    eventually(SOON * 3, "all servers", async || {
        let endpoints = bed.endpoints().await?;
        let names = endpoints
            .iter()
            .filter_map(|e| e["server"].as_str().map(str::to_owned));
        let known: BTreeSet<String> = names.collect();
        let (more, less) = (
            known.difference(&wanted).count(),
            wanted.difference(&known).count(),
        );
        ensure!(known == wanted, "{more} too many, {less} missing");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_servers_change_without_a_failed_request_or_growing_memory() -> Result<()> {
    let server = everywhere().await?;
    let port = server.address().port();
    let mut fleet = Fleet::new(port);
    let setup = Setup {
        // Builds for tests are slow; this is about what is forgotten, not about how fast.
        pool:
            "    health_check: { enabled: false }\n    adaptive_concurrency: { enabled: false }\n"
                .to_owned(),
        extra: "limits: { overload: { enabled: false } }\n".to_owned(),
        ..Setup::default()
    };
    let bed = Bed::start_with(0, setup, async |api| {
        for at in 0..SERVERS / A_SLICE {
            api.put(&SLICES, NAMESPACE, fleet.object(at)?)?;
        }
        Ok(())
    })
    .await?;
    agree(&bed, &fleet).await?;
    let users = Load::at(bed.address)
        .rate(50.0)
        .no_resend()
        .deadline(Duration::from_secs(60))
        .start()?;
    // Warm: each table has reached its size.
    churn(&bed, &mut fleet, 0, WARM).await?;
    agree(&bed, &fleet).await?;
    let (lists, series) = (
        bed.metric("lb_discovery_lists_total").await?,
        series(&bed).await?,
    );
    let before = bed.process.usage()?;
    let changes = 1500;
    churn(&bed, &mut fleet, WARM, changes).await?;
    agree(&bed, &fleet).await?;
    let after = bed.process.usage()?;
    let report = users.stop().await;
    ensure!(
        report.failed == 0 && report.sent > 500,
        "{}",
        report.failures()
    );
    let made = bed.metric("lb_discovery_lists_total").await? - lists;
    ensure!(
        made > 10.0,
        "changes went through while they came: {made} lists"
    );
    ensure!(
        made < changes as f64 / 2.0,
        "and many were one: {made} lists"
    );
    let (from, to) = (before.anonymous_kib, after.anonymous_kib);
    let cpu = after.cpu.saturating_sub(before.cpu);
    println!(
        "{changes} changes: {made} lists, {from} -> {to} KiB, {series} series before, CPU {cpu:?}, p99 {:?}",
        report.p99()
    );
    ensure!(to < from + from / 5, "memory: {from} -> {to} KiB");
    eventually(
        SOON,
        "series of servers that are gone to leave",
        async || {
            let now = self::series(&bed).await?;
            ensure!(now < series + series / 10, "{series} -> {now}");
            Ok(())
        },
    )
    .await?;
    ensure!(server.ledger().last().is_some());
    Ok(())
}

/// A server that answers on every address of this machine.
async fn everywhere() -> Result<Server> {
    let mut failed = None;
    // Somebody else may take the port meanwhile, on one of the addresses.
    for _ in 0..20 {
        let free = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?;
        match Server::builder("all").address(free).start().await {
            Ok(server) => return Ok(server),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.context("not tried")?)
}

/// Series by server.
async fn series(bed: &Bed) -> Result<usize> {
    let text = strata_tests::http::get(bed.admin, "/metrics").await?.text();
    Ok(text
        .lines()
        .filter(|line| line.contains("server=\""))
        .count())
}
