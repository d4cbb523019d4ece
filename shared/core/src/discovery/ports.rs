//! Which port of a slice requests are sent to.
//!
//! Slices know the servers' ports only. A name is the Service port's, whose number may differ from pod to pod; a number is the servers' own.

use super::slice::{AddressType, Port, Slice};
use crate::config::model::KubernetesServices;

/// Whether a slice has a port, and an address that requests can be sent to; or nobody to send them to.
pub(super) fn is_usable(slice: &Slice, config: &KubernetesServices) -> bool {
    let mut mentions = slice.mentions.iter();
    slice.mentions.is_empty()
        || slice.addresses != AddressType::Other
            && of(slice, config).is_some()
            && mentions.any(|mention| mention.address.is_some())
}

/// The port of a slice's servers, when it has it.
pub(super) fn of(slice: &Slice, config: &KubernetesServices) -> Option<u16> {
    find(&slice.ports, config.port.as_deref()).ok()
}

/// The port of a slice's servers.
///
/// # Errors
/// The ports that there are, when none of them is it.
pub(super) fn find(ports: &[Port], wanted: Option<&str>) -> Result<u16, Vec<String>> {
    let number = wanted.and_then(|wanted| wanted.parse::<u16>().ok());
    let tcp = || ports.iter().filter(|port| port.is_tcp);
    let found = match (wanted, number) {
        // Whoever makes a slice without ports leaves them to its reader.
        (_, Some(number)) if ports.is_empty() => Some(number),
        (_, Some(number)) => tcp()
            .any(|port| port.number.is_none_or(|other| other == number))
            .then_some(number),
        (Some(name), None) => tcp().find(|port| port.name == name).and_then(|p| p.number),
        (None, None) => {
            let mut numbers: Vec<u16> = tcp().filter_map(|port| port.number).collect();
            numbers.dedup();
            <[u16; 1]>::try_from(numbers).ok().map(|[only]| only)
        }
    };
    let told = |port: &Port| match (port.number, port.name.as_str()) {
        (Some(number), "") => number.to_string(),
        (Some(number), name) => format!("{name} {number}"),
        (None, name) => name.to_owned(),
    };
    found
        .filter(|port| *port != 0)
        .ok_or_else(|| tcp().map(told).collect())
}
