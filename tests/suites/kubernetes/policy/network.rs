//! Who may reach what.

use serde_json::{Value, json};

use super::Faults;
use crate::objects::{Objects, Workload, list, name, selects, text};

/// Each pod is selected by policies for both ways, so that what none allows is refused. They don't hold on the machine's network.
pub(super) fn covered(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for workload in objects
        .workloads()
        .filter(|workload| !workload.is_on_host())
    {
        for way in ["Ingress", "Egress"] {
            let is_covered = policies(objects, workload).any(|policy| {
                list(&policy["spec"]["policyTypes"])
                    .iter()
                    .any(|known| known == way)
            });
            if !is_covered {
                faults.push(format!("{}: {way}", name(workload.object)));
            }
        }
        if workload.is_ours() {
            faults.extend(needs(objects, workload));
        }
    }
    for policy in objects.of("NetworkPolicy") {
        let chooses = |workload: &Workload<'_>| {
            selects(
                &policy["spec"]["podSelector"]["matchLabels"],
                workload.labels(),
            )
        };
        if !objects.workloads().any(|workload| chooses(&workload)) {
            faults.push(format!("{}: selects nothing", name(policy)));
        }
    }
    faults
}

/// What has to be open: the data ports (the global tier's to all, a region's to the global tier and nobody else), names, the sisters' admin ports both ways, and whatever lies behind.
fn needs(objects: &Objects, workload: Workload<'_>) -> Faults {
    let rules = |way: &'static str| {
        policies(objects, workload).flat_map(move |policy| list(&policy["spec"][way]))
    };
    let has_port =
        |rule: &Value, port: &Value| list(&rule["ports"]).iter().any(|p| p["port"] == *port);
    let mut missing = Vec::new();
    for port in list(&workload.container["ports"]) {
        let port = &port["name"];
        let of_port = || rules("ingress").filter(|rule| has_port(rule, port));
        let to_all = of_port().any(|rule| {
            let from = list(&rule["from"]);
            from.is_empty() || from.iter().any(is_anyone)
        });
        let is_for_all = *port != "admin" && !workload.is_regional();
        if to_all != is_for_all || of_port().next().is_none() {
            missing.push(format!(
                "{}: port {port} is open to all: {to_all}",
                name(workload.object)
            ));
        }
    }
    let is_sister = |peer: &Value| {
        let labels = &peer["podSelector"]["matchLabels"];
        labels.is_object()
            && peer["namespaceSelector"].is_null()
            && selects(labels, workload.labels())
    };
    for (way, of) in [("ingress", "from"), ("egress", "to")] {
        let sisters = rules(way)
            .any(|rule| has_port(rule, &"admin".into()) && list(&rule[of]).iter().any(is_sister));
        if !sisters {
            missing.push(format!("{}: sisters, {way}", name(workload.object)));
        }
    }
    for (port, protocol) in [(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")] {
        let is_it = |p: &Value| p["port"] == port && p["protocol"] == protocol;
        if !rules("egress").any(|rule| list(&rule["ports"]).iter().any(is_it)) {
            missing.push(format!(
                "{}: names, {port} {protocol}",
                name(workload.object)
            ));
        }
    }
    // Of names with up to one dot, which our files use, the search list comes first.
    let dns = &workload.pod["dnsConfig"]["options"];
    if *dns != json!([{ "name": "ndots", "value": "2" }]) {
        missing.push(format!("{}: {dns}", name(workload.object)));
    }
    let upstream = policies(objects, workload)
        .any(|policy| text(&policy["metadata"]["name"]).ends_with("-upstream"));
    if !upstream {
        missing.push(format!("{}: what lies behind", name(workload.object)));
    }
    let asks = workload.pod["automountServiceAccountToken"] == true;
    for port in [443, 6443, 16443] {
        let may_ask = rules("egress").any(|rule| has_port(rule, &port.into()));
        if asks != may_ask {
            missing.push(format!("{}: the API server, {port}", name(workload.object)));
        }
    }
    missing
}

/// The admin port is for those who are named.
pub(super) fn admin(objects: &Objects) -> Faults {
    let mut faults = Vec::new();
    for policy in objects.of("NetworkPolicy") {
        for rule in list(&policy["spec"]["ingress"]) {
            let ports = list(&rule["ports"]);
            let is_admin = ports.is_empty()
                || ports
                    .iter()
                    .any(|port| port["port"] == "admin" || port["port"] == 9900);
            let from = list(&rule["from"]);
            if is_admin && (from.is_empty() || from.iter().any(is_anyone)) {
                faults.push(format!("{}: {rule}", name(policy)));
            }
        }
    }
    // Nor is it on any Service but the headless one.
    for service in objects.of("Service") {
        let ports = list(&service["spec"]["ports"]);
        let is_headless = service["spec"]["clusterIP"] == "None";
        if !is_headless && ports.iter().any(|port| port["targetPort"] == "admin") {
            faults.push(format!("{}: has the admin port", name(service)));
        }
    }
    faults
}

/// Whether a peer of a policy is all the world, or all pods.
fn is_anyone(peer: &Value) -> bool {
    let everything = Value::Object(serde_json::Map::new());
    let block = text(&peer["ipBlock"]["cidr"]);
    let all_pods = peer["podSelector"].is_null() || peer["podSelector"] == everything;
    block.ends_with("/0") || peer["namespaceSelector"] == everything && all_pods
}

fn policies<'a>(objects: &'a Objects, workload: Workload<'a>) -> impl Iterator<Item = &'a Value> {
    objects
        .beside(workload.object, "NetworkPolicy")
        .filter(move |policy| {
            selects(
                &policy["spec"]["podSelector"]["matchLabels"],
                workload.labels(),
            )
        })
}
