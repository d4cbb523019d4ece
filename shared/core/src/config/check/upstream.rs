//! How the servers of a pool, or the replicas of a region, are spoken to.

use super::report::Report;
use crate::config::address::ServerAddress;
use crate::config::model::{Listener, UpstreamTls};
use crate::config::read::{Code, Path};

pub(super) fn tls(report: &mut Report<'_>, tls: Option<&UpstreamTls>, owner: &str, path: &Path) {
    let Some(tls) = tls else {
        let what = format!("{owner} is spoken to in plain text");
        let write = "write `tls: {}` for its defaults, or remove the key";
        report.empty_section(path, true, &what, write);
        return;
    };
    if !tls.verify && tls.ca.is_some() {
        report.key(
            &path.key("ca"),
            Code::Conflict,
            format!("{owner} names authorities, but `verify: false` accepts any certificate"),
            "remove `verify: false`, or `ca`",
        );
    }
}

/// Reports an address where this very program listens: requests would go round in circles.
pub(super) fn not_ourselves(
    report: &mut Report<'_>,
    address: &ServerAddress,
    listeners: &[Listener],
    owner: &str,
    path: impl FnOnce() -> Path,
) {
    let ServerAddress::Socket(address) = address else {
        return;
    };
    let is_ours = |listener: &&Listener| {
        let own = listener.address;
        own.port() == address.port()
            && (own.ip() == address.ip() || own.ip().is_unspecified() && address.ip().is_loopback())
    };
    if let Some(listener) = listeners.iter().find(is_ours) {
        report.value(
            &path(),
            Code::Conflict,
            format!(
                "{owner} is at {address}, which is this program's own listener \"{}\"",
                listener.name
            ),
            "write the address of the server, not that of the load balancer",
        );
    }
}
