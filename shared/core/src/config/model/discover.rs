//! Servers that are found rather than listed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a pool's servers are found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Discover {
    /// Behind Services of Kubernetes.
    pub kubernetes: Option<KubernetesServices>,
}

/// Servers behind Services of Kubernetes, by their EndpointSlices. The API server has to let this replica get, list and watch
/// `endpointslices`; while it is away, the last known servers stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubernetesServices {
    /// The Services, all in one namespace.
    #[schemars(length(min = 1, max = 100))]
    pub services: Vec<ServiceShare>,
    /// Their namespace. Default: this replica's own, or the kubeconfig's.
    #[serde(default)]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: Option<String>,
    /// The servers' port: a port's name, or a number in quotes, which is the servers' own (`targetPort`). Default: the only one.
    #[serde(default)]
    #[schemars(extend("format" = "service-port"))]
    pub port: Option<String>,
    /// Which address of servers that have both kinds is used.
    #[serde(default)]
    pub family: AddressFamily,
    /// Whether the hints of slices (`forZones`) choose servers, as in kube-proxy. Without, `zone_preference` alone decides.
    #[serde(default)]
    pub zone_hints: bool,
    /// Servers beyond this number are left out, which is told.
    #[serde(default = "max_servers")]
    #[schemars(range(min = 1, max = 100000))]
    pub max_servers: usize,
    /// A kubeconfig that says where the API server is, and who asks. Relative paths start at this file's directory. Default: what Kubernetes gives
    /// each pod.
    #[serde(default)]
    #[schemars(extend("format" = "file"))]
    pub kubeconfig: Option<PathBuf>,
}

/// A Service, and its share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceShare {
    /// The Service's name.
    #[schemars(extend("format" = "kubernetes-name"))]
    pub name: String,
    /// Share of new requests in relation to the other Services, however many servers each has; the Service's label `strata.dev/weight`
    /// overrides it. 0 takes no new requests.
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub weight: u32,
}

/// Which addresses are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressFamily {
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// IPv4 of servers that have both.
    #[default]
    PreferIpv4,
    /// IPv6 of servers that have both.
    PreferIpv6,
}

const fn one() -> u32 {
    1
}

const fn max_servers() -> usize {
    10_000
}
