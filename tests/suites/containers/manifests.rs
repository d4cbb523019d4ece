//! The rendered manifests of a region, run by `podman play kube`, which knows a part of what a kubelet does.
//!
//! What it doesn't: several replicas (one is started), `defaultMode` of a Secret (files get 0644, so the tokens are left out), a Secret that
//! may be absent without saying so, probes by name of a port, the grace period, and Services.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::de::Deserialize;
use serde_json::{Value, json};
use strata_tests::process::Launch;
use strata_tests::{eventually, http, tools};

use crate::engine::{Engine, IMAGE};
use crate::own_network::done_in_own_network;
use crate::pods::SOON;

/// What the overlay `region-eu` renders to, as far as podman takes it.
async fn rendered() -> Result<Vec<Value>> {
    let kubectl = tools::python().await?.with_file_name("kubectl");
    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/overlays/region-eu");
    let text = Launch::new("kubectl", kubectl)
        .args(["kustomize"])
        .arg(overlay)
        .run_ok(SOON)
        .await?;
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = Value::deserialize(document)?;
        match object["kind"].as_str() {
            Some("ConfigMap") => objects.push(object),
            Some("Deployment") => objects.push(adapted(object)?),
            _ => {}
        }
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "lb-admin-tokens" },
        "stringData": { "tokens": "token-of-the-containers-suite" },
    });
    objects.insert(0, secret);
    Ok(objects)
}

fn adapted(mut deployment: Value) -> Result<Value> {
    deployment["spec"]["replicas"] = 1.into();
    let pod = &mut deployment["spec"]["template"]["spec"];
    for volume in pod["volumes"].as_array_mut().context("volumes")? {
        if volume["secret"].is_object() {
            volume["secret"]["optional"] = false.into();
        }
    }
    let container = &mut pod["containers"][0];
    container["image"] = IMAGE.into();
    let env = container["env"].as_array_mut().context("env")?;
    env.push(json!({ "name": "LB__ADMIN__TOKEN_FILE", "value": "" }));
    Ok(deployment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_of_the_manifests_runs_as_a_pod() -> Result<()> {
    if done_in_own_network("manifests::a_region_of_the_manifests_runs_as_a_pod")? {
        return Ok(());
    }
    let engine = Engine::with_image()?;
    let objects = rendered().await?;
    let documents = objects
        .iter()
        .map(serde_yaml::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    let file = engine.dir().join("region.yaml");
    std::fs::write(&file, documents.join("---\n"))?;
    engine.run(&[
        "play",
        "kube",
        "--network",
        "pods",
        &file.display().to_string(),
    ])?;
    let names = engine.run(&["ps", "--format", "{{.Names}} {{.Image}}"])?;
    let named = names
        .lines()
        .find_map(|line| line.strip_suffix(&format!(" {IMAGE}")));
    let name = named.with_context(|| names.clone())?;

    let state: Value = serde_json::from_str(&engine.run(&["inspect", name])?)?;
    let (host, user) = (&state[0]["HostConfig"], &state[0]["Config"]["User"]);
    ensure!(
        host["ReadonlyRootfs"] == true && host["Memory"] == 512 << 20,
        "{host}"
    );
    ensure!(
        user.as_str().is_some_and(|user| user.starts_with("65532")),
        "{user}"
    );
    let kept = &state[0]["EffectiveCaps"];
    ensure!(kept.as_array().is_none_or(Vec::is_empty), "{kept}");

    let ask = || engine.run(&["exec", name, "/usr/bin/lbctl", "status", "-o", "json"]);
    let status = eventually(SOON, "a pod that answers", async || {
        let status: Value = serde_json::from_str(&ask()?)?;
        ensure!(
            status["ready"] == true || status["lifecycle"].is_string(),
            "{status}"
        );
        Ok(status)
    })
    .await?;
    ensure!(status["region"] == "eu", "{status}");
    let address = engine.run(&["inspect", "--format", "{{.Pod}}", name])?;
    let infra = engine.run(&[
        "pod",
        "inspect",
        "--format",
        "{{.InfraContainerID}}",
        &address,
    ])?;
    let admin = engine.address(&infra, 9900)?;
    let answer = http::get(admin, "/livez").await?;
    ensure!(answer.status == 200, "{answer:?}");
    engine
        .run(&["play", "kube", "--down", &file.display().to_string()])
        .map(drop)
}
