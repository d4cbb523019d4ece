//! Who may ask the API server for what, and where secrets are.

use serde_json::{Value, json};

use super::Faults;
use crate::objects::{Objects, list, name, text};

/// A pod has a token if, and only if, something is bound to its ServiceAccount; none mounts that of `default`.
pub(super) fn tokens(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.workloads() {
        let account = &workload.pod["serviceAccountName"];
        let is_bound = objects
            .beside(workload.object, "RoleBinding")
            .any(|binding| {
                list(&binding["subjects"])
                    .iter()
                    .any(|of| of["name"] == *account)
            });
        let mounts = &workload.pod["automountServiceAccountToken"];
        let is_there = objects
            .named(workload.object, "ServiceAccount", account)
            .is_some_and(|account| account["automountServiceAccountToken"] == false);
        if *mounts != is_bound || !is_there {
            faults.push(format!(
                "{}: token {mounts}, bound {is_bound}, account {account}",
                name(workload.object)
            ));
        }
    }
    faults
}

/// Each role has what its component needs, to the letter; none is for the cluster as a whole.
pub(super) fn roles(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for role in objects.of("Role") {
        let wanted = match text(&role["metadata"]["name"]) {
            "lb-discovery" => json!([{
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["get", "list", "watch"],
            }]),
            "lb-state-store" => json!([{
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": ["lb-orders"],
                "verbs": ["get", "list", "watch", "update"],
            }]),
            _ => Value::Null,
        };
        if role["rules"] != wanted {
            faults.push(format!("{}: {}", name(role), role["rules"]));
        }
    }
    for binding in objects.of("RoleBinding") {
        let role = objects.named(binding, "Role", &binding["roleRef"]["name"]);
        let subjects = list(&binding["subjects"]);
        let is_ours = |subject: &Value| {
            let account = objects.named(binding, "ServiceAccount", &subject["name"]);
            subject["kind"] == "ServiceAccount" && account.is_some()
        };
        let is_role = binding["roleRef"]["kind"] == "Role";
        if role.is_none() || !is_role || subjects.len() != 1 || !subjects.iter().all(is_ours) {
            faults.push(name(binding));
        }
    }
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        faults.extend(objects.of(kind).map(name));
    }
    faults
}

/// Secrets are not in manifests, but for the demo's.
pub(super) fn secrets(objects: &Objects) -> Faults {
    let is_demo =
        |object: &&Value| text(&object["metadata"]["namespace"]).starts_with("strata-demo");
    let secrets = objects.of("Secret").filter(|secret| !is_demo(secret));
    secrets.map(name).collect()
}
