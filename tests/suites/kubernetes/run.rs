//! The configuration inside each ConfigMap is checked and run, and a ConfigMap that changes is live without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strata_tests::eventually;
use strata_tests::http;
use strata_tests::server::{SERVED_BY, Server};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use crate::objects::{Objects, Workload, list, name, text};
use crate::pod::{Pod, SOON, stop};
use crate::render;

/// From the swap of the symlink on. The kubelet's own lag comes before.
const LIVE: Duration = Duration::from_secs(2);

fn first(objects: &Objects) -> Result<Workload<'_>> {
    objects.ours().next().context("nothing runs")
}

/// All that is ours in each overlay. What asks an API server is not run here.
#[tokio::test]
async fn every_configuration_is_checked_and_runs() -> Result<()> {
    // Each takes five seconds until it no longer waits for servers that are not there: all at one time.
    LocalSet::new().run_until(run_all()).await
}

async fn run_all() -> Result<()> {
    let mut runs = JoinSet::new();
    for (overlay, rendered) in render::all().await? {
        let is_whole = !overlay.starts_with("minimal/")
            || ["-tls", "-host-network"]
                .iter()
                .any(|end| overlay.ends_with(end));
        for workload in rendered.objects.ours().filter(|_| is_whole) {
            let what = format!("{overlay}: {}", name(workload.object));
            let run = async move { run(&rendered.objects, workload).await.context(what) };
            runs.spawn_local(run);
        }
    }
    ensure!(runs.len() >= 10, "only {}", runs.len());
    while let Some(run) = runs.join_next().await {
        run??;
    }
    Ok(())
}

async fn run(objects: &Objects, workload: Workload<'_>) -> Result<()> {
    let pod = Pod::new(objects, workload)?;
    let said = pod.check().await?;
    ensure!(said.contains(": good"), "{said}");
    let process = pod.start().await?;
    let who = pod.ask("/api/v1/replica").await?;
    ensure!(who["replica"] == pod.name.as_str(), "{who}");
    let status = pod.ask("/api/v1/status").await?;
    let listeners = list(&status["listeners"]);
    ensure!(listeners.len() == pod.listeners.len(), "{status}");
    stop(process).await
}

/// The control: a ConfigMap with a slip is refused by the same check.
#[tokio::test]
async fn a_slip_in_a_configmap_is_found() -> Result<()> {
    for (kind, place) in [
        ("regional-lb-bootstrap", "/data/regional-lb.yaml"),
        ("lb-pools", "/data/pools.yaml"),
    ] {
        let mut objects = render::one("region-eu").await?.objects.clone();
        let map = objects.of("ConfigMap").find(|map| name(map).contains(kind));
        let map = map.with_context(|| format!("no {kind}"))?;
        let text = map
            .pointer(place)
            .and_then(|text| text.as_str())
            .context("no text")?;
        let (full, text) = (
            crate::objects::text(&map["metadata"]["name"]).to_owned(),
            format!("{text}\npolls: []\n"),
        );
        objects.change("ConfigMap", &full, place, Some(json!(text)))?;
        let said = Pod::new(&objects, first(&objects)?)?.check().await;
        let said = said
            .err()
            .map(|error| format!("{error:#}"))
            .context("taken")?;
        ensure!(said.contains("polls"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_swapped_pools_configmap_is_live_within_two_seconds() -> Result<()> {
    let objects = &render::one("region-eu").await?.objects;
    let server = Server::start("s1").await?;
    let pod = Pod::new(objects, first(objects)?)?;
    let process = pod.start().await?;
    let users = *pod.listeners.get("web").context("no listener")?;
    // The Service of the file is not there.
    ensure!(
        http::get(users, "/").await?.status >= 500,
        "somebody answers"
    );
    let pools = format!(
        "routes:\n  - {{ name: all, pool: web }}\npools:\n  - name: web\n    servers:\n      - {{ name: s1, address: \"{}\" }}\n",
        server.address()
    );
    let start = Instant::now();
    pod.swap(
        "/etc/strata/pools",
        &BTreeMap::from([("pools.yaml".to_owned(), pools)]),
    )?;
    eventually(SOON, "an answer of the new server", async || {
        let answer = http::get(users, "/").await?;
        ensure!(answer.status == 200, "{}", answer.status);
        Ok(())
    })
    .await?;
    println!("a swapped ConfigMap served after {:?}", start.elapsed());
    ensure!(start.elapsed() <= LIVE, "{:?}", start.elapsed());
    stop(process).await
}

/// Since Kubernetes 1.35 pods have their machine's zone as a label. The control is a pod without: it has no zone, and starts.
#[tokio::test]
async fn the_zone_of_the_pods_machine_gets_its_requests() -> Result<()> {
    let (near, far) = (Server::start("near").await?, Server::start("far").await?);
    let pools = format!(
        "routes:\n  - {{ name: all, pool: web }}\npools:\n  - name: web\n    zone_preference: {{ enabled: true }}\n    \
         health_check: {{ enabled: false }}\n    servers:\n      \
         - {{ name: near, address: \"{}\", zone: eu-1a }}\n      - {{ name: far, address: \"{}\", zone: eu-1b }}\n",
        near.address(),
        far.address()
    );
    for (zone, wanted) in [(Some("eu-1a"), 1), (None, 2)] {
        let mut objects = render::one("region-eu").await?.objects.clone();
        let file = "/data/pools.yaml";
        objects.change("ConfigMap", "lb-pools", file, Some(json!(pools)))?;
        if let Some(zone) = zone {
            let label = "/spec/template/metadata/labels/topology.kubernetes.io~1zone";
            objects.change("Deployment", "lb", label, Some(json!(zone)))?;
        }
        let pod = Pod::new(&objects, first(&objects)?)?;
        let process = pod.start().await?;
        let users = *pod.listeners.get("web").context("no listener")?;
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            let answer = http::get(users, "/").await?;
            seen.insert(answer.header(SERVED_BY).to_owned());
        }
        ensure!(
            seen.len() == wanted && seen.contains("near"),
            "{zone:?}: {seen:?}"
        );
        stop(process).await?;
    }
    Ok(())
}

/// What the component `ipv6` says, on loopback.
#[tokio::test]
async fn both_families_are_served_by_one_listener() -> Result<()> {
    if std::fs::read_to_string("/proc/net/if_inet6").is_err() {
        eprintln!("NOT TESTED: needs IPv6");
        return Ok(());
    }
    let objects = &render::one("region-eu").await?.objects;
    let mut pod = Pod::new(objects, first(objects)?)?;
    // Any port: that of another test's address may be taken, as this one takes it on all.
    pod.set("LB__LISTENERS__WEB__ADDRESS", "\"[::]:0\"");
    let process = pod.start().await?;
    let status = pod.ask("/api/v1/status").await?;
    let users: SocketAddr = text(&status["listeners"][0]["address"]).parse()?;
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let answer = http::get((ip, users.port()).into(), "/").await?;
        ensure!(answer.status == 503, "{ip}: {answer:?}");
    }
    stop(process).await
}

/// Another file of the same directory, as an operator who splits a ConfigMap writes it.
#[tokio::test]
async fn a_swapped_regions_configmap_is_live_within_two_seconds() -> Result<()> {
    let objects = &render::one("global").await?.objects;
    let pod = Pod::new(objects, first(objects)?)?;
    let process = pod.start().await?;
    let routes = "routes:\n  - { name: all }\n".to_owned();
    let regions = "regions:\n  - name: west\n    replicas:\n      - { name: w1, address: 127.0.0.1:1, admin: 127.0.0.1:2 }\n".to_owned();
    let files = BTreeMap::from([
        ("routes.yaml".to_owned(), routes),
        ("west.yaml".to_owned(), regions),
    ]);
    let start = Instant::now();
    pod.swap("/etc/strata/pools", &files)?;
    eventually(SOON, "the new region", async || {
        let regions = pod.ask("/api/v1/regions").await?;
        ensure!(
            regions.to_string().contains("\"west\"") && !regions.to_string().contains("\"eu\""),
            "{regions}"
        );
        Ok(())
    })
    .await?;
    println!("a swapped ConfigMap served after {:?}", start.elapsed());
    ensure!(start.elapsed() <= LIVE, "{:?}", start.elapsed());
    stop(process).await
}

/// A ConfigMap that somebody broke: refused whole, told, and the pod stays ready.
#[tokio::test]
async fn a_broken_pools_configmap_changes_nothing() -> Result<()> {
    let objects = &render::one("global").await?.objects;
    let pod = Pod::new(objects, first(objects)?)?;
    let process = pod.start().await?;
    let broken = BTreeMap::from([("regions.yaml".to_owned(), "routes: [}\n".to_owned())]);
    pod.swap("/etc/strata/pools", &broken)?;
    eventually(SOON, "the refusal", async || {
        let config = pod.ask("/api/v1/config").await?;
        ensure!(config["last_reload_ok"] == false, "{config}");
        Ok(())
    })
    .await?;
    let regions = pod.ask("/api/v1/regions").await?;
    ensure!(regions.to_string().contains("\"eu\""), "{regions}");
    ensure!(
        http::get(pod.admin, "/readyz").await?.status == 200,
        "not ready"
    );
    stop(process).await
}

/// The runbook's orders, as `kubectl exec` gives them.
#[tokio::test]
async fn orders_are_given_from_inside_of_a_pod() -> Result<()> {
    let demo = &render::one("demo").await?.objects;
    let global = demo
        .ours()
        .find(|workload| name(workload.object).ends_with("/global-lb"));
    let pod = Pod::new(demo, global.context("no global tier")?)?;
    let process = pod.start().await?;
    let order = [
        "region", "drain", "eu", "--over", "0s", "--actor", "ada", "--reason", "test", "--force",
    ];
    pod.lbctl(&order).await?;
    let drains = pod.lbctl(&["region", "drains"]).await?;
    ensure!(drains.contains("eu") && drains.contains("ada"), "{drains}");
    ensure!(
        pod.path("/var/lib/strata/orders.json").is_file(),
        "not on disk"
    );
    stop(process).await
}

/// A Secret's files belong to root; what lets the pod read them, its group, must not count as "others may read it".
#[tokio::test]
async fn a_secret_is_read_by_the_pods_own_user() -> Result<()> {
    let objects = &render::one("region-eu").await?.objects;
    let workload = first(objects)?;
    let secret = workload
        .volume_at("/etc/strata/secrets")
        .context("no Secret")?;
    let mode = secret["secret"]["defaultMode"]
        .as_u64()
        .context("no mode")?;
    let mode = u32::try_from(mode)?;
    let mut pod = Pod::new(objects, workload)?;
    pod.as_its_own_user(mode)?;
    let process = pod.start().await?;
    let order = [
        "server", "drain", "web/web", "--actor", "ada", "--reason", "test", "--force",
    ];
    pod.lbctl(&order).await?;
    ensure!(
        pod.path("/var/lib/strata/orders.json").is_file(),
        "not on disk"
    );
    stop(process).await?;
    // The controls: for all to read, and for nobody but root.
    for (mode, why) in [
        (mode | 0o004, "others than its owner"),
        (0o400, "ermission denied"),
    ] {
        let mut pod = Pod::new(objects, workload)?;
        pod.as_its_own_user(mode)?;
        let said = pod.refusal().await?;
        ensure!(said.contains(why), "{mode:o}: {said}");
    }
    Ok(())
}
