//! An EndpointSlice, as far as it matters here.

use std::net::IpAddr;

/// A slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its name, unique in its namespace.
    pub name: String,
    /// Its Service: the label `kubernetes.io/service-name`.
    pub service: String,
    /// What kind of addresses it holds.
    pub addresses: AddressType,
    /// Its ports; none when the Service has none.
    pub ports: Vec<Port>,
    /// What it tells of servers.
    pub mentions: Vec<Mention>,
    /// The label [`super::weights::KEY`], which Kubernetes copies from the Service.
    pub service_weight: Option<String>,
    /// The annotation [`super::weights::KEY`].
    pub server_weight: Option<String>,
}

/// What kind of addresses a slice holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressType {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Names, or what this program doesn't know.
    Other,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name; empty when the Service's only port has none.
    pub name: String,
    /// The servers' port; none: not restricted.
    pub number: Option<u16>,
    /// Whether it is TCP, which it is when nothing is said.
    pub is_tcp: bool,
}

/// What a slice tells of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mention {
    /// Its address; none when it can't be read. Of several the first: Kubernetes says that they are interchangeable.
    pub address: Option<IpAddr>,
    /// `targetRef.uid`.
    pub uid: Option<String>,
    /// `targetRef.name`.
    pub target: Option<String>,
    /// `conditions.ready`.
    pub ready: Option<bool>,
    /// `conditions.serving`.
    pub serving: Option<bool>,
    /// `conditions.terminating`.
    pub terminating: Option<bool>,
    /// `zone`.
    pub zone: Option<String>,
    /// `hints.forZones`.
    pub hints: Vec<String>,
}

/// How a server may be used; the better, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It terminates and does not serve.
    Gone,
    /// Its readiness probe fails.
    Unready,
    /// It terminates, or is on its way out, and serves until then.
    Leaving,
    /// It gets new requests.
    Ready,
}

/// Conditions of one server, with what absent ones mean, joined over all its mentions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    ready: bool,
    serving: bool,
    terminating: bool,
}

// === impl Mention ===

impl Mention {
    /// Ready unless it says otherwise; serving as it is ready; not terminating.
    pub(super) fn conditions(&self) -> Conditions {
        let ready = self.ready.unwrap_or(true);
        Conditions {
            ready,
            serving: self.serving.unwrap_or(ready),
            terminating: self.terminating.unwrap_or(false),
        }
    }
}

// === impl Conditions ===

impl Conditions {
    /// Joins two words about one server, in any order.
    pub(super) const fn join(self, other: Self) -> Self {
        Self {
            ready: self.ready || other.ready,
            serving: self.serving || other.serving,
            terminating: self.terminating || other.terminating,
        }
    }

    /// Terminating beats ready: a Service with `publishNotReadyAddresses` calls all of its endpoints ready.
    pub(super) const fn standing(self) -> Standing {
        match (self.terminating, self.ready, self.serving) {
            (true, _, false) => Standing::Gone,
            (true, _, true) | (false, false, true) => Standing::Leaving,
            (false, true, _) => Standing::Ready,
            (false, false, false) => Standing::Unready,
        }
    }
}
