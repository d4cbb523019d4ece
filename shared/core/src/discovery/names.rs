//! Names for servers that nobody named.
//!
//! A pod's name where it has one: that is what operators look for. It may be longer than a server's name can be; the end tells pods of
//! one Deployment apart, so the beginning is cut. Otherwise, and when two would be called the same, the address.

use crate::name::{MAX_NAME, ServerName};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A name for each `(target, address)`, each another one.
pub(super) fn of<'t>(
    servers: impl Iterator<Item = (Option<&'t str>, SocketAddr)> + Clone,
) -> Vec<Option<ServerName>> {
    let wished = |(target, address): (Option<&str>, SocketAddr)| {
        target.and_then(fitting).or_else(|| by_address(address))
    };
    let mut uses: BTreeMap<Option<ServerName>, usize> = BTreeMap::new();
    for name in servers.clone().map(wished) {
        *uses.entry(name).or_default() += 1;
    }
    let settled = |(target, address)| {
        let name = wished((target, address));
        match uses.get(&name) {
            Some(1) => name,
            _ => by_address(address),
        }
    };
    servers.map(settled).collect()
}

/// The longest end of `text` that is a name.
fn fitting(text: &str) -> Option<ServerName> {
    let from = text.len().saturating_sub(MAX_NAME);
    let end = text.get(from..)?;
    let end = end.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    ServerName::new(end).ok()
}

/// `10.0.0.1_8080`, or for IPv6 `2001-db8-0-0-0-0-0-1_8080`: a name may hold no colon.
fn by_address(address: SocketAddr) -> Option<ServerName> {
    let port = address.port();
    let text = match address.ip() {
        IpAddr::V4(ip) => format!("{ip}_{port}"),
        IpAddr::V6(ip) => {
            let groups = ip.segments().map(|group| format!("{group:x}"));
            format!("{}_{port}", groups.join("-"))
        }
    };
    ServerName::new(&text).ok()
}
