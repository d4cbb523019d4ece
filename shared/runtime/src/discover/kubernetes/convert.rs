//! From the API's slices to ours: what doesn't matter is left out at once, so that it takes no memory.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use lb_core::discovery::weights::KEY;
use lb_core::discovery::{AddressType, Mention, Port, Slice};

/// The label that names a slice's Service.
pub(super) const SERVICE: &str = "kubernetes.io/service-name";

pub(super) fn slice(from: EndpointSlice) -> Slice {
    let mut labels = from.metadata.labels.unwrap_or_default();
    let mut annotations = from.metadata.annotations.unwrap_or_default();
    Slice {
        name: from.metadata.name.unwrap_or_default(),
        service: labels.remove(SERVICE).unwrap_or_default(),
        addresses: match from.address_type.as_str() {
            "IPv4" => AddressType::Ipv4,
            "IPv6" => AddressType::Ipv6,
            _ => AddressType::Other,
        },
        ports: from.ports.into_iter().flatten().map(port).collect(),
        mentions: from.endpoints.into_iter().map(mention).collect(),
        service_weight: labels.remove(KEY),
        server_weight: annotations.remove(KEY),
    }
}

fn port(from: EndpointPort) -> Port {
    Port {
        name: from.name.unwrap_or_default(),
        // What is no port becomes 0, which is refused as such.
        number: from.port.map(|port| u16::try_from(port).unwrap_or(0)),
        is_tcp: from.protocol.is_none_or(|protocol| protocol == "TCP"),
    }
}

fn mention(from: Endpoint) -> Mention {
    let conditions = from.conditions.unwrap_or_default();
    let target = from.target_ref.unwrap_or_default();
    let hints = from.hints.and_then(|hints| hints.for_zones);
    Mention {
        address: from.addresses.first().and_then(|text| text.parse().ok()),
        uid: target.uid,
        target: target.name,
        ready: conditions.ready,
        serving: conditions.serving,
        terminating: conditions.terminating,
        zone: from.zone,
        hints: hints.into_iter().flatten().map(|zone| zone.name).collect(),
    }
}
