//! Questions to kubectl.

use super::args::PodOptions;
use crate::failure::{Exit, Failure};
use serde::Deserialize;
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// The port that the manifests give the admin listener.
const ADMIN: u16 = 9900;

/// kubectl, with the options that say where.
#[derive(Debug)]
pub(super) struct Kubectl {
    options: Vec<OsString>,
}

/// A pod that may be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) port: u16,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Spec {
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    #[serde(default)]
    name: String,
    container_port: u16,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
}

// === impl Kubectl ===

impl Kubectl {
    pub(super) fn new(pods: &PodOptions) -> Self {
        let mut options = Vec::new();
        let mut add = |name: &str, value: Option<OsString>| {
            options.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        add("--kubeconfig", pods.kubeconfig.clone().map(OsString::from));
        add("--context", pods.context.clone().map(OsString::from));
        add("--namespace", pods.namespace.clone().map(OsString::from));
        Self { options }
    }

    /// Pods that run, also those that are not ready or leave: they have something to say.
    pub(super) fn pods(&self, selector: &str) -> Result<Vec<Pod>, Failure> {
        let text = self.ask(&["get", "pods", "--selector", selector, "--output", "json"])?;
        let pods = running(&text).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("kubectl's list of pods can't be read: {error}"),
            )
        })?;
        if pods.is_empty() {
            let message = format!("no pod with {selector} runs in this namespace");
            return Err(Failure::new(Exit::Unreachable, message)
                .hint("--namespace, --context and --selector say which are meant"));
        }
        Ok(pods)
    }

    /// The tokens in a secret, one a line.
    pub(super) fn secret(&self, name: &str) -> Result<String, Failure> {
        let template = "go-template={{index .data \"tokens\" | base64decode}}";
        self.ask(&["get", "secret", name, "--output", template])
            .map_err(|failure| {
                failure.hint(
                    "changes need the token: --token-secret names its secret, --token-file a file",
                )
            })
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("kubectl");
        command.args(&self.options).stdin(Stdio::null());
        command
    }

    fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let output = self.command().args(words).output().map_err(not_run)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let told = String::from_utf8_lossy(&output.stderr);
        let message = format!(
            "kubectl {}: {}",
            words.iter().take(2).copied().collect::<Vec<_>>().join(" "),
            told.trim()
        );
        Err(Failure::new(Exit::Unreachable, message))
    }
}

pub(super) fn not_run(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("kubectl can't be run: {error}"))
        .hint("it is what runs plug-ins: https://kubernetes.io/docs/tasks/tools/")
}

fn running(text: &str) -> serde_json::Result<Vec<Pod>> {
    let list: List = serde_json::from_str(text)?;
    let running = list
        .items
        .into_iter()
        .filter(|item| item.status.phase == "Running");
    let mut pods: Vec<Pod> = running.map(pod).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pods)
}

fn pod(item: Item) -> Pod {
    let ports = item
        .spec
        .containers
        .iter()
        .flat_map(|container| &container.ports);
    let mut named = ports
        .filter(|port| port.name == "admin")
        .map(|port| port.container_port);
    Pod {
        port: named.next().unwrap_or(ADMIN),
        name: item.metadata.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_run_are_known_with_their_port() {
        let text = r#"{"items": [
            {"metadata": {"name": "b"}, "spec": {"containers": [{"ports": [{"containerPort": 8080}]}]}, "status": {"phase": "Running"}},
            {"metadata": {"name": "c"}, "spec": {"containers": [{}]}, "status": {"phase": "Pending"}},
            {"metadata": {"name": "a"}, "spec": {"containers": [{}, {"ports": [{"name": "admin", "containerPort": 9901}]}]},
             "status": {"phase": "Running"}}]}"#;
        let pods = running(text).unwrap();
        let known: Vec<_> = pods.iter().map(|pod| (&*pod.name, pod.port)).collect();
        assert_eq!(known, [("a", 9901), ("b", ADMIN)]);
    }
}
