//! Services lead to pods that exist, by ports that have names.

use serde_json::Value;

use super::Faults;
use crate::objects::{Objects, Workload, list, name, selects, text};

pub(super) fn services(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for service in objects.of("Service") {
        let spec = &service["spec"];
        let mut say = |what: String| faults.push(format!("{}: {what}", name(service)));
        let chosen: Vec<Workload<'_>> = objects
            .workloads()
            .filter(|workload| {
                workload.object["metadata"]["namespace"] == service["metadata"]["namespace"]
                    && spec["selector"].is_object()
                    && selects(&spec["selector"], workload.labels())
            })
            .collect();
        let [workload] = chosen.as_slice() else {
            say(format!("selects {} workloads", chosen.len()));
            continue;
        };
        for port in list(&spec["ports"]) {
            let is_there = list(&workload.container["ports"])
                .iter()
                .any(|known| known["name"].is_string() && known["name"] == port["targetPort"]);
            if !is_there || port["name"].is_null() || text(&port["appProtocol"]).is_empty() {
                say(format!("port {port}"));
            }
        }
        if workload.is_ours() {
            ours(spec, &mut say);
        }
    }
    for workload in objects.ours() {
        let headless = |service: &Value| {
            service["spec"]["clusterIP"] == "None"
                && selects(&service["spec"]["selector"], workload.labels())
        };
        if !objects.beside(workload.object, "Service").any(headless) {
            faults.push(format!("{}: no headless Service", name(workload.object)));
        }
    }
    faults
}

fn ours(spec: &Value, say: &mut impl FnMut(String)) {
    if spec["clusterIP"] == "None" {
        if spec["publishNotReadyAddresses"] != true {
            say("hides replicas that drain".to_owned());
        }
        return;
    }
    if !["PreferClose", "PreferSameZone"].contains(&text(&spec["trafficDistribution"])) {
        say("trafficDistribution".to_owned());
    }
    let is_outer = spec["type"] == "LoadBalancer";
    if is_outer != (spec["externalTrafficPolicy"] == "Local") {
        say("externalTrafficPolicy".to_owned());
    }
}
