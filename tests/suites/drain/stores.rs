//! Orders by `lbctl` while what keeps them is away: etcd stopped, disks full. What it says is what the requests then do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use strata_tests::disk::Disk;
use strata_tests::eventually;
use strata_tests::kube::{ApiServer, Fault, Resource, User, Verb};
use strata_tests::ports;
use strata_tests::process::Process;
use strata_tests::tools::Tool;
use tokio::time::sleep;

use crate::bed::{Bed, SOON, TARGET, unharmed};

const START: Duration = Duration::from_secs(30);

/// Starts an etcd with its data in `dir`, at the same addresses each time.
async fn etcd(dir: &Path, client: &str, peer: &str) -> Result<Process> {
    let address = client.trim_start_matches("http://").parse()?;
    let launch = Tool::Etcd.launch()?.arg("--data-dir").arg(dir);
    let launch = launch
        .args(["--listen-client-urls", client])
        .args(["--advertise-client-urls", client])
        .args(["--listen-peer-urls", peer])
        .args(["--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster".to_owned(), format!("default={peer}")])
        .args(["--log-level", "error"]);
    let mut process = launch.start()?;
    process.wait_http(address, "/health", 200, START).await?;
    Ok(process)
}

/// Requests that a region gets in two seconds, a second from now.
async fn soon(bed: &Bed, region: usize) -> Result<u64> {
    sleep(TARGET).await;
    let before = bed.requests(region).await?;
    sleep(Duration::from_secs(2)).await;
    Ok(bed.requests(region).await? - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_etcd_is_stopped_orders_are_refused_and_those_in_force_hold() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (address, peer) = (ports::free()?, format!("http://{}", ports::free()?));
    let client = format!("http://{address}");
    let running = etcd(dir.path(), &client, &peer).await?;
    let state = format!("store: etcd, directory: \"@\", etcd: {{ endpoints: [\"{address}\"] }}");
    let bed = Bed::with_state(&state, false).await?;
    let users = bed.users()?;
    bed.served_everywhere().await?;
    bed.order(0, "region drain r1 --over 0s --reason x").await?;
    for at in 0..3 {
        bed.reaches(at, "region/r1", "drained").await?;
    }
    drop(running);
    for line in [
        "region undrain r1 --over 0s",
        "region drain r2 --over 0s --reason y --override over_capacity,stale_reports",
    ] {
        let told = bed.lbctl(1, line).await?;
        ensure!(told.code == 1, "{line}: {}: {}", told.code, told.text);
        for words in ["no member of etcd answers", "the order is not in force"] {
            ensure!(told.text.contains(words), "{words}: {}", told.text);
        }
    }
    ensure!(soon(&bed, 0).await? == 0, "drained it stays");
    ensure!(soon(&bed, 1).await? > 20, "as refused");
    let _running = etcd(dir.path(), &client, &peer).await?;
    eventually(SOON, "orders that are taken again", async || {
        let line = "region undrain r1 --over 0s";
        bed.order(1, line).await.map(drop)
    })
    .await?;
    bed.served_everywhere().await?;
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_disk_and_no_peer_an_order_is_refused_and_nothing_moves() -> Result<()> {
    // Each by itself.
    let bed = Bed::with_state("directory: \"@\"", false).await?;
    let path = bed.own(1);
    let disk = Disk::mount(&path)?;
    disk.fill();
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let told = bed.lbctl(1, "region drain r1 --over 0s --reason x").await?;
    ensure!(told.code == 1, "{}: {}", told.code, told.text);
    for words in ["orders.json", "make room", "the order is not in force"] {
        ensure!(told.text.contains(words), "{words}: {}", told.text);
    }
    ensure!(soon(&bed, 0).await? > 20, "as refused");
    ensure!(bed.stage(1, "region/r1").await?.0 == "active");
    disk.clear()?;
    eventually(SOON, "an order that is taken", async || {
        let line = "region drain r1 --over 0s --reason x";
        bed.order(1, line).await.map(drop)
    })
    .await?;
    bed.reaches(1, "region/r1", "drained").await?;
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_disk_an_order_that_a_peer_keeps_is_obeyed_and_told() -> Result<()> {
    let bed = Bed::start("").await?;
    let path = bed.own(0);
    let disk = Disk::mount(&path)?;
    disk.fill();
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let told = bed.order(0, "region drain r1 --over 0s --reason x").await?;
    let words = "has the order, but not on disk";
    ensure!(told.text.contains(words), "{}", told.text);
    ensure!(soon(&bed, 0).await? == 0, "as said");
    bed.order(0, "region undrain r1 --over 0s").await?;
    bed.served_everywhere().await?;
    unharmed(users).await
}

/// What peers have taken is in force: an order that they were told of must not be called refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_disks_full_an_order_holds_while_a_replica_runs() -> Result<()> {
    let bed = Bed::start("").await?;
    let paths = [bed.own(0), bed.own(1), bed.own(2)];
    let mut disks = Vec::new();
    for path in &paths {
        let disk = Disk::mount(path)?;
        disk.fill();
        disks.push(disk);
    }
    let users = bed.users()?;
    bed.served_everywhere().await?;
    let told = bed.order(0, "region drain r1 --over 0s --reason x").await?;
    let words = "has the order, but not on disk";
    ensure!(told.text.contains(words), "{}", told.text);
    for at in 0..3 {
        bed.reaches(at, "region/r1", "drained").await?;
    }
    ensure!(soon(&bed, 0).await? == 0, "as said");
    bed.order(1, "region undrain r1 --over 0s").await?;
    bed.served_everywhere().await?;
    unharmed(users).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_configmap_alone_nothing_fails_while_its_api_server_does() -> Result<()> {
    let (server, dir) = (ApiServer::start().await?, tempfile::tempdir()?);
    let (maps, name) = (Resource::CONFIG_MAPS, "strata-orders-global");
    server.put(&maps, "lb", json!({ "metadata": { "name": name } }))?;
    std::fs::write(dir.path().join("token"), "first\n")?;
    let verbs = [Verb::Get, Verb::List, Verb::Watch, Verb::Update];
    let user = User::new("strata", "lb", &maps, &verbs);
    server.allow("first", user.named(name));
    let file = server.kubeconfig(&dir.path().join("config"), "lb", "tokenFile: token", None)?;
    let file = file.display();
    let state =
        format!("store: kubernetes, directory: \"@\", kubernetes: {{ kubeconfig: \"{file}\" }}");
    let bed = Bed::with_state(&state, false).await?;
    let loads = bed.users_of(&[0, 1, 2])?;
    bed.served_everywhere().await?;
    bed.order(0, "region drain r1 --over 0s --reason x --wait all")
        .await?;
    bed.quiet(0).await?;
    server.fault(Some(Verb::Update), Fault::Status(503, Some(1)));
    let told = bed.lbctl(1, "region undrain r1 --over 0s").await?;
    ensure!(told.code == 1, "{}: {}", told.code, told.text);
    server.drop_watches(true);
    bed.quiet(0).await?;
    server.heal();
    let undrained = eventually(SOON, "an order that is taken", async || {
        bed.order(2, "region undrain r1 --over 1s --wait-done")
            .await
    });
    undrained.await?;
    bed.served_everywhere().await?;
    bed.all_unharmed(loads.into_iter()).await
}
