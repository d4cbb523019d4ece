//! Listeners and the admin address: who binds what, and what is spoken there.

use super::duplicates::{self, Seen};
use super::report::Report;
use crate::config::model::{Admin, Listener, ListenerTls, Protocol};
use crate::config::read::{Code, Path};
use std::collections::HashMap;
use std::net::SocketAddr;

pub(super) fn check(report: &mut Report<'_>, listeners: &[Listener], admin: &Admin) {
    let list = Path::root().key("listeners");
    let names = listeners.iter().map(|listener| listener.name.as_str());
    duplicates::names(report, &list, "listener", "", names);
    addresses(report, &list, listeners, admin);
    for (at, listener) in listeners.iter().enumerate() {
        let path = list.index(at);
        protocols(report, &path, listener);
        let what = format!("the listener \"{}\" is plain text", listener.name);
        let write = "add certificates, or remove the key";
        report.empty_section(&path.key("tls"), listener.tls.is_none(), &what, write);
        if let Some(tls) = &listener.tls {
            certificates(report, &path.key("tls").key("certificates"), listener, tls);
        }
    }
}

/// Whether a program that listens on both would fail to bind the second, or share its connections.
/// Port 0 is a fresh port each time. `[::]` takes IPv4 too, as Linux binds it by default.
pub(super) fn is_clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: SocketAddr, other: SocketAddr| {
        wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

fn addresses(report: &mut Report<'_>, list: &Path, listeners: &[Listener], admin: &Admin) {
    let mut by_port: HashMap<u16, Vec<(usize, SocketAddr)>> = HashMap::new();
    for (at, listener) in listeners.iter().enumerate() {
        let address = listener.address;
        let path = list.index(at).key("address");
        let same_port = by_port.entry(address.port()).or_default();
        let first = same_port
            .iter()
            .find(|(_, other)| is_clash(address, *other));
        if let Some((first, other)) = first {
            report.repeated(
                &path,
                &list.index(*first).key("address"),
                format!(
                    "the listener \"{}\" can't have {address}: {other} is taken by another listener",
                    listener.name
                ),
                "give each listener an address or port of its own",
            );
        }
        same_port.push((at, address));
    }
    let admin_path = Path::root().key("admin").key("address");
    let taken = by_port.get(&admin.address.port());
    let clash = taken.and_then(|same| {
        same.iter()
            .find(|(_, other)| is_clash(admin.address, *other))
    });
    if let Some((at, other)) = clash {
        // When the file does not say the admin address, the listener is what can be changed.
        let (path, first) = if report.is_written(&admin_path) {
            (admin_path, list.index(*at).key("address"))
        } else {
            (list.index(*at).key("address"), admin_path)
        };
        let reason = format!(
            "the admin address {} and a listener's {other} clash",
            admin.address
        );
        if report.is_written(&first) {
            report.repeated(
                &path,
                &first,
                reason,
                "give the admin listener a port of its own",
            );
        } else {
            let hint =
                "the admin listener's default port is 9900; choose another with admin.address";
            report.value(&path, Code::DuplicateName, reason, hint);
        }
    }
}

fn protocols(report: &mut Report<'_>, path: &Path, listener: &Listener) {
    let list = path.key("protocols");
    let name = &listener.name;
    let mut seen: Vec<Protocol> = Vec::new();
    for (at, protocol) in listener.protocols.iter().enumerate() {
        let place = list.index(at);
        match (protocol, &listener.tls) {
            _ if seen.contains(protocol) => report.value(
                &place,
                Code::DuplicateName,
                format!("the listener \"{name}\" names this protocol twice"),
                "keep one of them",
            ),
            (Protocol::H2c, Some(_)) => report.value(
                &place,
                Code::Conflict,
                format!("the listener \"{name}\" has TLS, and h2c is HTTP/2 without it"),
                "write h2, or remove tls",
            ),
            (Protocol::H2, None) => report.value(
                &place,
                Code::Conflict,
                format!("the listener \"{name}\" has no TLS, by which h2 is negotiated"),
                "write h2c for HTTP/2 in plain text, or add tls",
            ),
            _ => {}
        }
        if !seen.contains(protocol) {
            seen.push(*protocol);
        }
    }
}

fn certificates(report: &mut Report<'_>, list: &Path, listener: &Listener, tls: &ListenerTls) {
    let mut seen = Seen::new();
    for (at, pair) in tls.certificates.iter().enumerate() {
        if let Some(first) = seen.again(&pair.certificate, at) {
            report.repeated(
                &list.index(at).key("certificate"),
                &list.index(first).key("certificate"),
                format!(
                    "the listener \"{}\" has the certificate {} twice",
                    listener.name,
                    pair.certificate.display()
                ),
                "keep one of them",
            );
        }
    }
}
