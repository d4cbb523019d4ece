//! Where operators' orders are kept.

use crate::config::scalar::ServerAddressFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where operators' orders (drains) are kept, and how replicas share them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Who has the last word.
    pub store: StoreKind,
    /// Directory for the file that survives a restart, of this replica alone; relative paths start at the configuration file's directory.
    /// Absent: orders are kept in memory, and a replica that starts knows those of its peers or of the store.
    #[schemars(extend("format" = "file"))]
    pub directory: Option<PathBuf>,
    /// The etcd to use.
    pub etcd: Option<Etcd>,
    /// The ConfigMap of Kubernetes to use.
    pub kubernetes: Option<Kubernetes>,
}

/// Who has the last word on orders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// The replicas themselves, by `peers`: each tells the others, and the later order holds.
    #[default]
    Embedded,
    /// An etcd: orders are strictly one after the other, and none is taken while it is away.
    Etcd,
    /// A ConfigMap of Kubernetes: orders are strictly one after the other, and none is taken while the API server is away.
    Kubernetes,
}

/// An etcd, from version 3.4 on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// Its members, `address:port` or `name:port`; tried in turn.
    #[schemars(with = "Vec<ServerAddressFormat>", length(min = 1))]
    pub endpoints: Vec<String>,
    /// What keys begin with; tier and region follow.
    #[serde(default = "prefix")]
    #[schemars(length(min = 1))]
    pub prefix: String,
    /// TLS to its members; without it, plain text.
    #[serde(default)]
    pub tls: Option<EtcdTls>,
    /// Who to log in as, with `password_file`.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the password.
    #[serde(default)]
    #[schemars(extend("format" = "file"))]
    pub password_file: Option<PathBuf>,
}

/// TLS to an etcd.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdTls {
    /// PEM file of authorities. Default: the system's.
    #[schemars(extend("format" = "file"))]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate that this replica shows, with `key`.
    #[schemars(extend("format" = "file"))]
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[schemars(extend("format" = "file"))]
    pub key: Option<PathBuf>,
    /// The name that the members' certificates must have. Default: the endpoint's.
    #[schemars(extend("format" = "dns-name"))]
    pub server_name: Option<String>,
}

/// A ConfigMap of Kubernetes, from version 1.27 on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kubernetes {
    /// The ConfigMap's name, its own for each tier and region. Default: `strata-orders-global`, `strata-orders-regional-REGION`.
    #[schemars(extend("format" = "dns-name"))]
    pub name: Option<String>,
    /// Its namespace. Default: the pod's, or the kubeconfig's.
    #[schemars(extend("format" = "dns-name"))]
    pub namespace: Option<String>,
    /// A kubeconfig file that names the API server and the user. Default: what Kubernetes gives each pod.
    #[schemars(extend("format" = "file"))]
    pub kubeconfig: Option<PathBuf>,
}

fn prefix() -> String {
    "/strata/".to_owned()
}

// === impl StoreKind ===

impl StoreKind {
    /// Its name, as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
        }
    }
}
