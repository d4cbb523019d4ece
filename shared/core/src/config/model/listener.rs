//! Where a program listens, how many threads serve, and where it writes its log.

use crate::config::scalar::{DurationText, Percent};
use crate::name::ListenerName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One listening address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The listener's name, unique in the file.
    pub name: ListenerName,
    /// Address and port, such as `0.0.0.0:8080` or `[::]:8443`.
    #[schemars(with = "String", extend("format" = "socket-address"))]
    pub address: std::net::SocketAddr,
    /// Protocols that are answered here. Default: `[http1]`, with TLS `[http1, h2]`.
    #[serde(default)]
    pub protocols: Vec<Protocol>,
    /// TLS; without it the listener is plain text.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
}

/// A protocol that a listener answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS, negotiated by ALPN.
    H2,
    /// HTTP/2 in plain text with prior knowledge, beside HTTP/1.1 on the same port.
    H2c,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Certificates; the client's server name (SNI) chooses among their names, the first is the default.
    #[schemars(length(min = 1))]
    pub certificates: Vec<Certificate>,
    /// PEM file of authorities; when set, clients must present a certificate that one of them signed.
    #[serde(default)]
    #[schemars(extend("format" = "file"))]
    pub client_ca: Option<PathBuf>,
}

/// A certificate with its key, both in PEM. The files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The chain, leaf first. Relative paths start at the configuration file's directory.
    #[schemars(extend("format" = "file"))]
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    #[schemars(extend("format" = "file"))]
    pub key: PathBuf,
}

/// The admin listener: probes, metrics and the API. Never exposed to users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port.
    #[schemars(with = "String", extend("format" = "socket-address"))]
    pub address: std::net::SocketAddr,
    /// File with tokens of 16 characters or more, one a line, readable by its owner only: whoever has one of them may write, and read all
    /// orders. Replicas show each other the first. Absent: nothing can be written over TCP. Read again when it changes.
    #[schemars(extend("format" = "file"))]
    pub token_file: Option<PathBuf>,
}

/// How connections are spread over threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Threading {
    /// One single-threaded event loop a thread, each with its own listening socket and upstream pool.
    #[default]
    PerCore,
    /// One event loop over all threads that steals work.
    WorkStealing,
}

/// The access log: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// A file to append to, or `-` for standard output. Empty: no access log.
    pub path: String,
    /// Share of successful requests (status below 400) that are written; errors and slow requests always are.
    pub sample: Percent,
    /// A request that took longer is always written.
    pub slow: DurationText,
    /// Write the query of the target too. Off by default: queries carry secrets.
    pub query: bool,
}

// === impl Listener ===

impl Listener {
    /// The protocols that are answered, with the default filled in.
    #[must_use]
    pub fn effective_protocols(&self) -> Vec<Protocol> {
        match (self.protocols.is_empty(), self.tls.is_some()) {
            (false, _) => self.protocols.clone(),
            (true, true) => vec![Protocol::Http1, Protocol::H2],
            (true, false) => vec![Protocol::Http1],
        }
    }
}

// === impl Admin ===

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 9900)),
            token_file: None,
        }
    }
}

// === impl AccessLog ===

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            path: "-".to_owned(),
            sample: Percent::new(1.0),
            slow: DurationText::secs(1),
            query: false,
        }
    }
}
