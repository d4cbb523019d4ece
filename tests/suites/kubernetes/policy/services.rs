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
            if workload.is_regional() {
                inner(service, &mut say);
            }
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

/// Who listens on IPv6 has Services of both families, on every port; who does not has none that would lead nowhere.
pub(super) fn families(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects.ours() {
        let env = list(&workload.container["env"]).iter();
        let on_both = env.filter(|entry| {
            let is_place = text(&entry["name"]).ends_with("__ADDRESS");
            is_place && text(&entry["value"]).starts_with("\"[::]:")
        });
        let on_both = on_both.count();
        let has_ipv6 = on_both > 0;
        if has_ipv6 && on_both != list(&workload.container["ports"]).len() {
            faults.push(format!("{}: a port without IPv6", name(workload.object)));
        }
        for service in objects.beside(workload.object, "Service") {
            let is_dual = service["spec"]["ipFamilyPolicy"] == "PreferDualStack";
            let is_its = selects(&service["spec"]["selector"], workload.labels());
            if is_its && is_dual != has_ipv6 {
                faults.push(format!("{}: dual {is_dual}", name(service)));
            }
        }
    }
    faults
}

/// Users come to the global tier: what leads to a region from outside has to say from where.
fn inner(service: &Value, say: &mut impl FnMut(String)) {
    let spec = &service["spec"];
    let ranges = list(&spec["loadBalancerSourceRanges"]);
    let is_narrow = !ranges.is_empty() && ranges.iter().all(|range| !text(range).ends_with("/0"));
    let is_inside = spec["type"].is_null() || spec["type"] == "ClusterIP";
    let is_balanced = spec["type"] == "LoadBalancer" && is_narrow;
    let has_more = !list(&spec["externalIPs"]).is_empty();
    if has_more || !(is_inside || is_balanced) {
        say("a region that everybody can reach".to_owned());
    }
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
