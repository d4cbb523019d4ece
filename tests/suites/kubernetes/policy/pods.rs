//! What a pod may do, what it asks for, and how it is probed.

use serde_json::{Value, json};

use super::Faults;
use crate::objects::{Objects, Workload, list, name, text};

/// The pod security standard `restricted`, and beyond it our own user and a file system that can't be written.
pub(super) fn restricted(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.workloads() {
        let Workload { object, pod, .. } = workload;
        let mut say = |what: &str| faults.push(format!("{}: {what}", name(object)));
        let context = &pod["securityContext"];
        for (is_good, what) in [
            (context["runAsNonRoot"] == true, "runAsNonRoot"),
            (context["runAsUser"] == 65532, "runAsUser 65532"),
            (context["runAsGroup"] == 65532, "runAsGroup 65532"),
            (
                context["seccompProfile"]["type"] == "RuntimeDefault",
                "seccomp",
            ),
            (
                pod["hostPID"].is_null() && pod["hostIPC"].is_null(),
                "the machine's processes",
            ),
            (pod["enableServiceLinks"] == false, "variables of Services"),
            (
                pod["initContainers"].is_null(),
                "init containers are not looked at here",
            ),
        ] {
            if !is_good {
                say(what);
            }
        }
        let volumes = ["configMap", "secret", "emptyDir"];
        let is_safe = |volume: &Value| volumes.iter().any(|kind| volume[kind].is_object());
        if !list(&pod["volumes"]).iter().all(is_safe) {
            say("a volume of another kind");
        }
        for container in list(&pod["containers"]) {
            if !is_confined(container) {
                say("securityContext of a container");
            }
            let ports = list(&container["ports"]);
            if ports.iter().any(|port| !port["hostPort"].is_null()) {
                say("hostPort");
            }
        }
    }
    faults
}

fn is_confined(container: &Value) -> bool {
    container["securityContext"]
        == json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        })
}

/// Namespaces enforce what their pods keep; one that may not is for pods on the machine's network, and nothing else.
pub(super) fn namespaces(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for namespace in objects.of("Namespace") {
        let of = &namespace["metadata"]["name"];
        let inside = |workload: &Workload<'_>| workload.object["metadata"]["namespace"] == *of;
        let mut pods = objects.workloads().filter(inside).peekable();
        let wanted = match pods.peek() {
            Some(first) if first.is_on_host() => "privileged",
            _ => "restricted",
        };
        if !pods.all(|workload| workload.is_on_host() == (wanted == "privileged")) {
            faults.push(format!(
                "{of}: mixes pods on the machine's network with others"
            ));
        }
        for mode in ["enforce", "audit", "warn"] {
            let label =
                &namespace["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}")];
            if label != wanted {
                faults.push(format!("{of}: {mode} is {label}, not {wanted}"));
            }
        }
    }
    for workload in objects.workloads() {
        let own = &workload.object["metadata"]["namespace"];
        let has = objects
            .of("Namespace")
            .any(|n| n["metadata"]["name"] == *own);
        if own.is_null() || (!has && own != "strata-minimal") {
            faults.push(format!(
                "{}: its namespace is not here",
                name(workload.object)
            ));
        }
    }
    faults
}

/// Requests of both, a limit of memory, none of the CPU.
pub(super) fn resources(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.workloads() {
        for container in list(&workload.pod["containers"]) {
            let (asks, limits) = (
                &container["resources"]["requests"],
                &container["resources"]["limits"],
            );
            let is_good = asks["cpu"].is_string()
                && asks["memory"].is_string()
                && limits["memory"].is_string()
                && limits["cpu"].is_null();
            if !is_good {
                faults.push(format!(
                    "{}: {}",
                    name(workload.object),
                    container["resources"]
                ));
            }
        }
    }
    faults
}

/// Probes are there; ours with the guide's times, of the admin port.
pub(super) fn probes(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    let probe = |path: &str, period: u64, failures: u64, timeout: Option<u64>| {
        let mut probe = json!({
            "httpGet": { "path": path, "port": "admin" },
            "periodSeconds": period,
            "failureThreshold": failures,
        });
        if let Some(timeout) = timeout {
            probe["timeoutSeconds"] = json!(timeout);
        }
        probe
    };
    for workload in objects.workloads() {
        let container = workload.container;
        let is_good = if workload.is_ours() {
            container["startupProbe"] == probe("/livez", 1, 60, None)
                && container["livenessProbe"] == probe("/livez", 10, 6, Some(3))
                && container["readinessProbe"] == probe("/readyz", 2, 2, None)
        } else {
            container["livenessProbe"].is_object() && container["readinessProbe"].is_object()
        };
        if !is_good {
            faults.push(format!("{}: probes", name(workload.object)));
        }
    }
    faults
}

/// Who the replica is and how many threads it has come from the pod, and objects say what they belong to.
pub(super) fn identity(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.ours() {
        let env = |key: &str| {
            let mut all = list(&workload.container["env"]).iter();
            all.rfind(|entry| entry["name"] == key).cloned()
        };
        let name_from = json!({ "fieldRef": { "fieldPath": "metadata.name" } });
        let threads_from = json!({ "resourceFieldRef": {
            "containerName": "lb", "resource": "requests.cpu", "divisor": "1",
        } });
        let zone_from = json!({ "fieldRef": {
            "fieldPath": "metadata.labels['topology.kubernetes.io/zone']",
        } });
        let mut wanted = vec![("LB__NAME", name_from), ("LB__THREADS", threads_from)];
        // The global tier has no such key, and would not start.
        if workload.is_regional() {
            wanted.push(("LB__ZONE", zone_from));
        } else if env("LB__ZONE").is_some() {
            faults.push(format!("{}: LB__ZONE", name(workload.object)));
        }
        for (key, from) in wanted {
            if env(key).is_none_or(|entry| entry["valueFrom"] != from) {
                faults.push(format!("{}: {key}", name(workload.object)));
            }
        }
    }
    for object in &objects.0 {
        let part = text(&object["metadata"]["labels"]["app.kubernetes.io/part-of"]);
        // What a generator makes in an overlay has none.
        let is_generated = ["ConfigMap", "Secret"].contains(&text(&object["kind"]));
        if !is_generated && !part.starts_with("strata") {
            faults.push(format!("{}: part-of", name(object)));
        }
    }
    faults
}

/// A tag says which version runs, also tomorrow.
pub(super) fn images(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.workloads() {
        let image = text(&workload.container["image"]);
        let tag = image
            .rsplit('/')
            .next()
            .and_then(|last| last.split_once(':'));
        if tag.is_none_or(|(_, tag)| tag.is_empty() || tag == "latest") {
            faults.push(format!("{}: image {image}", name(workload.object)));
        }
    }
    faults
}
