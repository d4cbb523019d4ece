//! The controls of the rules: a change that each must notice, and that no other way would show.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::policy::{RULES, faults};
use crate::render;

/// A rule, an overlay, the kind and the end of the name of an object, a place in it, and what to put there (nothing: remove it).
type Control = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<Value>,
);

/// A place in the pod of the table's objects.
macro_rules! pod {
    ($place:literal) => {
        concat!("/spec/template/spec", $place)
    };
}

#[rustfmt::skip]
fn controls() -> Vec<Control> {
    let plain = "minimal/regional-nothing";
    let hpa = "minimal/regional-hpa";
    let all = "minimal/regional-together";
    let entry = "minimal/regional-entry";
    let (dep, set, net) = ("Deployment", "DaemonSet", "NetworkPolicy");
    vec![
        ("restricted", plain, dep, "lb", pod!("/securityContext/runAsNonRoot"), None),
        ("restricted", plain, dep, "lb", pod!("/securityContext/runAsUser"), Some(json!(0))),
        ("restricted", plain, dep, "lb", pod!("/securityContext/runAsGroup"), Some(json!(0))),
        ("restricted", plain, dep, "lb", pod!("/securityContext/seccompProfile"), None),
        ("restricted", plain, dep, "lb", pod!("/hostPID"), Some(json!(true))),
        ("restricted", plain, dep, "lb", pod!("/enableServiceLinks"), None),
        ("restricted", plain, dep, "lb", pod!("/containers/0/securityContext/readOnlyRootFilesystem"), Some(json!(false))),
        ("restricted", plain, dep, "lb", pod!("/containers/0/securityContext/capabilities/add"), Some(json!(["NET_ADMIN"]))),
        ("restricted", plain, dep, "lb", pod!("/containers/0/securityContext/capabilities/drop"), None),
        ("restricted", plain, dep, "lb", pod!("/containers/0/ports/0/hostPort"), Some(json!(80))),
        ("restricted", plain, dep, "lb", pod!("/volumes/-"), Some(json!({"name": "x", "hostPath": {"path": "/"}}))),
        ("restricted", plain, dep, "lb", pod!("/initContainers"), Some(json!([{"name": "x", "image": "x:1"}]))),
        ("namespaces", "global", "Namespace", "global", "/metadata/labels/pod-security.kubernetes.io~1enforce", Some(json!("baseline"))),
        ("namespaces", "global", "Namespace", "global", "", None),
        ("namespaces", "global", dep, "lb", pod!("/hostNetwork"), Some(json!(true))),
        ("namespaces", entry, "Namespace", "", "/metadata/labels/pod-security.kubernetes.io~1enforce", Some(json!("restricted"))),
        ("resources", plain, dep, "lb", pod!("/containers/0/resources/limits/memory"), None),
        ("resources", plain, dep, "lb", pod!("/containers/0/resources/limits/cpu"), Some(json!("2"))),
        ("resources", plain, dep, "lb", pod!("/containers/0/resources/requests/cpu"), None),
        ("resources", plain, dep, "lb", pod!("/containers/0/resources/requests/memory"), None),
        ("probes", plain, dep, "lb", pod!("/containers/0/startupProbe"), None),
        ("probes", plain, dep, "lb", pod!("/containers/0/livenessProbe/httpGet/path"), Some(json!("/readyz"))),
        ("probes", plain, dep, "lb", pod!("/containers/0/readinessProbe/periodSeconds"), Some(json!(10))),
        ("probes", "demo", dep, "app", pod!("/containers/0/readinessProbe"), None),
        ("identity", plain, dep, "lb", pod!("/containers/0/env/0"), None),
        ("identity", plain, dep, "lb", pod!("/containers/0/env/1/valueFrom/resourceFieldRef/resource"), Some(json!("limits.cpu"))),
        ("identity", plain, dep, "lb", pod!("/containers/0/env/3"), None),
        ("identity", plain, dep, "lb", pod!("/containers/0/env/3/valueFrom/fieldRef/fieldPath"), Some(json!("spec.nodeName"))),
        ("identity", "global", dep, "lb", pod!("/containers/0/env/-"), Some(json!({"name": "LB__ZONE", "value": ""}))),
        ("identity", plain, dep, "lb", "/metadata/labels/app.kubernetes.io~1part-of", None),
        ("images", plain, dep, "lb", pod!("/containers/0/image"), Some(json!("registry.example.com:5000/strata"))),
        ("images", plain, dep, "lb", pod!("/containers/0/image"), Some(json!("strata:latest"))),
        ("replicas", plain, dep, "lb", "/spec/replicas", Some(json!(1))),
        ("replicas", plain, dep, "lb", "/spec/replicas", None),
        ("replicas", hpa, dep, "lb", "/spec/replicas", Some(json!(3))),
        ("replicas", hpa, "HorizontalPodAutoscaler", "lb", "/spec/minReplicas", Some(json!(1))),
        ("strategy", plain, dep, "lb", "/spec/strategy/rollingUpdate/maxUnavailable", Some(json!(1))),
        ("strategy", plain, dep, "lb", "/spec/strategy/type", Some(json!("Recreate"))),
        ("strategy", plain, dep, "lb", "/spec/minReadySeconds", None),
        ("strategy", entry, set, "lb", "/spec/updateStrategy/rollingUpdate/maxSurge", Some(json!(1))),
        ("budget", plain, "PodDisruptionBudget", "lb", "/spec/maxUnavailable", Some(json!(3))),
        ("budget", plain, "PodDisruptionBudget", "lb", "/spec/maxUnavailable", Some(json!(0))),
        ("budget", plain, "PodDisruptionBudget", "lb", "/spec/minAvailable", Some(json!(3))),
        ("budget", plain, "PodDisruptionBudget", "lb", "/spec/unhealthyPodEvictionPolicy", None),
        ("budget", plain, "PodDisruptionBudget", "lb", "/spec/selector/matchLabels/app.kubernetes.io~1name", Some(json!("other"))),
        ("budget", plain, "PodDisruptionBudget", "lb", "", None),
        ("spread", plain, dep, "lb", pod!("/topologySpreadConstraints/0"), None),
        ("spread", plain, dep, "lb", pod!("/topologySpreadConstraints/1/whenUnsatisfiable"), Some(json!("ScheduleAnyway"))),
        ("spread", plain, dep, "lb", pod!("/topologySpreadConstraints/1/minDomains"), None),
        ("spread", "demo", dep, "lb", pod!("/topologySpreadConstraints/1/minDomains"), Some(json!(2))),
        ("spread", plain, dep, "lb", pod!("/topologySpreadConstraints/1/matchLabelKeys"), None),
        ("spread", plain, dep, "lb", pod!("/topologySpreadConstraints/1/labelSelector/matchLabels/app.kubernetes.io~1component"), None),
        ("autoscaler", hpa, "HorizontalPodAutoscaler", "lb", "/spec/behavior/scaleDown/stabilizationWindowSeconds", Some(json!(60))),
        ("autoscaler", hpa, "HorizontalPodAutoscaler", "lb", "/spec/scaleTargetRef/name", Some(json!("lb"))),
        ("autoscaler", hpa, "HorizontalPodAutoscaler", "lb", "/spec/metrics/0", Some(json!({"type": "Resource", "resource": {"name": "cpu"}}))),
        ("selectors", plain, dep, "lb", "/spec/selector/matchLabels/app.kubernetes.io~1version", Some(json!("0.1.0"))),
        ("selectors", plain, dep, "lb", "/spec/selector/matchLabels/app.kubernetes.io~1component", None),
        ("selectors", plain, dep, "lb", "/spec/template/metadata/labels/app.kubernetes.io~1component", None),
        ("grace", plain, dep, "lb", pod!("/terminationGracePeriodSeconds"), Some(json!(99))),
        ("grace", plain, dep, "lb", pod!("/terminationGracePeriodSeconds"), None),
        ("grace", plain, dep, "lb", pod!("/containers/0/lifecycle"), Some(json!({"preStop": {"sleep": {"seconds": 5}}}))),
        ("grace", plain, dep, "lb", pod!("/containers/0/lifecycle"), Some(json!({"preStop": {"exec": {"command": ["sleep", "5"]}}}))),
        ("grace", plain, dep, "lb", pod!("/containers/0/env/-"), Some(json!({"name": "LB__SHUTDOWN__DRAIN", "value": "5m"}))),
        ("grace", plain, "ConfigMap", "bootstrap", "/data/regional-lb.yaml", Some(json!("shutdown: { lame_duck: 31s, stream_drain: 1m }"))),
        ("readiness", "minimal/global-nothing", "ConfigMap", "bootstrap", "/data/global-lb.yaml", Some(json!("shutdown: { lame_duck: 30s }"))),
        ("readiness", entry, set, "lb", pod!("/containers/0/env/4"), None),
        ("tokens", plain, dep, "lb", pod!("/automountServiceAccountToken"), Some(json!(true))),
        ("tokens", plain, dep, "lb", pod!("/automountServiceAccountToken"), None),
        ("tokens", plain, dep, "lb", pod!("/serviceAccountName"), None),
        ("tokens", plain, "ServiceAccount", "lb", "/automountServiceAccountToken", None),
        ("tokens", "minimal/regional-discovery", "RoleBinding", "lb-discovery", "/subjects/0/name", Some(json!("default"))),
        ("roles", all, "Role", "lb-discovery", "/rules/0/verbs/-", Some(json!("delete"))),
        ("roles", all, "Role", "lb-discovery", "/rules/0/resources", Some(json!(["*"]))),
        ("roles", all, "Role", "lb-state-store", "/rules/0/resourceNames", None),
        ("roles", all, "Role", "lb-state-store", "/kind", Some(json!("ClusterRole"))),
        ("roles", all, "RoleBinding", "lb-discovery", "/roleRef/kind", Some(json!("ClusterRole"))),
        ("secrets", "demo", "Secret", "lb-admin-tokens", "/metadata/namespace", Some(json!("strata-eu"))),
        ("network", "global", net, "lb-users", "", None),
        ("network", plain, net, "lb-global", "", None),
        ("network", plain, net, "lb-global", "/spec/ingress/0/from", None),
        ("network", plain, net, "lb-global", "/spec/ingress/0/from/0", Some(json!({"ipBlock": {"cidr": "0.0.0.0/0"}}))),
        ("network", "region-eu", net, "global-range", "/spec/ingress/0/from/0/ipBlock/cidr", Some(json!("::/0"))),
        ("network", plain, net, "lb-egress", "/spec/egress/0/ports/2", None),
        ("network", plain, dep, "lb", pod!("/dnsConfig"), None),
        ("network", plain, net, "lb-egress", "/spec/egress/0/ports/0/port", Some(json!(54))),
        ("network", "minimal/regional-discovery", net, "lb-discovery", "/spec/egress/0/ports/2", None),
        ("network", plain, net, "lb-egress", "", None),
        ("network", plain, net, "lb-admin", "", None),
        ("network", plain, net, "lb-upstream", "", None),
        ("network", all, net, "lb-discovery", "/spec/podSelector/matchLabels/app.kubernetes.io~1name", Some(json!("other"))),
        ("network", plain, net, "lb-global", "/spec/podSelector/matchLabels/app.kubernetes.io~1component", Some(json!("global-lb"))),
        ("admin", plain, net, "lb-admin", "/spec/ingress/0/from", None),
        ("admin", "global", net, "lb-users", "/spec/ingress/0/ports", None),
        ("admin", plain, net, "lb-admin", "/spec/ingress/0/from/1/namespaceSelector", Some(json!({}))),
        ("admin", "region-eu", net, "global-range", "/spec/ingress/0/from/0/ipBlock/cidr", Some(json!("0.0.0.0/0"))),
        ("admin", plain, "Service", "lb", "/spec/ports/-", Some(json!({"name": "admin", "port": 9900, "targetPort": "admin"}))),
        ("services", plain, "Service", "lb", "/spec/selector/app.kubernetes.io~1name", Some(json!("other"))),
        ("services", plain, "Service", "lb", "/spec/ports/0/targetPort", Some(json!(8080))),
        ("services", plain, "Service", "lb", "/spec/ports/0/targetPort", Some(json!("https"))),
        ("services", plain, "Service", "lb", "/spec/ports/0/appProtocol", None),
        ("services", "global", "Service", "lb", "/spec/externalTrafficPolicy", Some(json!("Cluster"))),
        ("services", "region-eu", "Service", "regional-lb", "/spec/type", Some(json!("LoadBalancer"))),
        ("services", "region-eu", "Service", "regional-lb", "/spec/type", Some(json!("NodePort"))),
        ("services", "region-eu", "Service", "regional-lb", "/spec/externalIPs", Some(json!(["192.0.2.1"]))),
        ("services", plain, "Service", "lb", "/spec/trafficDistribution", None),
        ("services", plain, "Service", "replicas", "/spec/publishNotReadyAddresses", None),
        ("services", plain, "Service", "replicas", "", None),
        ("families", plain, "Service", "regional-lb", "/spec/ipFamilyPolicy", Some(json!("PreferDualStack"))),
        ("families", all, "Service", "replicas", "/spec/ipFamilyPolicy", None),
        ("families", all, dep, "lb", pod!("/containers/0/env/8"), None),
        ("mounts", plain, dep, "lb", pod!("/containers/0/volumeMounts/1/subPath"), Some(json!("pools.yaml"))),
        ("mounts", plain, dep, "lb", pod!("/containers/0/volumeMounts/1"), None),
        ("mounts", plain, dep, "lb", pod!("/volumes/0/configMap/name"), Some(json!("regional-lb-bootstrap"))),
        ("mounts", plain, dep, "lb", pod!("/volumes/1/configMap/optional"), Some(json!(true))),
        ("mounts", plain, dep, "lb", pod!("/volumes/3"), Some(json!({"name": "state", "secret": {"secretName": "x"}}))),
        ("mounts", plain, dep, "lb", pod!("/containers/0/command/3"), Some(json!("/etc/strata/bootstrap/global-lb.yaml"))),
        ("mounts", plain, "ConfigMap", "lb-pools", "/metadata/name", Some(json!("lb-pools-0123456789"))),
        ("mounts", plain, "ConfigMap", "lb-pools", "", None),
    ]
}

#[tokio::test]
async fn each_rule_notices_what_it_is_for() -> Result<()> {
    let mut seen = BTreeSet::new();
    for (rule, overlay, kind, end, place, value) in controls() {
        let what = format!("{rule}: {overlay}, {kind} {end}, {place} = {value:?}");
        let mut objects = render::one(overlay).await?.objects.clone();
        objects
            .change(kind, end, place, value)
            .with_context(|| what.clone())?;
        ensure!(faults(&objects).contains_key(rule), "not noticed: {what}");
        seen.insert(rule);
    }
    for (rule, _) in RULES {
        ensure!(seen.contains(rule), "{rule} has no control");
    }
    Ok(())
}
