//! Who gets requests, by what slices say.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strata_tests::{eventually, http};

use crate::bed::{Bed, Is, NAMESPACE, SLICES, SOON, Setup, slice};

#[tokio::test]
async fn ready_servers_come_and_go_with_their_slices() -> Result<()> {
    let bed = Bed::start(3).await?;
    bed.until(&[1, 2, 3]).await?;
    bed.forget(2);
    bed.until(&[1, 3]).await?;
    bed.say(3, Is::Unready)?;
    bed.until(&[1]).await?;
    bed.say(2, Is::Ready)?;
    bed.until(&[1, 2]).await
}

#[tokio::test]
async fn who_terminates_finishes_its_own_and_gets_nothing_new() -> Result<()> {
    let bed = Bed::start(2).await?;
    bed.until(&[1, 2]).await?;
    // A request that is under way at server 1 while it is told to leave, and until it is gone.
    let slow = bed.servers.first().context("no server")?;
    slow.script(|b| b.head_delay = std::time::Duration::from_millis(1500));
    let users = (0..4).map(|_| tokio::spawn(http::get(bed.address, "/")));
    let users: Vec<_> = users.collect();
    eventually(SOON, "a request under way", async || {
        let endpoints = bed.endpoints().await?;
        let busy = endpoints
            .iter()
            .any(|e| e["server"] == "pod-1" && e["inflight"] != 0);
        ensure!(busy, "{endpoints:?}");
        Ok(())
    })
    .await?;
    bed.say(1, Is::Leaving)?;
    eventually(SOON, "it to leave", async || {
        let endpoints = bed.endpoints().await?;
        let one = endpoints.iter().find(|e| e["server"] == "pod-1");
        ensure!(
            one.is_some_and(|e| e["state"] == "draining"),
            "{endpoints:?}"
        );
        Ok(())
    })
    .await?;
    let seen = bed.answering().await?;
    ensure!(!seen.contains("s1"), "new requests at {seen:?}");
    bed.forget(1);
    for user in users {
        let answer = user.await??;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn those_that_terminate_stand_in_when_nobody_else_is_left() -> Result<()> {
    let bed = Bed::start(3).await?;
    for number in 1..=3 {
        bed.say(number, Is::Leaving)?;
    }
    eventually(SOON, "all to leave", async || {
        let endpoints = bed.endpoints().await?;
        ensure!(
            endpoints.iter().all(|e| e["state"] == "draining"),
            "{endpoints:?}"
        );
        Ok(())
    })
    .await?;
    bed.until(&[1, 2, 3]).await?;
    bed.say(2, Is::Ready)?;
    bed.until(&[2]).await?;
    // What is not ready is better than nobody, too.
    bed.say(2, Is::Unready)?;
    bed.until(&[1, 3]).await?;
    bed.forget(1);
    bed.forget(3);
    bed.until(&[2]).await
}

#[tokio::test]
async fn those_that_terminate_stand_in_for_sick_ones() -> Result<()> {
    let setup = Setup {
        pool: "    health_check: { http: { path: /healthz }, interval: 200ms, timeout: 100ms, fall: 1, rise: 1 }\n".to_owned(),
        ..Setup::default()
    };
    let bed = Bed::start_with(2, setup, async |_| Ok(())).await?;
    bed.until(&[1, 2]).await?;
    bed.say(1, Is::Leaving)?;
    bed.until(&[2]).await?;
    let second = bed.servers.get(1).context("no server")?;
    second.script(|b| {
        b.status = Some(500);
        b.health = strata_tests::server::Health::Follow;
    });
    eventually(SOON, "the one that leaves to stand in", async || {
        let seen = bed.answering().await?;
        ensure!(seen.len() == 1 && seen.contains("s1"), "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_named_port_that_changes_is_followed() -> Result<()> {
    let setup = Setup {
        discover: "services: [{ name: web }], port: http".to_owned(),
        ..Setup::default()
    };
    let bed = Bed::start_with(2, setup, async |_| Ok(())).await?;
    bed.until(&[1, 2]).await?;
    let address = bed.servers.get(1).context("no server")?.address();
    bed.forget(2);
    bed.until(&[1]).await?;
    // The slice of server 1 says server 2's port, among others.
    let endpoint = json!({ "addresses": [address.ip().to_string()] });
    let mut object = slice("web-1", "web", address.port(), vec![endpoint]);
    let ports = object["ports"].as_array_mut().context("no ports")?;
    ports.push(json!({ "name": "admin", "port": 1 }));
    ports.push(json!({ "name": "quic", "port": 2, "protocol": "UDP" }));
    bed.api.put(&SLICES, NAMESPACE, object.clone())?;
    bed.until(&[2]).await?;
    // A port that nobody has is told, and leaves the list as it was.
    object["ports"] = json!([{ "name": "https", "port": 1 }]);
    bed.api.put(&SLICES, NAMESPACE, object)?;
    eventually(SOON, "word of it", async || {
        let output = bed.process.output();
        ensure!(
            output.contains("no TCP port http, but [https 1]"),
            "{output}"
        );
        Ok(())
    })
    .await?;
    bed.until(&[2]).await
}

#[tokio::test]
async fn a_server_with_two_families_is_one() -> Result<()> {
    let bed = Bed::start(2).await?;
    let number =
        |n: usize| json!({ "kind": "Pod", "name": format!("pod-{n}"), "uid": format!("uid-{n}") });
    let six = |n: usize| json!({ "addresses": [format!("fd00::{n}")], "targetRef": number(n) });
    // Its address is nobody's: if one were used, requests would fail.
    let mut object = slice("web-six", "web", 1, vec![six(1), six(2)]);
    object["addressType"] = json!("IPv6");
    bed.api.put(&SLICES, NAMESPACE, object)?;
    bed.until_fresh().await?;
    let both = [1, 2];
    bed.until(&both).await?;
    let endpoints = bed.endpoints().await?;
    ensure!(endpoints.len() == 2, "{endpoints:?}");
    Ok(())
}

#[tokio::test]
async fn services_share_by_weight_and_a_label_shifts_them_live() -> Result<()> {
    let setup = Setup {
        discover: "services: [{ name: web, weight: 9 }, { name: canary, weight: 1 }]".to_owned(),
        ..Setup::default()
    };
    let bed = Bed::start_with(4, setup, async |_| Ok(())).await?;
    bed.until(&[1, 2, 3, 4]).await?;
    let canary = |label: Option<&str>| -> Result<()> {
        let address = bed.servers.get(3).context("no server")?.address();
        let endpoint = json!({ "addresses": [address.ip().to_string()] });
        let mut object = slice("web-4", "canary", address.port(), vec![endpoint]);
        if let Some(weight) = label {
            object["metadata"]["labels"]["strata.dev/weight"] = json!(weight);
        }
        bed.api.put(&SLICES, NAMESPACE, object)?;
        Ok(())
    };
    let shares = async |share: f64| {
        eventually(SOON, "the shares", async || {
            let endpoints = bed.endpoints().await?;
            let weight = |e: &Value| e["weight"].as_f64().unwrap_or_default();
            let all: f64 = endpoints.iter().map(weight).sum();
            let canary = endpoints.iter().find(|e| {
                e["server"] != "pod-1" && e["server"] != "pod-2" && e["server"] != "pod-3"
            });
            let is = canary.map_or(0.0, weight) / all;
            ensure!(
                (is - share).abs() < 0.01 && endpoints.len() == 4,
                "{is}: {endpoints:?}"
            );
            Ok(())
        })
        .await
    };
    canary(None)?;
    shares(0.1).await?;
    canary(Some("9"))?;
    shares(0.5).await?;
    canary(Some("0"))?;
    shares(0.0).await?;
    bed.until(&[1, 2, 3]).await
}
