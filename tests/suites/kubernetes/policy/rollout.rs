//! How many replicas there are, where they stand, and how they are replaced.

use serde_json::{Value, json};

use super::Faults;
use crate::objects::{Objects, Workload, list, name, selects, text};

const SELECTING: [&str; 2] = ["app.kubernetes.io/name", "app.kubernetes.io/component"];

/// Two at least, by a number or by an autoscaler, never by both.
pub(super) fn replicas(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in deployments(objects) {
        let own = workload.object["spec"]["replicas"].as_u64();
        let least = scaler(objects, workload.object).map(|hpa| hpa["spec"]["minReplicas"].as_u64());
        let is_good = match (own, least) {
            (Some(own), None) => own >= 2,
            (None, Some(least)) => least.is_some_and(|least| least >= 2),
            _ => false,
        };
        if !is_good {
            faults.push(format!(
                "{}: {own:?} replicas, autoscaler {least:?}",
                name(workload.object)
            ));
        }
    }
    faults
}

/// A successor before each that leaves; on the machine's ports, one after the other.
pub(super) fn strategy(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.ours() {
        let spec = &workload.object["spec"];
        let (key, wanted) = if workload.is_deployment() {
            ("strategy", json!({ "maxSurge": 1, "maxUnavailable": 0 }))
        } else {
            (
                "updateStrategy",
                json!({ "maxSurge": 0, "maxUnavailable": 1 }),
            )
        };
        let kind = &spec[key]["type"];
        let is_rolling = kind.is_null() || kind == "RollingUpdate";
        let pause = spec["minReadySeconds"].as_u64().unwrap_or(0);
        if spec[key]["rollingUpdate"] != wanted || !is_rolling || pause < 10 {
            faults.push(format!("{}: {} {pause}", name(workload.object), spec[key]));
        }
    }
    faults
}

/// A budget lets one go, and does not protect what never became ready. A DaemonSet's pods are not evicted.
pub(super) fn budget(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in deployments(objects) {
        let of = |budget: &&Value| {
            selects(
                &budget["spec"]["selector"]["matchLabels"],
                workload.labels(),
            )
        };
        let budgets: Vec<&Value> = objects
            .beside(workload.object, "PodDisruptionBudget")
            .filter(of)
            .collect();
        let is_good = |budget: &&Value| {
            let spec = &budget["spec"];
            let away = spec["maxUnavailable"].as_u64().unwrap_or(0);
            (1..least(objects, workload.object)).contains(&away)
                && spec["minAvailable"].is_null()
                && spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        };
        // Of two budgets for one pod, the eviction API refuses every eviction.
        if budgets.len() != 1 || !budgets.iter().all(is_good) {
            faults.push(format!("{}: {budgets:?}", name(workload.object)));
        }
    }
    for budget in objects.of("PodDisruptionBudget") {
        let selected = |workload: &Workload<'_>| {
            workload.object["metadata"]["namespace"] == budget["metadata"]["namespace"]
                && selects(
                    &budget["spec"]["selector"]["matchLabels"],
                    workload.labels(),
                )
        };
        if !deployments(objects).any(|workload| selected(&workload)) {
            faults.push(format!("{}: selects nothing", name(budget)));
        }
    }
    faults
}

/// Over zones as far as it goes, over two machines in any case; a demo may have one machine.
pub(super) fn spread(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.ours().filter(Workload::is_deployment) {
        let namespace = text(&workload.object["metadata"]["namespace"]);
        let is_demo = namespace.starts_with("strata-demo");
        let wanted = |key: &str, when: &str| {
            json!({
                "topologyKey": key,
                "whenUnsatisfiable": when,
                "maxSkew": 1,
                "nodeTaintsPolicy": "Honor",
                "matchLabelKeys": ["pod-template-hash"],
                "labelSelector": workload.object["spec"]["selector"],
            })
        };
        let machines = if is_demo {
            wanted("kubernetes.io/hostname", "ScheduleAnyway")
        } else {
            // The API server takes minDomains with DoNotSchedule only.
            let mut strict = wanted("kubernetes.io/hostname", "DoNotSchedule");
            strict["minDomains"] = json!(2);
            strict
        };
        let zones = wanted("topology.kubernetes.io/zone", "ScheduleAnyway");
        let wanted = json!([zones, machines]);
        // An affinity would be another opinion on the same matter.
        if workload.pod["topologySpreadConstraints"] != wanted
            || !workload.pod["affinity"].is_null()
        {
            faults.push(name(workload.object));
        }
    }
    faults
}

/// By the CPU of our container alone, and slow to go down.
pub(super) fn autoscaler(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for hpa in objects.of("HorizontalPodAutoscaler") {
        let spec = &hpa["spec"];
        let metric = &spec["metrics"][0]["containerResource"];
        let target = metric["target"]["averageUtilization"].as_u64().unwrap_or(0);
        let scaled = objects.named(hpa, "Deployment", &spec["scaleTargetRef"]["name"]);
        let container =
            scaled.map(|scaled| &scaled["spec"]["template"]["spec"]["containers"][0]["name"]);
        let is_good = list(&spec["metrics"]).len() == 1
            && metric["name"] == "cpu"
            && container == Some(&metric["container"])
            && (60..=70).contains(&target)
            && spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
            && spec["maxReplicas"].as_u64() > spec["minReplicas"].as_u64();
        if !is_good {
            faults.push(format!("{}: {spec}", name(hpa)));
        }
    }
    faults
}

/// Selectors can't be changed later: what may change must not be in them.
pub(super) fn selectors(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.workloads() {
        let selector = &workload.object["spec"]["selector"];
        let labels = selector["matchLabels"].as_object();
        let is_good = labels.is_some_and(|labels| {
            labels.keys().all(|key| SELECTING.contains(&key.as_str()))
                && (!workload.is_ours() || labels.len() == SELECTING.len())
        });
        let is_alone = selector
            .as_object()
            .is_some_and(|selector| selector.len() == 1);
        if !is_good || !is_alone || !selects(&selector["matchLabels"], workload.labels()) {
            faults.push(format!("{}: {selector}", name(workload.object)));
        }
    }
    faults
}

fn deployments(objects: &Objects) -> impl Iterator<Item = Workload<'_>> {
    objects.workloads().filter(Workload::is_deployment)
}

fn scaler<'a>(objects: &'a Objects, deployment: &'a Value) -> Option<&'a Value> {
    objects
        .beside(deployment, "HorizontalPodAutoscaler")
        .find(|hpa| hpa["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"])
}

/// The least replicas that there are.
fn least(objects: &Objects, deployment: &Value) -> u64 {
    let scaled = scaler(objects, deployment).and_then(|hpa| hpa["spec"]["minReplicas"].as_u64());
    scaled
        .or(deployment["spec"]["replicas"].as_u64())
        .unwrap_or(1)
}
