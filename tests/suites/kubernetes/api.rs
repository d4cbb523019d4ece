//! The components that ask the API server: run with no other rights than their Role gives.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strata_tests::kube::{ApiServer, Resource, Rule, User, Verb};
use strata_tests::server::Server;
use strata_tests::{eventually, http};

use crate::objects::{Objects, list, name, text};
use crate::pod::{Pod, SOON, stop};
use crate::render;

const NAMESPACE: &str = "edge";
const TOKEN: &str = "token-of-the-service-account";

/// An API server that lets the pod do what the Role `role` says, and nothing else, and a kubeconfig in place of the mounted token.
async fn api_server(objects: &Objects, role: &str, pod: &mut Pod, key: &str) -> Result<ApiServer> {
    let server = ApiServer::start().await?;
    let role = objects
        .of("Role")
        .find(|object| name(object).contains(role));
    let rules = list(&role.context("no Role")?["rules"]).iter().map(rule);
    let user = User {
        name: format!("system:serviceaccount:{NAMESPACE}:lb"),
        rules: rules.collect::<Result<_>>()?,
    };
    server.allow(TOKEN, user);
    let path = pod.path("/var/lib/strata/kubeconfig");
    let user = format!("token: {TOKEN}");
    let path = server.kubeconfig(&path, NAMESPACE, &user, None)?;
    pod.set(key, &path.display().to_string());
    Ok(server)
}

fn rule(rule: &Value) -> Result<Rule> {
    let words = |key: &str| {
        list(&rule[key])
            .iter()
            .map(text)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let one = |key: &str| words(key).into_iter().next().context("a rule without one");
    let verbs = words("verbs").into_iter().map(|verb| match &*verb {
        "get" => Ok(Verb::Get),
        "list" => Ok(Verb::List),
        "watch" => Ok(Verb::Watch),
        "update" => Ok(Verb::Update),
        other => anyhow::bail!("what is {other}?"),
    });
    Ok(Rule {
        namespace: Some(NAMESPACE.to_owned()),
        group: one("apiGroups")?,
        resource: one("resources")?,
        verbs: verbs.collect::<Result<_>>()?,
        names: words("resourceNames"),
    })
}

async fn pod_of(overlay: &str) -> Result<(&'static Objects, Pod)> {
    let objects = &render::one(overlay).await?.objects;
    let workload = objects.ours().next().context("nothing runs")?;
    Ok((objects, Pod::new(objects, workload)?))
}

#[tokio::test]
async fn orders_are_kept_in_the_configmap_by_the_components_rights() -> Result<()> {
    let (objects, mut pod) = pod_of("minimal/global-state-store").await?;
    let server = api_server(
        objects,
        "lb-state-store",
        &mut pod,
        "LB__STATE__KUBERNETES__KUBECONFIG",
    )
    .await?;
    let map = objects
        .of("ConfigMap")
        .find(|map| name(map).contains("lb-orders"));
    let mut map = map.context("no ConfigMap")?.clone();
    map["metadata"]["namespace"] = NAMESPACE.into();
    server.put(&Resource::CONFIG_MAPS, NAMESPACE, map)?;
    let process = pod.start().await?;
    eventually(SOON, "a store without faults", async || {
        let state = pod.ask("/api/v1/status").await?["state"].clone();
        ensure!(
            state["store"] == "kubernetes" && list(&state["faults"]).is_empty(),
            "{state}"
        );
        Ok(())
    })
    .await?;
    let order = [
        "region", "drain", "eu", "--over", "0s", "--actor", "ada", "--reason", "test", "--force",
    ];
    pod.lbctl(&order).await?;
    let maps = server.objects(&Resource::CONFIG_MAPS, NAMESPACE);
    ensure!(
        maps.len() == 1 && maps[0]["data"].to_string().contains("ada"),
        "{maps:?}"
    );
    stop(process).await
}

#[tokio::test]
async fn servers_are_found_by_the_components_rights() -> Result<()> {
    let (objects, mut pod) = pod_of("minimal/regional-discovery").await?;
    let app_server = Server::start("s1").await?;
    let kubeconfig = "LB__POOLS__WEB__DISCOVER__KUBERNETES__KUBECONFIG";
    let server = api_server(objects, "lb-discovery", &mut pod, kubeconfig).await?;
    let (address, port) = (app_server.address().ip(), app_server.address().port());
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "web-1", "labels": { "kubernetes.io/service-name": "web" } },
        "endpoints": [{ "addresses": [address.to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "http", "port": port, "protocol": "TCP" }],
    });
    server.put(&Resource::ENDPOINT_SLICES, NAMESPACE, slice)?;
    // What the component's first lines tell operators to write.
    let pools = "routes: [{ name: all, pool: web }]\npools:\n  - name: web\n    discover: { kubernetes: { services: [{ name: web }], port: http } }\n";
    pod.swap(
        "/etc/strata/pools",
        &BTreeMap::from([("pools.yaml".to_owned(), pools.to_owned())]),
    )?;
    let process = pod.start().await?;
    let users = *pod.listeners.get("web").context("no listener")?;
    eventually(SOON, "an answer of the server that was found", async || {
        let answer = http::get(users, "/").await?;
        ensure!(answer.header("x-served-by") == "s1", "{answer:?}");
        Ok(())
    })
    .await?;
    stop(process).await
}
