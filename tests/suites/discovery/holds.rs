//! What goes in parts: Services that are deleted, ports that are renamed, pools that are scaled to zero.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strata_tests::{eventually, http, steadily};
use tokio::time::sleep;

use crate::bed::{Bed, Is, NAMESPACE, SLICES, SOON, Setup, launch, slice};

/// Longer than anything is held.
const LONGER: Duration = Duration::from_secs(5);
/// Between two changes of one cause, longer than many changes are taken for one.
const APART: Duration = Duration::from_millis(400);

/// The pool has all `count` servers for a while, and they answer.
async fn stays(bed: &Bed, count: usize) -> Result<()> {
    steadily(LONGER, "all servers", async || {
        let endpoints = bed.endpoints().await?;
        ensure!(endpoints.len() == count, "{endpoints:?}");
        let seen = bed.answering().await?;
        ensure!(seen.len() == count, "{seen:?}");
        Ok(())
    })
    .await
}

fn with_port(bed: &Bed, number: usize, name: &str) -> Result<()> {
    let all = bed.api.objects(&SLICES, NAMESPACE);
    let wanted = format!("web-{number}");
    let of = |object: &&Value| object["metadata"]["name"] == wanted.as_str();
    let mut object = all.iter().find(of).context("no slice")?.clone();
    object["ports"][0]["name"] = json!(name);
    bed.api.put(&SLICES, NAMESPACE, object)?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_service_does_not_leave_all_requests_to_its_last_slice() -> Result<()> {
    let bed = Bed::start(3).await?;
    bed.until(&[1, 2, 3]).await?;
    let delete = async {
        for number in 1..=3 {
            bed.forget(number);
            sleep(APART).await;
        }
        Ok(())
    };
    tokio::try_join!(stays(&bed, 3), delete)?;
    let output = bed.process.output();
    ensure!(output.contains("the last known servers stay"), "{output}");
    // The control: a Service that is there again is believed, and so is a slice that goes alone.
    bed.say(1, Is::Ready)?;
    bed.say(2, Is::Ready)?;
    bed.until_servers(&["pod-1", "pod-2"]).await?;
    bed.forget(1);
    bed.until_servers(&["pod-2"]).await
}

#[tokio::test]
async fn a_server_that_moves_to_another_slice_does_not_leave_meanwhile() -> Result<()> {
    let bed = Bed::start(2).await?;
    bed.until(&[1, 2]).await?;
    let address = bed.servers.first().context("no server")?.address();
    let pod = json!({
        "addresses": [address.ip().to_string()],
        "targetRef": { "kind": "Pod", "name": "pod-1", "uid": "uid-1" },
    });
    let rearrange = async {
        bed.forget(1);
        sleep(APART).await;
        let object = slice("web-other", "web", address.port(), vec![pod]);
        bed.api.put(&SLICES, NAMESPACE, object)?;
        Ok(())
    };
    tokio::try_join!(stays(&bed, 2), rearrange)?;
    Ok(())
}

#[tokio::test]
async fn a_renamed_port_keeps_the_last_servers_and_says_which_ports_there_are() -> Result<()> {
    let setup = Setup {
        discover: "services: [{ name: web }], port: http".to_owned(),
        ..Setup::default()
    };
    let bed = Bed::start_with(3, setup, async |_| Ok(())).await?;
    bed.until(&[1, 2, 3]).await?;
    let rename = async {
        for number in 1..=3 {
            with_port(&bed, number, "https")?;
            sleep(APART).await;
        }
        Ok(())
    };
    tokio::try_join!(stays(&bed, 3), rename)?;
    let pools = http::get(bed.admin, "/api/v1/pools").await?.text();
    let port = bed.servers.first().context("no server")?.address().port();
    ensure!(
        pools.contains("no TCP port http") && pools.contains(&format!("https {port}")),
        "{pools}"
    );
    let (_, told) = bed.lbctl("pools").await?;
    ensure!(told.contains("! pool app: EndpointSlices"), "{told}");
    let stamp = "lb_discovery_last_sync_timestamp_seconds";
    let before = bed.metric(stamp).await?;
    // Watches end and begin meanwhile, which is no good word of what can be used.
    stays(&bed, 3).await?;
    let after = bed.metric(stamp).await?;
    ensure!((after - before).abs() < 0.5, "its age grows");
    // The control: named as before, what is said of them counts again.
    (1..=3).try_for_each(|number| with_port(&bed, number, "http"))?;
    bed.say(3, Is::Unready)?;
    bed.until(&[1, 2]).await?;
    let pools = http::get(bed.admin, "/api/v1/pools").await?.text();
    ensure!(!pools.contains("no TCP port"), "{pools}");
    Ok(())
}

#[tokio::test]
async fn more_endpoints_than_are_kept_are_refused_and_the_last_list_stays() -> Result<()> {
    let setup = Setup {
        discover: "services: [{ name: web }], max_servers: 2".to_owned(),
        ..Setup::default()
    };
    let bed = Bed::start_with(2, setup, async |_| Ok(())).await?;
    bed.until(&[1, 2]).await?;
    let many = |count: u8| {
        let one = |n: u8| json!({ "addresses": [format!("127.0.1.{n}")], "conditions": { "ready": false } });
        slice("web-many", "web", 1, (1..=count).map(one).collect())
    };
    bed.api.put(&SLICES, NAMESPACE, many(7))?;
    eventually(SOON, "word of it", async || {
        let pools = http::get(bed.admin, "/api/v1/pools").await?.text();
        ensure!(pools.contains("more than 8 endpoints"), "{pools}");
        Ok(())
    })
    .await?;
    bed.say(1, Is::Unready)?;
    stays(&bed, 2).await?;
    // As many as are kept.
    bed.api.put(&SLICES, NAMESPACE, many(6))?;
    bed.until(&[2]).await
}

/// A replica with a second pool, `other`, whose Service is scaled to zero.
#[tokio::test]
async fn a_pool_that_is_scaled_to_zero_does_not_make_its_region_ill() -> Result<()> {
    let mut bed = Bed::start(1).await?;
    bed.api
        .put(&SLICES, NAMESPACE, slice("none", "other", 1, vec![]))?;
    let (address, admin) = (strata_tests::ports::free()?, strata_tests::ports::free()?);
    let text = Setup::default().text("r2", address, admin);
    let route = "routes:\n  - { name: other, match: { path: { prefix: /other } }, pool: other }\n";
    let text = text.replace("routes:\n", route)
        + "  - name: other\n    health_check: { enabled: false }\n    discover: { kubernetes: { kubeconfig: kubeconfig, services: [{ name: other }] } }\n";
    bed.process = launch("r2", bed.dir.path(), &text)?;
    (bed.address, bed.admin) = (address, admin);
    bed.process.wait_http(admin, "/readyz", 200, SOON).await?;
    bed.until(&[1]).await?;
    let report = async |wanted: f64| {
        eventually(SOON, "the report", async || {
            let report = http::get(admin, "/api/v1/region-status").await?.json()?;
            let is = report["healthy_weight_fraction"].as_f64();
            ensure!(is == Some(wanted), "{report}");
            Ok(())
        })
        .await
    };
    report(1.0).await?;
    let ratio = bed.metric("lb_pool_healthy_ratio{pool=\"other\"").await?;
    ensure!((ratio - 1.0).abs() < 1e-9, "no alarm: {ratio}");
    let answer = http::get(address, "/other").await?;
    ensure!(answer.status == 503, "{answer:?}");
    println!("{answer:?} {}", answer.text());
    // The control: with nobody in any pool there is nothing to send requests here for.
    bed.api
        .put(&SLICES, NAMESPACE, slice("web-1", "web", 1, vec![]))?;
    report(0.0).await?;
    bed.say(1, Is::Ready)?;
    report(1.0).await
}
